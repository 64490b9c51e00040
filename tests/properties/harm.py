"""Ways to harm lines of a text so that the harm can be seen, and files in any way; all are seeded."""

import os
import random
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# No field but a task's name, which nothing rests on, can hold these.
_FOREIGN: Final = (b"\0", b"\xff", b"\x1b")
_NAME: Final = re.compile(rb"(?<=: )[a-z]\w+(?=: )")
_PID: Final = re.compile(rb"[0-9]+ +\[[0-9]+\] ")
HEAD: Final = 17
"""Bytes of a line's beginning that hold the task's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmed:
    """A harmed text, and which lines of it (from 0) were harmed, by their number in the whole text."""

    text: bytes
    lines: tuple[int, ...]


def cut(line: bytes, rng: random.Random) -> bytes:
    """Cut a line anywhere but within or behind a number or a name of gfp flags: what is left there is a valid line."""
    at = rng.randrange(1, len(line))
    while re.search(rb"[0-9A-Za-z_]$", line[:at]) and b": " in line[HEAD:at]:
        at -= 1
    return line[:at]


def garble(line: bytes, rng: random.Random) -> bytes:
    """Put a byte where none can hold it: behind the padding of the task's name, which would be part of the name then."""
    pid = _PID.search(line)
    at = rng.randrange(max(HEAD, pid.start()) if pid else HEAD, len(line))
    return line[:at] + rng.choice(_FOREIGN) + line[at + 1 :]


def behead(line: bytes, rng: random.Random) -> bytes:
    """Lose the beginning of a line."""
    return line[rng.randrange(HEAD + 8, len(line)) :]


def blot(line: bytes, rng: random.Random) -> bytes:
    """Make all of a line bytes 0, as a file system does that lost a block."""
    return b"\0" * max(1, rng.randrange(len(line)))


def rename(line: bytes, rng: random.Random) -> bytes:
    """Change a letter of the event's name."""
    found = _NAME.search(line)
    if found is None:
        return garble(line, rng)
    at = rng.randrange(found.start(), found.end())
    letter = rng.choice([c for c in b"abcdefghijklmnopqrstuvwxyz_" if c != line[at]])
    return line[:at] + bytes([letter]) + line[at + 1 :]


def swapped(text: bytes, seed: int, swaps: int, *, kept: bytes) -> bytes:
    """Return *text* with some lines exchanged for later ones; lines that have *kept* in them stay."""
    rng = random.Random(seed)
    lines = text.split(b"\n")[:-1]
    places = [at for at, line in enumerate(lines) if kept not in line]
    for _ in range(swaps):
        left, right = rng.sample(places, 2)
        lines[left], lines[right] = lines[right], lines[left]
    return b"".join(line + b"\n" for line in lines)


_WAYS: Final = (cut, garble, behead, blot, rename)


def harmed(text: bytes, seed: int, harms: int, *, kept: bytes = b"\0 none") -> Harmed:
    """Return *text* with some lines harmed, or joined with the next one; lines that have *kept* in them stay."""
    rng = random.Random(seed)
    lines = text.split(b"\n")[:-1]
    chosen = rng.sample([at for at, line in enumerate(lines) if kept not in line and len(line) > 40], harms)
    joined = set()
    for at in sorted(chosen):
        can_join = at + 1 < len(lines) and at + 1 not in chosen and at not in joined and kept not in lines[at + 1]
        if can_join and not rng.randrange(6):
            joined.add(at + 1)
        else:
            lines[at] = rng.choice(_WAYS)(lines[at], rng)
    ends = [b"" if at + 1 in joined else b"\n" for at in range(len(lines))]
    return Harmed(text=b"".join(line + end for line, end in zip(lines, ends, strict=True)), lines=tuple(sorted(chosen)))


# -- files, in any way: what is left may be valid, and say something else

ODD_NUMBERS: Final = (
    b"", b"-1", b"0", b"9" * 5000, b"f" * 5000, "\u00b2".encode(), "\u0663".encode(), b"1e9", b"Infinity", b"0x", b"1_0",
    *(b"%d" % (1 << bits) for bits in (31, 32, 50, 53, 60, 62, 63, 64, 70)), *(b"%x" % (1 << bits) for bits in (40, 52, 64, 70)),
    b"1000000000", b"(" * 5000 + b")" * 5000,
)  # fmt: skip
_NUMBER: Final = re.compile(rb"(?<![A-Za-z_])(?:0x)?[0-9a-f]*[0-9][0-9a-f]*")
_ODD_BYTES: Final = (
    b"\0", b"\xff", b"\x1b[2J", b"\n", b"\r", b"\t", b" ", b"\0" * 4096, b"\xed\xa0\x80", "\u2028".encode(), "\u202e".encode(),
    b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"(" * 5000, b"{" * 5000, b"A" * 70_000,
)  # fmt: skip


def odd_number(data: bytes, rng: random.Random) -> bytes:
    """Put an odd number in the place of one."""
    places = [found.span() for found in _NUMBER.finditer(data)]
    if not places:
        return data + rng.choice(ODD_NUMBERS)
    start, stop = rng.choice(places)
    return data[:start] + rng.choice(ODD_NUMBERS) + data[stop:]


def odd_bytes(data: bytes, rng: random.Random) -> bytes:
    """Put odd bytes in, or in the place of some."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_ODD_BYTES) + data[at + rng.choice((0, 0, 1, 40)) :]


def other_bits(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 8) if out else 0):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def cut_off(data: bytes, rng: random.Random) -> bytes:
    """Lose the end, or the beginning."""
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.randrange(4) else data[at:]


def lose(data: bytes, rng: random.Random) -> bytes:
    """Lose some bytes."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 200) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """Have some bytes, or a line, many times."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join([*lines[:at], *lines[at : at + 1] * rng.choice((2, 2, 500)), *lines[at + 1 :]])


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    """Exchange two lines."""
    lines = data.split(b"\n")
    left, right = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[left], lines[right] = lines[right], lines[left]
    return b"\n".join(lines)


def other_ends(data: bytes, rng: random.Random) -> bytes:
    """Have other ends of lines, or none."""
    return data.replace(b"\n", rng.choice((b"\r", b"\r\n", b" ", b"\0", "\u2028".encode(), b"\n\n\n")))


def other_encoding(data: bytes, rng: random.Random) -> bytes:
    """Have another encoding, or the mark of one."""
    text = data.decode("latin-1")
    return rng.choice((text.encode("utf-16"), b"\xff\xfe" + data, text.encode("utf-32"), b"\xef\xbb\xbf" + data))


def none_of_it(data: bytes, rng: random.Random) -> bytes:
    """Be empty, or something else altogether."""
    return rng.choice((b"", b"\0" * 9000, rng.randbytes(3000), b"9" * 5000, data[::-1], "\u00b2\n".encode()))


HARMS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    odd_number, odd_number, odd_number, odd_bytes, other_bits, cut_off, lose, repeat, swap_lines, other_ends, other_encoding,
    none_of_it,
)  # fmt: skip
NODES: Final = (
    "a directory",
    "a FIFO",
    "a socket",
    "a link outside",
    "a link to itself",
    "a link to a device",
    "nothing",
)
"""What may be in the place of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Files that were harmed: their bytes by name, or which of ``NODES`` is in their place; and how."""

    files: Mapping[str, bytes | str]
    harm: str


def mutant(files: Mapping[str, bytes], seed: int) -> Mutant:
    """Return *files* with one or two of them harmed in one or two ways."""
    rng = random.Random(seed)
    found: dict[str, bytes | str] = dict(files)
    harms = []
    for name in rng.sample(sorted(files), min(rng.choice((1, 1, 1, 2)), len(files))):
        if not rng.randrange(12) and len(files) > 1:
            found[name] = rng.choice(NODES)
            harms.append(f"{name}: {found[name]}")
            continue
        data = files[name]
        for _ in range(rng.choice((1, 1, 2))):
            harm = rng.choice(HARMS)
            data = harm(data, rng)
            harms.append(f"{name}: {harm.__name__}")
        found[name] = data
    return Mutant(files=found, harm=", ".join(harms))


def put(files: Mapping[str, bytes | str], folder: Path, outside: Path) -> None:
    """Write files, or what is in their place, into *folder*; a link that leads out of it leads to *outside*."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case bytes():
                path.write_bytes(content)
            case "a directory":
                path.mkdir()
            case "a FIFO":
                os.mkfifo(path)
            case "a socket":
                os.mknod(path, stat.S_IFSOCK | 0o600)
            case "a link outside":
                path.symlink_to(outside)
            case "a link to itself":
                path.symlink_to(path.name)
            case "a link to a device":
                path.symlink_to("/dev/zero")
