"""A host's events as text: as tracefs prints them, or as perf script does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.synth.blocks_jit import CPUS
from pagetrail.producers.synth.events import CHUNK_EVENTS, chunks
from pagetrail.producers.synth.lines_jit import MAX_NUMBERS, PIECES, write_lines
from pagetrail.producers.synth.load import LoadHost
from pagetrail.producers.synth.tasks import MASKS, RELEASE, Task, tasks

TextFormat = Literal["ftrace", "perf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How a tool prints an event: formats of the header and of a line's beginning, pieces of the rest, the address of a page."""

    header: str
    head: str
    before_time: str
    alloc: str
    free: str
    hashed: bool


# kernel/trace/trace.c (Linux 6.1), print_event_info and print_func_help_header_irq
_FTRACE: Final = _Form(
    header="""\
# tracer: nop
#
# entries-in-buffer/entries-written: {events}/{events}   #P:{cpus}
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
""",
    head="{comm:>16}-{pid:<7} [",
    before_time="] ..... ",
    alloc=": mm_page_alloc: page=00000000",
    free=": mm_page_free: page=00000000",
    hashed=True,
)
# tools/perf/util/header.c (Linux 6.1), print_hostname and print_osrelease
_PERF: Final = _Form(
    header="# ========\n# hostname : {host}\n# os release : {release}\n# nrcpus online : {cpus}\n# ========\n#\n",
    head="{comm:>16} {pid:>5} [",
    before_time="] ",
    alloc=": kmem:mm_page_alloc: page=0x",
    free=":  kmem:mm_page_free: page=0x",
    hashed=False,
)
_FORMS: Final = {"ftrace": _FTRACE, "perf": _PERF}


def text_blocks(host: LoadHost, text_format: TextFormat, chunk_events: int = CHUNK_EVENTS) -> Iterator[memoryview]:
    """Yield the text of a host's events: the header, then blocks of *chunk_events* lines.

    A block is valid until the next one is asked for.
    """
    form = _FORMS[text_format]
    heads, head_sizes = _table([_head(form, task) for task in tasks()])
    pieces, piece_sizes = _table(_pieces(form))
    longest = heads.shape[1] + int(piece_sizes[:PIECES].sum()) + pieces.shape[1] + MAX_NUMBERS
    out = np.empty(min(chunk_events, host.load.events) * longest, np.uint8)
    header = form.header.format(events=host.load.events, cpus=CPUS, host=host.name, release=RELEASE)
    yield memoryview(header.encode())
    for chunk in chunks(host, chunk_events):
        size = write_lines(
            out, heads, head_sizes, pieces, piece_sizes, form.hashed,
            chunk.ts, chunk.cpu, chunk.task, chunk.pfn, chunk.order, chunk.mask,
        )  # fmt: skip
        yield out[:size].data


def _head(form: _Form, task: Task) -> str:
    return form.head.format(comm=task.comm, pid=task.pid)


def _pieces(form: _Form) -> list[str]:
    ends = [f" migratetype={mask.migratetype} gfp_flags={mask.text}\n" for mask in MASKS]
    return [form.before_time, form.alloc, form.free, " pfn=0x", " order=", "\n", *ends]


def _table(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return texts as rows of bytes, shape (texts, longest), and how long each is."""
    sizes = np.array([len(text) for text in texts], np.int64)
    rows = np.zeros((len(texts), int(sizes.max())), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text.encode("ascii"), np.uint8)
    return rows, sizes
