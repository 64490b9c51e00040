"""Ways to harm lines of a text so that the harm can be seen, seeded."""

import random
import re
from dataclasses import dataclass
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
