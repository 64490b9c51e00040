"""How large a page is on the machine of a capture: from its kernel.config, its machine, dmesg and zoneinfo, or the operator."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pagetrail.schemas.errors import InputError
from pagetrail.schemas.linux.mmzone import FIXED_PAGE_SHIFTS, LARGEST_PAGE_BYTES, PAGE_SHIFT

# arch/Kconfig, PAGE_SIZE_*KB and PAGE_SHIFT (Linux 6.9); arch/arm64/Kconfig and arch/powerpc/Kconfig before and since
_CONFIG_SIZE: Final = re.compile(
    r"^CONFIG_(?:PAGE_SIZE_([0-9]{1,4})KB|(?:ARM64|PPC|IA64)_([0-9]{1,4})K_PAGES)=y$", re.M
)
_CONFIG_SHIFT: Final = re.compile(r"^CONFIG_(?:ARM64_|PPC_)?PAGE_SHIFT=([0-9]{1,2})$", re.M)

# mm/page_alloc.c, alloc_large_system_hash (Linux 6.1): the order is ilog2(bytes) - PAGE_SHIFT; small tables may have get_order()
_HASH_TABLE: Final = re.compile(r" hash table entries: [0-9]+ \(order: ([0-9]{1,2}), ([0-9]{1,15}) bytes")

# mm/page_alloc.c, mem_init_print_info (Linux 6.1): all present pages, in KiB
_MEMORY: Final = re.compile(r"\bMemory: [0-9]+K/([0-9]{1,15})K available")
_PRESENT: Final = re.compile(r"^[ \t]+present[ \t]+([0-9]{1,15})$", re.M)

_SHIFTS: Final = range(PAGE_SHIFT, LARGEST_PAGE_BYTES.bit_length())


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSize:
    """log2 of a page's bytes, and what says so; null: it is a guess."""

    shift: int
    known_by: str | None


def page_size(*, config: str, machine: str | None, dmesg: str, zoneinfo: str, given: int | None) -> PageSize:
    """Return the size of the machine's pages.

    Parameters
    ----------
    config, dmesg, zoneinfo
        The texts of kernel.config, dmesg.txt, and of zoneinfo in the first snapshot; empty where they are missing.
    machine
        By uname.
    given
        log2 of the bytes that the operator says.

    Raises
    ------
    InputError
        The operator says something else than the files.
    """
    found = next(_found(config, machine, dmesg, zoneinfo), None)
    if given is None:
        return found or PageSize(shift=PAGE_SHIFT, known_by=None)
    if found is not None and found.shift != given:
        raise InputError(
            f"--page-size {1 << given >> 10}K: {found.known_by} says that pages have {1 << found.shift >> 10}K; leave it out"
        )
    return PageSize(shift=given, known_by="--page-size")


def stated_pages(dmesg: str, zoneinfo: str, page_shift: int) -> int:
    """Return how many pages the machine says that it has, at boot or in its zones, whichever is more; 0: it does not say."""
    memory = _MEMORY.search(dmesg)
    return max((int(memory[1]) << 10 >> page_shift) if memory else 0, _present_in(zoneinfo))


def _present_in(zoneinfo: str) -> int:
    return sum(map(int, _PRESENT.findall(zoneinfo)))


def _found(config: str, machine: str | None, dmesg: str, zoneinfo: str) -> Iterator[PageSize]:
    """Yield what the files say, the best first."""
    sizes = {int(a or b) << 10 for a, b in _CONFIG_SIZE.findall(config)}
    shifts = {int(text) for text in _CONFIG_SHIFT.findall(config)} | {size.bit_length() - 1 for size in sizes}
    yield from _only(shifts, "kernel.config")
    fixed = FIXED_PAGE_SHIFTS.get(machine or "")
    yield from _only(set() if fixed is None else {fixed}, f"the machine, {machine},")
    tables = [(int(order), int(size)) for order, size in _HASH_TABLE.findall(dmesg)]
    by_table = {size.bit_length() - 1 - order for order, size in tables if order > 0 and size & (size - 1) == 0}
    yield from _only(by_table, "the order of hash tables in dmesg.txt")
    memory, present = _MEMORY.search(dmesg), _present_in(zoneinfo)
    if memory and present:
        yield from _only(
            {s for s in _SHIFTS if present << s == int(memory[1]) << 10}, "dmesg.txt, compared with zoneinfo,"
        )


def _only(shifts: set[int], known_by: str) -> Iterator[PageSize]:
    """Yield the only one of *shifts*, if it is possible: what disagrees says nothing."""
    if len(shifts) == 1 and (shift := next(iter(shifts))) in _SHIFTS:
        yield PageSize(shift=shift, known_by=known_by)
