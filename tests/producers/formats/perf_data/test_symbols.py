"""Names of addresses by what the kernel was linked to: its vmlinux or System.map, moved to where a boot had it."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pagetrail.producers.formats.tracepoints.symbols import Symbols
from pagetrail.producers.formats.tracepoints.vmlinux import linked_symbols
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.producers.formats.perf_data import maker as mk
from tests.producers.formats.perf_data.maker import FREE, Made

LINKED, MOVED, MODULE = 0xFFFFFFFF81000000, 0xFFFFFFFFA3E00000, 0xFFFFFFFFC0001000
SYMBOLS = ((LINKED, 1, "_text"), (LINKED + 0x100, 0, "inner"), (LINKED + 0x200, 1, "outer"), (0x18, 1, "per_cpu"))
BUILD_ID = bytes(range(1, 21))
UNCHECKED = "could not be checked against the recording's build id"
MADE = replace(Made(), sample_type=mk.USUAL | mk.CALLCHAIN)


def vmlinux(symbols: Sequence[tuple[int, int, str]] = SYMBOLS, *, elf_class: int = 2) -> bytes:
    """Return an ELF file with a table of symbols (address, binding, name) and a build id."""
    names, rows = b"\0", bytes(24)
    for address, binding, name in symbols:
        rows += struct.pack("<IBBHQQ", len(names), binding << 4 | 2, 0, 1, address, 0)
        names += name.encode() + b"\0"
    note = struct.pack("<III", 4, len(BUILD_ID), 3) + b"GNU\0" + BUILD_ID
    titles = b"\0.symtab\0.strtab\0.note.gnu.build-id\0.shstrtab\0"
    parts = [(".symtab", 2, rows, 2, 24), (".strtab", 3, names, 0, 0), (".note.gnu.build-id", 7, note, 0, 0)]
    parts.append((".shstrtab", 3, titles, 0, 0))
    head, body = 64, b""
    table = bytes(64)
    for name, kind, data, link, size in parts:
        title = titles.index(name.encode() + b"\0")
        table += struct.pack("<IIQQQQIIQQ", title, kind, 0, 0, head + len(body), len(data), link, 0, 1, size)
        body += data
    ident = b"\x7fELF" + bytes((elf_class, 1, 1)) + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, head + len(body), 0, 64, 0, 0, 64, 5, 4) + body + table


def kernel_map(first: int) -> bytes:
    where = struct.pack("<iiQQQ", -1, 0, first, 0x4000000, first) + b"[kernel.kallsyms]_text\0\0"
    return mk.record(1, where + MADE.trailer(0, 0, 0), misc=1)


def module_map(name: bytes) -> bytes:
    where = struct.pack("<iiQQQ", -1, 0, MODULE, 0x1000, 0) + name + bytes(8 - len(name) % 8)
    return mk.record(1, where + MADE.trailer(0, 0, 0), misc=1)


def stack(folder: Path, maps: list[bytes], *addresses: int, **given: Path) -> tuple[str, list[str]]:
    """Return the stack of an event with these addresses, and the notes."""
    sample = MADE.sample(FREE, 10, 10, 0, chain=(mk.KERNEL, *addresses))
    (folder / "perf.data").write_bytes(MADE.file([*maps, sample]))
    with open_recording(folder / "perf.data", **given) as recording:  # type: ignore[arg-type]  # paths of symbols
        (row,) = [
            row for row in to_arrow(concat(list(recording.parser.batches()))).to_pylist() if row["kind"] == Kind.FREE
        ]
        return row["stack"], recording.parser.account.notes


def given(folder: Path, what: str) -> Path:
    path = folder / what
    if what == "vmlinux":
        path.write_bytes(vmlinux())
    else:
        path.write_text(
            "".join(f"{one:016x} {'tT'[binding]} {name}\n" for one, binding, name in SYMBOLS if one >= LINKED)
        )
    return path


@pytest.mark.parametrize("what", ["vmlinux", "System.map"])
@pytest.mark.parametrize("first", [LINKED, MOVED])
def test_linked_symbols_name_addresses_wherever_the_boot_had_the_kernel(what: str, first: int, tmp_path: Path) -> None:
    found, notes = stack(tmp_path, [kernel_map(first)], first + 0x105, first + 0x210, vmlinux=given(tmp_path, what))
    assert found == "inner+0x5\nouter+0x10"
    assert [UNCHECKED in note for note in notes] == [True]
    assert ("the recording has none" in notes[0]) == (what == "vmlinux")


@pytest.mark.parametrize(("end", "named"), [(0x4000000, True), (0x4000001, False)])
def test_a_map_of_more_code_than_the_boot_had_names_nothing(end: int, named: bool, tmp_path: Path) -> None:
    path = given(tmp_path, "System.map")
    path.write_text(path.read_text() + f"{LINKED + end:016x} T _etext\n")
    found, notes = stack(tmp_path, [kernel_map(MOVED)], MOVED + 0x105, vmlinux=path)
    assert found == ("inner+0x5" if named else "_text:0x105")
    assert (UNCHECKED in notes[0]) == named
    assert ("of another kernel, and not used: its code would end at 0xffffffffa7e00001" in notes[0]) != named


def test_without_symbols_two_boots_have_the_same_stack(tmp_path: Path) -> None:
    module = module_map(b"/lib/modules/6.1/kernel/fs/ext4/my-fs.ko.xz")
    found = [stack(tmp_path, [kernel_map(first), module], first + 0x105, MODULE + 0x20) for first in (LINKED, MOVED)]
    assert [one for one, _ in found] == ["_text:0x105\nmy_fs:0x20 [my_fs]"] * 2
    assert "2 addresses of stacks have no name" in found[0][1][0]


def test_linked_symbols_say_nothing_of_modules(tmp_path: Path) -> None:
    maps = [kernel_map(MOVED), module_map(b"[ext4]")]
    found, _ = stack(tmp_path, maps, MODULE + 0x20, 0xFFFFFFFFD0000000, vmlinux=given(tmp_path, "vmlinux"))
    assert found == "ext4:0x20 [ext4]\n0xffffffffd0000000"


@pytest.mark.parametrize("maps", [[], [kernel_map(MOVED + 0x1234)]], ids=["no place", "no place of a kernel"])
def test_linked_symbols_without_a_place_name_nothing(maps: list[bytes], tmp_path: Path) -> None:
    found, notes = stack(tmp_path, maps, MOVED + 0x105, vmlinux=given(tmp_path, "vmlinux"))
    assert "inner" not in found
    assert "not used" in notes[0]


def test_a_vmlinux_of_another_build_names_nothing(tmp_path: Path) -> None:
    for build_id, expected in ((BUILD_ID, "inner+0x5"), (BUILD_ID[::-1], "_text:0x105")):
        sample = MADE.sample(FREE, 10, 10, 0, chain=(mk.KERNEL, MOVED + 0x105))
        (tmp_path / "perf.data").write_bytes(replace(MADE, build_id=build_id).file([kernel_map(MOVED), sample]))
        with open_recording(tmp_path / "perf.data", vmlinux=given(tmp_path, "vmlinux")) as recording:
            rows = to_arrow(concat(list(recording.parser.batches()))).to_pylist()
            assert [row["stack"] for row in rows if row["stack"]] == [expected]
            assert ["of another kernel" in one for one in recording.parser.account.notes[:1]] == [True] * (
                build_id != BUILD_ID
            )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (vmlinux(()), "found none"), (vmlinux()[:200], "expected a whole vmlinux"), (vmlinux(elf_class=1), "found"),
        (b"\x7fELF", "expected a whole vmlinux"), (b"text\n", "expected lines of"),
    ],
    ids=["no symbols", "cut", "32 bits", "magic", "text"],
)  # fmt: skip
def test_what_is_no_vmlinux_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(data)
    with pytest.raises(InputError, match=said):
        linked_symbols(tmp_path / "vmlinux")


def test_symbols_of_a_boot_are_never_moved() -> None:
    symbols = Symbols([(LINKED, "T", "_text", ""), (LINKED + 0x100, "t", "inner", "")])
    assert not symbols.placed("_text", MOVED)
    assert symbols.placed("_text", LINKED)
