"""Read from dmesg what a replay needs: the relation of the clocks, the machine's memory, and the bytes of page_ext."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pagetrail.schemas.linux.mmzone import PAGE_SHIFT

# Times are below 31 years, sizes and counts below 2^60: what has more digits is no line that a kernel prints.
_LINE: Final = re.compile(r"(?:<[0-9]{1,9}>)?\[\s*([0-9]{1,9})\.([0-9]{6})\](?:\[[^\]]*\])? (.*)")
_STABLE: Final = re.compile(
    r"sched_clock: Marking stable \((-?[0-9]{1,18}), (-?[0-9]{1,18})\)->\((-?[0-9]{1,18}), (-?[0-9]{1,18})\)"
)
_UNSTABLE: Final = re.compile(r"sched_clock: Marking unstable ")
_VERSION: Final = re.compile(r"Linux version (\S+)")
_CMDLINE: Final = re.compile(r"(?:Kernel c|C)ommand line: (.*)")
_INIT: Final = re.compile(r"Run \S+ as init process")
_REFUSED: Final = re.compile(r".*\bFailed to add event\(-?[0-9]+\): ")
_PAGE_EXT: Final = re.compile(r"allocated ([0-9]{1,18}) bytes of page_ext")
_BLOCK: Final = re.compile(r"(?:x86/mm: )?Memory block size: ([0-9]{1,9})MB")
_EARLY: Final = re.compile(r"Node [0-9]+, zone\s+\S+: page owner found early allocated ([0-9]{1,18}) pages")
_REPORT: Final = re.compile(r"page_owner tracks the page as (?:allocated|freed)")
_NODE: Final = re.compile(r"\s+node\s+([0-9]{1,4}): \[mem (0x[0-9a-f]{1,16})-(0x[0-9a-f]{1,16})\]")
_ZONE: Final = re.compile(r"\s+(\w+)\s+\[mem (0x[0-9a-f]{1,16})-(0x[0-9a-f]{1,16})\]")
_E820: Final = re.compile(r"BIOS-e820: \[mem (0x[0-9a-f]{1,16})-(0x[0-9a-f]{1,16})\] usable")


@dataclass(frozen=True, slots=True, kw_only=True)
class StableClock:
    """The line that sched_clock prints when it becomes stable: readings of one instant, ns; monotonic + gtod_offset = raw + offset.

    Source: kernel/sched/clock.c, __set_sched_clock_stable (Linux 6.1). From then on local_clock() is
    sched_clock() + *offset*.

    Attributes
    ----------
    printed_nsec
        The line's own timestamp (local_clock, cut to whole microseconds).
    """

    monotonic: int
    gtod_offset: int
    raw: int
    offset: int
    printed_nsec: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dmesg:
    """What a boot's dmesg says; what it does not say is null or empty. Ranges are pages [start_pfn, stop_pfn).

    Attributes
    ----------
    init_ran_nsec
        When the kernel started init, on local_clock(), cut to whole microseconds: all initcalls had returned by then. Null where
        sched_clock was not stable yet. Source: init/main.c, kernel_init and run_init_process (Linux 6.1).
    probe_refused
        Whether the kernel refused a probe of its command line. Source: kernel/trace/trace_kprobe.c, setup_boot_kprobe_events.
    page_reports
        How many reports of single pages there are. Source: mm/page_owner.c, __dump_page_owner (Linux 6.1).
    """

    release: str | None = None
    cmdline: str | None = None
    stable: StableClock | None = None
    unstable_again: bool = False
    init_ran_nsec: int | None = None
    probe_refused: bool = False
    page_ext_bytes: int | None = None
    memory_block_bytes: int | None = None
    early_pages: int | None = None
    page_reports: int = 0
    node_ranges: tuple[tuple[int, int, int], ...] = ()
    zone_ranges: tuple[tuple[str, int, int], ...] = ()
    usable: tuple[tuple[int, int], ...] = ()


def parse_dmesg(text: str, page_shift: int = PAGE_SHIFT) -> Dmesg:
    """Return what *text*, the output of dmesg(1), says; pages have 2^*page_shift* bytes."""
    lines = list(_lines(text))
    bodies = [body for _, body in lines]
    early = _all(_EARLY, bodies)
    block = _first(_BLOCK, bodies)
    page_ext = _first(_PAGE_EXT, bodies)
    return Dmesg(
        release=_first(_VERSION, bodies),
        cmdline=_first(_CMDLINE, bodies),
        stable=_stable(lines),
        unstable_again=bool(_all(_UNSTABLE, bodies)),
        init_ran_nsec=_init_ran(lines),
        probe_refused=bool(_all(_REFUSED, bodies)),
        page_ext_bytes=int(page_ext) if page_ext else None,
        memory_block_bytes=int(block) << 20 if block else None,
        page_reports=len(_all(_REPORT, bodies)),
        early_pages=sum(int(found[1]) for found in early) if early else None,
        node_ranges=tuple((int(m[1]), *_pages(m[2], m[3], page_shift)) for m in _all(_NODE, bodies)),
        zone_ranges=tuple(
            (m[1], *_pages(m[2], m[3], page_shift)) for m in _all(_ZONE, _section(bodies, "Zone ranges:"))
        ),
        usable=tuple(_pages(m[1], m[2], page_shift) for m in _all(_E820, bodies)),
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for line in text.splitlines():
        if found := _LINE.match(line):
            yield int(found[1]) * 1_000_000_000 + int(found[2]) * 1000, found[3]


def _stable(lines: list[tuple[int, str]]) -> StableClock | None:
    for printed, body in lines:
        if found := _STABLE.match(body):
            monotonic, gtod_offset, raw, offset = map(int, found.groups())
            return StableClock(
                monotonic=monotonic, gtod_offset=gtod_offset, raw=raw, offset=offset, printed_nsec=printed
            )
    return None


def _init_ran(lines: list[tuple[int, str]]) -> int | None:
    stable = False
    for printed, body in lines:
        stable |= _STABLE.match(body) is not None
        if _INIT.fullmatch(body):
            return printed if stable else None
    return None


def _first(pattern: re.Pattern[str], bodies: list[str]) -> str | None:
    return next((found[1].strip() for body in bodies if (found := pattern.match(body))), None)


def _all(pattern: re.Pattern[str], bodies: list[str]) -> list[re.Match[str]]:
    return [found for body in bodies if (found := pattern.match(body))]


def _section(bodies: list[str], title: str) -> list[str]:
    """Return the indented lines below the first line that is *title*."""
    if title not in bodies:
        return []
    begin = bodies.index(title) + 1
    end = next((i for i in range(begin, len(bodies)) if not bodies[i].startswith(" ")), len(bodies))
    return bodies[begin:end]


def _pages(first: str, last: str, page_shift: int) -> tuple[int, int]:
    """Return the whole pages within the bytes [first, last], both in hexadecimal."""
    start = -(-int(first, 16) >> page_shift)
    return start, max(start, (int(last, 16) + 1) >> page_shift)
