"""The files that list a machine's memory: zones, and the ranges of pages that are present. What no machine has is not taken.

A line of them with a number that no kernel prints is told to ``unread``, and left out.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from pagetrail.producers.capture.numbers import number
from pagetrail.schemas.details import Zone
from pagetrail.schemas.linux.mmzone import NODES_LIMIT, PAGE_SHIFT, PFN_LIMIT

Ranges = tuple[tuple[int, int], ...]
"""Ranges of pages, [start_pfn, stop_pfn)."""

Unread = Callable[[str], None]

_ZONE: Final = re.compile(r"Node ([0-9]+), zone\s+(\w{1,64})$")
_RAM: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) : System RAM")
_BLOCK: Final = re.compile(r"memory\d+ phys_index=(\S+) state=(\S+)")

_UNIT: Final = 1 << 15
"""Pages of a section of x86_64: ranges are counted in these, since each of them takes memory as a whole."""
_SLACK: Final = 64
_MOST_UNITS: Final = 1 << 19
"""64 TiB: what a kernel with page tables of four levels can have. Source: Documentation/x86/x86_64/mm.rst (Linux 6.1)."""

_SPANNED, _START = "spanned", "start_pfn:"


def parse_zoneinfo(text: str, unread: Unread = lambda line: None) -> tuple[Zone, ...]:
    """Return the zones of /proc/zoneinfo that span pages.

    Source: mm/vmstat.c, zoneinfo_show_print (Linux 6.1).
    """
    zones: list[Zone] = []
    node: int | None = None
    name, spanned = "", 0
    for line in text.splitlines():
        what, *values = line.split() or [""]
        if found := _ZONE.match(line):
            node, name, spanned = number(found[1], stop=NODES_LIMIT), found[2], 0
            if node is None:
                unread(line)
        elif what in (_SPANNED, _START) and len(values) == 1:
            pages = number(values[0], stop=PFN_LIMIT)
            if pages is None:
                unread(line)
                node = None
            elif what == _SPANNED:
                spanned = pages
            elif spanned and node is not None:
                zones.append(Zone(node=node, name=name, start_pfn=pages, stop_pfn=pages + spanned))
    return tuple(zones)


def parse_iomem(text: str, page_shift: int = PAGE_SHIFT, unread: Unread = lambda line: None) -> Ranges:
    """Return the System RAM of /proc/iomem as pages; nothing if it was read without the right to see addresses."""
    ranges = []
    for line in text.splitlines():
        if found := _RAM.match(line):
            first, last = number(found[1], base=16), number(found[2], base=16)
            if first is None or last is None:
                unread(line)
            elif last + 1 > 1:
                ranges.append((-(-first >> page_shift), last + 1 >> page_shift))
    return tuple((start, stop) for start, stop in ranges if start < stop)


def parse_memory_blocks(text: str, block_pages: int, unread: Unread = lambda line: None) -> Ranges:
    """Return the blocks of /sys/devices/system/memory that are not offline, as pages; neighbours joined."""
    blocks = set()
    for line in text.splitlines():
        if (found := _BLOCK.match(line)) and found[2] != "offline":
            block = number(found[1], base=16, stop=PFN_LIMIT // max(block_pages, 1))
            if block is None:
                unread(line)
            else:
                blocks.add(block)
    ranges: list[tuple[int, int]] = []
    for block in sorted(blocks):
        start, stop = block * block_pages, (block + 1) * block_pages
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, stop))
    return tuple(ranges)


def more_than_there_is(ranges: Iterable[tuple[int, int]], pages: int) -> str | None:
    """Return why a machine cannot have all these *ranges*; null: it can.

    Parameters
    ----------
    pages
        How many the machine says that it has; 0: it does not say.
    """
    most = min(2 * (pages // _UNIT) + _SLACK, _MOST_UNITS) if pages else _MOST_UNITS
    units, last = 0, -1
    for start, stop in sorted(ranges):
        first, end = max(start // _UNIT, last + 1), -(-stop // _UNIT)
        units += max(end - first, 0)
        last = max(last, end - 1)
    if units <= most:
        return None
    has = f"it says that it has {pages:,} pages" if pages else f"no machine has more than {_MOST_UNITS * _UNIT:,} pages"
    return f"the ranges touch {units * _UNIT:,} pages, and {has}"
