"""The symbols of a kernel as it was linked: of its vmlinux, or System.map. Where a boot had them, its recording says."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from pagetrail.producers.formats.tracepoints.symbols import Symbols, read_symbols
from pagetrail.producers.inputs import open_input, source_of
from pagetrail.schemas.errors import InputError

ELF_MAGIC: Final = b"\x7fELF"
_SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
"""Source: include/uapi/linux/elf.h, struct elf64_sym (Linux 6.1)."""
_NO_SECTION: Final = (0, 0xFFF1)
"""SHN_UNDEF and SHN_ABS: numbers that are no addresses, such as those of per-cpu variables."""
_TYPES: Final = (0, 1, 2)
"""STT_NOTYPE, STT_OBJECT, STT_FUNC."""
_LOCAL, _WEAK = 0, 2
_LEAST: Final = 1 << 63
"""Kernels of 64 bits are in the upper half of all addresses."""
_MOST_BYTES: Final = 1 << 28
_BUILD_ID: Final = ".note.gnu.build-id"


def linked_symbols(path: Path) -> Symbols:
    """Return the symbols of a vmlinux (ELF) or a System.map, behind any compression.

    Raises
    ------
    InputError
        It is neither, is stripped, or is not of a little-endian machine of 64 bits.
    """
    with open_input(path) as stream:
        if not stream.peek(len(ELF_MAGIC)).startswith(ELF_MAGIC):
            return read_symbols(stream, path.name, linked=True)
        plain = stream.plain_file()
    if plain is None:
        raise InputError(f"{path.name}: expected a vmlinux, found a compressed one; decompress it, and give the result")
    with source_of(path).raw() as file:
        return _of_elf(file, path.name)


def _of_elf(file: BinaryIO, source: str) -> Symbols:
    try:
        elf = ELFFile(file)
        if elf.elfclass != 64 or not elf.little_endian:
            raise InputError(f"{source}: expected the vmlinux of a little-endian machine of 64 bits, found another one")
        table = elf.get_section_by_name(".symtab")
        if table is None:
            raise InputError(
                f"{source}: expected a vmlinux with symbols, found one without; give the one that was not stripped, or System.map"
            )
        if max(table["sh_size"], elf.get_section(table["sh_link"])["sh_size"]) > _MOST_BYTES:
            raise InputError(f"{source}: expected at most {_MOST_BYTES:,} bytes of symbols, found more")
        rows, names = table.data(), elf.get_section(table["sh_link"]).data()
        note = elf.get_section_by_name(_BUILD_ID)
        build_id = b"" if note is None else note.data()[16:]
    except (ELFError, ValueError, KeyError, AttributeError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{source}: expected a whole vmlinux, found damage ({error})") from error
    digest = hashlib.blake2b(rows + names, digest_size=8).hexdigest()
    found = Symbols(_symbols(rows, names), digest, linked=True, build_id=build_id)
    if not len(found):
        raise InputError(f"{source}: expected the addresses of the kernel's symbols, found none")
    return found


def _symbols(rows: bytes, names: bytes) -> Iterator[tuple[int, str, str, str]]:
    """Yield address, type as kallsyms has it, name and module."""
    table = np.frombuffer(rows[: len(rows) // _SYMBOL.itemsize * _SYMBOL.itemsize], _SYMBOL)
    kept = table[
        (table["value"] >= _LEAST) & np.isin(table["info"] & 15, _TYPES) & ~np.isin(table["section"], _NO_SECTION)
    ]
    for name, info, value in zip(kept["name"].tolist(), kept["info"].tolist(), kept["value"].tolist(), strict=True):
        end = names.find(b"\0", name)
        text = names[name:end] if 0 <= name < end else b""
        if text and not text.startswith((b"$", b".L")):  # marks of assemblers
            binding = info >> 4
            kind = "W" if binding == _WEAK else "t" if binding == _LOCAL else "T"
            yield value, kind, text.decode("utf-8", "backslashreplace"), ""
