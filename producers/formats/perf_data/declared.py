"""What a perf.data declares as recorded completely: by the command and the attributes that it holds.

What is not in the file, it cannot say: a filter is an ioctl, and of a process or of the machine alone samples look alike. So every
word of the command has to be known as one that leaves nothing out; else nothing is declared.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pagetrail.producers.detail_rows import detail_row
from pagetrail.producers.formats.perf_data import perf_event as pe
from pagetrail.producers.formats.perf_data.header import Attr, Header
from pagetrail.producers.parsed import Parser, ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Coverage, Covered, Gap
from pagetrail.schemas.linux.kmem_events import TRACEPOINTS

_ALONE: Final = frozenset("agqvBNRT")
"""Options of one letter that take no argument and leave no event out. Source: tools/perf/builtin-record.c (Linux 6.1)."""
_WITH: Final = frozenset("cekmo")
_LONG_ALONE: Final = frozenset(
    ("--all-cpus", "--no-buildid", "--no-buildid-cache", "--quiet", "--raw-samples", "--timestamp", "--verbose")
)
_LONG_WITH: Final = frozenset(("--call-graph", "--clockid", "--count", "--event", "--mmap-pages", "--output"))
_PACKED: Final = re.compile(r"-z\d*|--compression-level(=\d+)?", re.ASCII)
_EVENTS: Final = re.compile(r"[\w-]+:[\w*?]+(,[\w-]+:[\w*?]+)*", re.ASCII)
"""Names alone: behind a name, there may be modifiers, terms, or a filter."""

_KINDS: Final[dict[Covered, Kind]] = {
    "alloc": Kind.ALLOC, "free": Kind.FREE, "drain": Kind.DRAIN, "refill": Kind.REFILL,
}  # fmt: skip
_END: Final = (
    "perf switches its events off one after another: from here on, not every one of each CPU was seen to be on any more"
)


def declared_kinds(header: Header) -> tuple[Covered, ...]:
    """Return the kinds of which every event of every CPU was recorded, but for what the file says is lost."""
    if (
        header.piped
        or header.cut
        or not is_complete(header.cmdline)
        or not header.cpus
        or header.cpus != header.cpus_there
    ):
        return ()
    attrs: dict[str, list[Attr]] = {}
    for one in header.attrs:
        if one.type == pe.TYPE_TRACEPOINT and one.config in header.formats:
            attrs.setdefault(header.formats[one.config].event, []).append(one)
    whole = [act for act, event in TRACEPOINTS.items() if _are_whole(attrs.get(event, []), header.cpus)]
    return tuple(kind for kind in _KINDS if kind in whole)


def _are_whole(attrs: Sequence[Attr], cpus: int) -> bool:
    """Return whether there are events of a tracepoint, and each takes every hit: of several, one is read."""
    return bool(attrs) and all(_is_whole(one, cpus) for one in attrs)


def _is_whole(attr: Attr, cpus: int) -> bool:
    """Return whether an event takes every hit on each of *cpus* CPUs, and the kernel counts those that it had no room for."""
    return (
        attr.period == 1
        and not attr.flags & pe.LEAVES_OUT
        and bool(attr.read_format & pe.FORMAT_LOST)
        and len(attr.ids) == cpus
        and attr.sample_type & pe.CPU != 0
    )


def is_complete(cmdline: Sequence[str]) -> bool:
    """Return whether the words of a command are those of a ``perf record`` that leaves out nothing of the whole machine."""
    words = list(cmdline[1:])
    if not words or words.pop(0) not in ("record", "rec"):
        return False
    every = False
    while words and words[0].startswith("-") and words[0] != "-":
        option = words.pop(0)
        if option == "--":
            break
        name, value = _taken(option, words)
        if name is None or not _fits(name, value):
            return False
        every = every or name in ("-a", "--all-cpus") or (name == "-" and "a" in value)
    return every


def _taken(option: str, words: list[str]) -> tuple[str | None, str]:
    """Return an option's name and its argument, which may be the first of *words*; null: it is not known."""
    if _PACKED.fullmatch(option):
        return "-z", ""
    if option.startswith("--"):
        name, joined, value = option.partition("=")
        if name in _LONG_ALONE and not joined:
            return name, ""
        if name not in _LONG_WITH or not (joined or words):
            return None, ""
        return name, value if joined else words.pop(0)
    letters = option[1:]
    if _ALONE.issuperset(letters):
        return "-", letters
    if letters[0] not in _WITH or not (letters[1:] or words):
        return None, ""
    return option[:2], letters[1:] or words.pop(0)


def _fits(name: str, value: str) -> bool:
    if name in ("-e", "--event"):
        return _EVENTS.fullmatch(value) is not None
    return name not in ("-c", "--count") or value == "1"


class SelfDeclared:
    """The events of a perf.data by itself, with the coverage that it declares.

    perf switches its events on one after another, and off in the same way: a kind is covered from when each CPU had an event of it,
    and nothing is sure from when the first CPU had its last one.

    Parameters
    ----------
    kinds, cpus
        What is declared, and of how many CPUs.
    """

    def __init__(self, parser: Parser, kinds: tuple[Covered, ...], cpus: int) -> None:
        self._parser, self._kinds, self._cpus = parser, kinds, cpus
        self._place_of = np.full(1 << 8, len(kinds), np.int64)  # of each kind of event; the last place is of all others
        for place, kind in enumerate(kinds):
            self._place_of[_KINDS[kind]] = place
        self._last = np.full(
            (len(kinds) + 1, cpus + 1), -1, np.int64
        )  # times, by place and CPU; the last CPU is any other
        self.account: ReadAccount = parser.account

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events; where a kind begins to be covered, a COVERAGE row, and at the end a GAP."""
        due = set(range(len(self._kinds)))
        latest = 0
        for batch in self._parser.batches():
            if not len(batch):
                continue
            latest = max(latest, int(batch.columns["trace_ts_nsec"].max()))
            begins = self._noted(batch, due)
            done = 0
            for at, place in sorted((at, place) for place, at in begins.items()):
                due.discard(place)
                if at >= done:
                    yield batch.slice(done, at + 1)
                    done = at + 1
                said = Coverage(kinds=(self._kinds[place],), declared_by="perf.data")
                yield detail_row(Kind.COVERAGE, int(batch.columns["trace_ts_nsec"][at]), said)
            yield batch.slice(done, len(batch)) if done else batch
        covered = [int(self._last[place, :-1].min()) for place in range(len(self._kinds)) if place not in due]
        if covered:
            yield detail_row(Kind.GAP, latest, Gap(t_lo=min(covered), t_hi=latest, lost=None, reason=_END))

    def _noted(self, batch: EventBatch, due: set[int]) -> dict[int, int]:
        """Note the last time of each kind and CPU; return by place of a *due* kind the row with which each CPU has had one."""
        cpus = batch.column("cpu").astype(np.int64)
        cpus[(cpus < 0) | (cpus > self._cpus)] = self._cpus
        keys = self._place_of[batch.column("kind").astype(np.intp)] * (self._cpus + 1) + cpus
        first = np.zeros(self._last.size, np.int64)
        if due:
            first[keys[::-1]] = np.arange(len(batch) - 1, -1, -1)  # the last write stays: the first row of each
            first[self._last.ravel() >= 0] = 0
        self._last.ravel()[keys] = batch.column("trace_ts_nsec")
        rows = first.reshape(self._last.shape)[:, :-1]
        return {place: int(rows[place].max()) for place in due if (self._last[place, :-1] >= 0).all()}
