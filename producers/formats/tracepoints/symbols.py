"""The kernel's symbols: names of addresses, by /proc/kallsyms or System.map."""

import hashlib
import re
from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from pagetrail.producers.inputs import open_input
from pagetrail.schemas.errors import InputError

_LINE: Final = re.compile(rb"([0-9a-f]{8,16}) ([!-~]) ([!-~]{1,512})(?:[ \t]+\[([!-~]{1,64})\])?\s*", re.ASCII)
USED: Final = frozenset(b"TtWwDdBbVv")
KALLSYMS: Final = "kallsyms.txt"
"""The file of a capture directory that has the symbols of its kernel."""

KASLR_STEP: Final = 1 << 16
"""A kernel is moved by whole numbers of so many bytes. Source: arch/x86/Kconfig, PHYSICAL_ALIGN, 2 MiB at least on x86-64;
arch/arm64/include/asm/boot.h, MIN_KIMG_ALIGN, with CONFIG_RELOCATABLE 64 KiB (Linux 6.1)."""

_MOST_BYTES: Final = 1 << 28
END: Final = "_etext"
"""Where a kernel's own code ends. Source: include/asm-generic/sections.h (Linux 6.1)."""
FIRSTS: Final = ("_text", "_stext")
"""By one of these perf says where the kernel is. Source: tools/perf/util/machine.c, ref_reloc_sym_names (Linux 6.1)."""


class Symbols:
    """Names of addresses: each symbol reaches to the next one.

    Of several names of one address, the one that perf chooses counts: no weak one, a global one, fewest underscores in front, the
    longest. Source: tools/perf/util/symbol.c, choose_best_symbol (Linux 6.1).

    Attributes
    ----------
    digest
        BLAKE2b of the file that they were read from, 64 bits in hex.
    linked
        Whether they are where the kernel was linked: a boot may have it elsewhere.
    build_id
        Of the kernel; empty: it is not known.
    """

    def __init__(
        self,
        symbols: Iterable[tuple[int, str, str, str]],
        digest: str = "",
        *,
        linked: bool = False,
        build_id: bytes = b"",
    ) -> None:
        self.digest, self.linked, self.build_id = digest, linked, build_id
        self._moved = 0
        best: dict[int, tuple[tuple[bool, bool, int, int], str]] = {}
        self._kernels: dict[int, str] = {}
        self._firsts: dict[str, int] = {}
        for address, kind, name, module in symbols:
            if name in (*FIRSTS, END) and not module:
                self._firsts.setdefault(name, address)
            rank = (kind in "WwVv", kind.islower(), len(name) - len(name.lstrip("_")), -len(name))
            if address not in best or rank < best[address][0]:
                best[address] = rank, f"{name}\0{module}"
            self._kernels.setdefault(address, f"{name}\0{module}")
        self._addresses = np.array(sorted(best), np.uint64)
        self._texts = [best[int(address)][1] for address in self._addresses]

    def __len__(self) -> int:
        return len(self._texts)

    def as_in_kernel(self) -> "Symbols":
        """Return the same symbols with the names that the kernel prints: of several of one address, the first in kallsyms.

        Source: kernel/kallsyms.c, get_symbol_pos (Linux 6.1).
        """
        found = copy(self)
        found._texts = [self._kernels[int(address)] for address in self._addresses]
        return found

    def address(self, name: str) -> int | None:
        """Return where the kernel's first symbol is, by its *name*, or the end of its code (``END``); null: there is none."""
        return self._firsts.get(name)

    def placed(self, name: str, address: int) -> bool:
        """Take that the kernel's first symbol *name* is at *address*; return whether these can be the symbols of that boot."""
        first = self._firsts.get(name)
        if first is None or (first != address and (not self.linked or (address - first) % KASLR_STEP)):
            return False
        self._moved = address - first
        return True

    def name(self, address: int) -> str | None:
        """Return ``function+0x12``, with ``[module]`` behind it as the kernel prints it; null: no symbol is before *address*."""
        address -= self._moved
        if not 0 <= address < 1 << 64:
            return None
        place = int(np.searchsorted(self._addresses, np.uint64(address), "right")) - 1
        if place < 0:
            return None
        name, _, module = self._texts[place].partition("\0")
        return f"{name}+{address - int(self._addresses[place]):#x}" + (f" [{module}]" if module else "")


def read_symbols(stream: BinaryIO, source: str, *, linked: bool = False) -> Symbols:
    """Return the symbols of a kallsyms or System.map; *linked*: of the latter.

    Raises
    ------
    InputError
        It is none, or all of its addresses are hidden.
    """
    found, hidden, lines, size = [], 0, 0, 0
    digest = hashlib.blake2b(digest_size=8)
    for line in stream:
        digest.update(line)
        lines, size = lines + 1, size + len(line)
        symbol = _LINE.fullmatch(line)
        if symbol is None or size > _MOST_BYTES:
            raise InputError(
                f"{source}: expected lines of /proc/kallsyms or System.map (address, type, name), found {line[:60]!r}, line {lines}"
            )
        address, kind = int(symbol[1], 16), symbol[2]
        hidden += address == 0
        if address and kind[0] in USED:
            found.append((address, kind.decode(), symbol[3].decode(), (symbol[4] or b"").decode()))
    if not found:
        why = "all addresses are 0: read it as root (kernel.kptr_restrict)" if hidden else "no symbol"
        raise InputError(f"{source}: expected the addresses of the kernel's symbols, found {why}")
    return Symbols(found, digest.hexdigest(), linked=linked)


def symbols_of(path: Path) -> Symbols:
    """Return the symbols of a file, behind any compression; see ``read_symbols``."""
    with open_input(path) as stream:
        return read_symbols(stream, path.name)
