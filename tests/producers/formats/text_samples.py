"""Texts for the tests of the text parsers: a small made-up one of each format, and pieces of the captures."""

import io
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from tests.conftest import WINDOW_SIZE
from tests.oracles.text.reading import Row, rows_of

FTRACE = b"""\
# tracer: nop
#
# entries-in-buffer/entries-written: 15/20   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
          <idle>-0       [000] d....     0.000000: mm_page_alloc: page=(____ptrval____) pfn=0xbec order=1 migratetype=0 gfp_flags=__GFP_NOWARN|__GFP_COMP
          <idle>-0       [000] d....     0.000010: <stack trace>
 => __alloc_pages
 => ext4_grow+0x12/0x340 [ext4]
    kworker/u4:1-25      (     25) [001] .N...     1.500000: mm_page_free: page=00000000fe5fd7e2 pfn=0x11835c order=0
         a b-c d-71      (-------) [000]     1.500001123: mm_page_pcpu_drain: page=0 pfn=0x3dc00 order=9 migratetype=4
           snapd-47      (     47) [001] d....     1.550000: mm_page_alloc_zone_locked: page=0 pfn=0x483c order=1 migratetype=2 percpu_refill=1
           snapd-47      (     47) [001] d....     1.550001: mm_page_alloc_zone_locked: page=0 pfn=0x4840 order=9 migratetype=1 percpu_refill=0
           <...>-833     [001] d....     1.600000: mm_page_alloc: page=(null) pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE
CPU:1 [LOST 2256 EVENTS]
           <...>-833     [001] .....     2.000000: mm_page_free_batched: page=0 pfn=0x5613 order=0
           <...>-833     [001] .....     2.000001: mm_page_alloc_extfrag: page=0 pfn=0x3400 alloc_order=0 fallback_order=10 pageblock_order=9 alloc_migratetype=0 fallback_migratetype=1 fragmenting=0 change_ownership=1
              sh-43      [001] .....     5.469189: tracing_mark_write: LAB: snap 1-boot
              sh-43      [001] .....    28.100000: offline_pages: (offline_pages+0x0/0xc9e) pfn=0x108000 nr_pages=32768
              sh-43      [001] .....    28.143157: copy_owner: (__folio_copy_owner+0x0/0xa0) new=0xffd4000004405000 old=0xffd4000004200000
              sh-43      [001] .....    28.143158: split_owner: (__split_page_owner+0x0/0x50) page=0xffd4000000212000 nr=32
              sh-43      [000] .....    28.143159: iso_owner: (__set_page_owner+0x0/0x100) page=0xffd4000000ff8000 order=4 gfp=0x8
              sh-43      [000] .....    28.200000: offline_pages_ret: (memory_subsys_offline+0x93/0x170 <- offline_pages) ret=-16
CPU:0 [LOST EVENTS]
"""  # noqa: E501 - lines as the kernel prints them

PERF = b"""\
perf   107 [001]    13.926523: kmem:mm_page_alloc: page=0x919f pfn=0x919f order=0 migratetype=0 gfp_flags=GFP_HIGHUSER|__GFP_ACCOUNT
\tffffffff8116cc53 __traceiter_mm_page_alloc+0x43 ([kernel.kallsyms])
\tffffffffc0000010 ext4_grow+0x12 ([ext4])
\tffffffffc0000020 [unknown] ([unknown])
\t           f838f __GI___libc_write+0x4f (/lib/x86_64-linux-gnu/libc.so.6)
\t7878787878787878 [unknown] ([unknown])

            :182   181/182   [000]    14.189694001: kmem:mm_page_free: page=0x4f82b pfn=0x4f82b order=0
              sh   179 [001]    14.189694: PERF_RECORD_LOST lost 35
       some name    -1 [001]    14.189807:  kmem:mm_page_free: page=0x4f82b pfn=0x4f82b order=0
              sh   179 14.189808: sched:sched_switch: whatever
"""


def trickle(data: bytes, sizes: Callable[[], int]) -> BinaryIO:
    """Return *data* as a stream whose reads return as many bytes as *sizes* says."""

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - how much is asked for does not matter
            return super().read(max(1, sizes()))

    return Trickle(data)


def outcome(parser: TextReader) -> dict[str, object]:
    """Return everything that *parser* reads, in a form to compare."""
    rows: list[Row] = rows_of(parser.batches())
    account = parser.account
    return {
        "rows": rows,
        "events": dict(account.events),
        "ignored": dict(account.ignored),
        "not_understood": account.not_understood,
        "first_lines": [example.line for example in account.examples],
        "failed_allocs": account.failed_allocs,
        "lost_events": account.lost_events,
        "truncated": account.truncated is not None,
        "lines": account.lines,
        "classes": classes(account),
    }


def classes(account: ReadAccount) -> dict[str, int]:
    """Return how many lines are of each class."""
    found: Counter[str] = Counter()
    for (what, _), kind in account.kinds.items():
        found[what] += kind.lines
    return dict(found)


def unpacked(path: Path) -> BinaryIO:
    """Open a file of a capture as a stream of its content."""
    raw = path.open("rb")
    stream = zstandard.ZstdDecompressor(max_window_size=WINDOW_SIZE).stream_reader(raw, closefd=True)
    return io.BufferedReader(stream)  # type: ignore[arg-type]


def slices(path: Path, size: int, skips: tuple[int, ...]) -> Iterator[bytes]:
    """Yield pieces of *size* bytes, each after as many bytes more as *skips* says; whole lines but for the last."""
    with unpacked(path) as stream:
        for skip in skips:
            stream.read(skip)
            stream.readline()
            yield stream.read(size)


def mutated(data: bytes, seed: int, changes: int) -> bytes:
    """Return *data* with bytes replaced, removed, doubled and exchanged for others of it."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(changes):
        at = rng.randrange(len(out))
        kind = rng.randrange(6)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] = rng.choice(b" \n\t0x=-:[]().")
        elif kind == 2:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            out[at:at] = out[at : at + rng.randrange(1, 300)]
        elif kind == 4:
            out[at] = out[rng.randrange(len(out))]
        else:
            other = rng.randrange(len(out))
            out[at : at + 8] = out[other : other + 8]
    return bytes(out)


def expected(reading: object) -> dict[str, object]:
    """Return what the reference read in the form of ``outcome``."""
    lines: list[int] = list(reading.not_understood)  # type: ignore[attr-defined]
    names = ("rows", "failed_allocs", "lost_events", "truncated")
    return (
        {name: getattr(reading, name) for name in names}
        | {
            "events": dict(reading.events),  # type: ignore[attr-defined]
            "ignored": dict(reading.ignored),  # type: ignore[attr-defined]
            "not_understood": len(lines),
            "first_lines": list(reading.noted)[:20],  # type: ignore[attr-defined]
            "lines": sum(reading.lines.values()),  # type: ignore[attr-defined]
            "classes": dict(+reading.lines),  # type: ignore[attr-defined]
        }
    )


def batch_rows(batches: list[EventBatch]) -> int:
    """Return how many rows *batches* have."""
    return sum(len(batch) for batch in batches)
