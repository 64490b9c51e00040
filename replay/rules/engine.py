"""One stream's fold: events in, sealed stretches out. Reads top-down: a batch, its hot rows, its rare ones, the seals."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import Facts, RecordingPart
from pagetrail.replay.fold.decode import Events, StackTable, TextTable, decode
from pagetrail.replay.fold.fold_jit import DONE, ROOM, SEAL, SECTION, fold
from pagetrail.replay.fold.notice_jit import doubt, note, quarantine
from pagetrail.replay.fold.options import OPT_FLOOR, OPT_LOSS, OPT_MAX_PFN, OPTIONS
from pagetrail.replay.fold.tables import (
    DOUBTS,
    EVENTS,
    LAST_SEQ,
    LAST_TS,
    LIVE,
    NO_EVENT,
    QUARANTINE,
    RUNS,
    Tables,
    new_tables,
    with_room,
)
from pagetrail.replay.rules.baselines import drop_view
from pagetrail.replay.rules.boot import ask_clients
from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.replay.rules.clients.client import Client
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.open_baseline import OpenView
from pagetrail.replay.rules.page_ext import node_spans
from pagetrail.replay.rules.page_values import PageValues, extents
from pagetrail.replay.rules.rare_events import RULES
from pagetrail.replay.rules.sections import MAX_SECTIONS, X86_64_PAGES_PER_SECTION, Sections
from pagetrail.replay.store.state_digest import EndedSums
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Gap
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.owner import ABSENT64, Anomaly
from pagetrail.schemas.store.names import fold_name

SEGMENT_FLOOR = 131_072
"""A segment holds at least so many events: below, the file's own size would outweigh them."""

_KINDS = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOptions:
    """What shapes a fold, beside its version. Of *clients* of page_ext it keeps those that a recording's kernel needed."""

    correct: bool = True
    floor: int = SEGMENT_FLOOR
    clients: tuple[Client, ...] = CLIENTS

    @property
    def name(self) -> str:
        """The folder of its segments."""
        return fold_name(correct=self.correct, clients=[client.name for client in self.clients])


class StreamEngine:
    """The state of one stream, and the rules that move it.

    ``apply`` yields each time a segment is full, with the state exactly at its end; the caller seals before it goes on.
    """

    def __init__(self, *, host: str, boot_id: str, options: FoldOptions) -> None:
        self.host, self.boot_id, self.options = host, boot_id, options
        self.facts = Facts()
        self.sections = Sections(self.facts.sections)
        self.comms, self.stacks = TextTable(), StackTable()
        self.tables: Tables = new_tables(X86_64_PAGES_PER_SECTION)
        self.values = PageValues(options.clients, X86_64_PAGES_PER_SECTION)
        self.segment_first_seq = 0
        self.segment_first_ts: int | None = None
        self.parent_digest = ""
        self.ended = EndedSums()
        self.differences: list[dict[str, object]] = []
        self.view: OpenView | None = None
        self.opts = np.zeros(OPTIONS, np.int64)
        self.opts[OPT_FLOOR] = options.floor
        self._room = np.zeros(1, np.int64)
        self.set_section_size(X86_64_PAGES_PER_SECTION)
        ask_clients(self, None, NO_EVENT)

    # -- a batch ---------------------------------------------------------------------------------------------------------

    def apply(self, header: FrameHeader, batch: EventBatch) -> Iterator[None]:
        """Fold the rows of a frame that are not folded yet; yield wherever a segment ends."""
        part = self._part(header)
        first = int(batch.columns["seq"][0])
        start = part.next_seq - first
        if start < 0:
            self._hole(part, header)
        events = decode(batch, self.comms, self.stacks)
        for _ in self._rows(part, events, batch, max(start, 0)):
            self._frame_done(part, header)
            yield
        self._frame_done(part, header)

    def _part(self, header: FrameHeader) -> RecordingPart:
        """Return the recording that a frame belongs to; a new one comes after all that is known."""
        for part in self.facts.recordings:
            if part.recording == header.recording:
                return part
        part = RecordingPart(recording=header.recording, base_seq=int(self.tables.counts[LAST_SEQ]) + 1)
        self.facts.recordings.append(part)
        return part

    def _hole(self, part: RecordingPart, header: FrameHeader) -> None:
        """Frames that will not come any more: between their neighbours nothing is sure, and a dump is not whole."""
        drop_view(self)
        lo = self.last_ts if self.last_ts is not None else header.first_ts
        missing = "frames of the recording are missing from the log"
        lost = header.first_seq - part.next_seq
        gap = Gap(t_lo=lo, t_hi=header.first_ts, lost=lost, reason=missing)
        self.lose(part.base_seq + header.first_seq, header.first_ts, None, gap)

    def _frame_done(self, part: RecordingPart, header: FrameHeader) -> None:
        """Go on to the next frame when this one is folded whole: a segment may end with it."""
        if part.next_seq > header.last_seq:
            part.next_frame = max(part.next_frame, header.frame + 1)

    def _rows(self, part: RecordingPart, e: Events, batch: EventBatch, start: int) -> Iterator[None]:
        i, n = start, len(batch)
        while i < n:
            before = i
            i, why = fold(self.tables, self.opts, e, part.base_seq, i, self._room)
            self._count(e.kind[before:i])
            if i > before:
                self.values.feed(e, before, i, part.base_seq, self.tables, int(self.opts[OPT_MAX_PFN]))
                self._advance(part, e, before, i)
            if why == SEAL:
                yield
                self._begin_segment()
            elif why == ROOM:
                self.tables = with_room(self.tables, int(self._room[0]))
            elif why == SECTION and (gone := self._not_there(int(self._room[0]))) is not None:
                self._refuse(part, e, i, gone)
                self._count(e.kind[i : i + 1])
                self._advance(part, e, i, i + 1)
                i += 1
            elif why == SECTION:
                self.open_inferred(int(self._room[0]), part.base_seq + int(e.seq[i]), int(e.ts[i]))
            elif why != DONE:
                if self._full(int(e.ts[i])):
                    yield
                    self._begin_segment()
                stop = self._rare(part, e, batch, i)
                self._count(e.kind[i:stop])
                self._advance(part, e, i, stop)
                i = stop
                if e.kind[i - 1] == Kind.RECORDING_END:
                    yield
                    self._begin_segment()

    def _advance(self, part: RecordingPart, e: Events, start: int, stop: int) -> None:
        part.next_seq = int(e.seq[stop - 1]) + 1
        part.last_ts = int(e.ts[stop - 1])
        if part.first_ts is None:
            part.first_ts = int(e.ts[start])
        if self.segment_first_ts is None:
            self.segment_first_ts = int(e.ts[start])

    def _count(self, kinds: NDArray[np.int8]) -> None:
        for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True):
            name = Kind(kind).name.lower() if kind in _KINDS else f"unknown kind {kind}"
            self.facts.events[name] = self.facts.events.get(name, 0) + int(count)

    # -- segments --------------------------------------------------------------------------------------------------------

    def _full(self, ts: int) -> bool:
        """Whether the segment ends before an event at *ts*: a function of the events alone (as in ``fold``)."""
        counts = self.tables.counts
        rises = counts[LAST_TS] != NO_EVENT and ts > counts[LAST_TS]
        return bool(rises and counts[EVENTS] > max(self.opts[OPT_FLOOR], counts[LIVE]))

    def _begin_segment(self) -> None:
        counts = self.tables.counts
        counts[EVENTS] = counts[RUNS] = counts[DOUBTS] = counts[QUARANTINE] = 0
        self.values.begin_segment()
        self.differences.clear()
        self.segment_first_seq = int(counts[LAST_SEQ]) + 1
        self.segment_first_ts = None

    @property
    def last_seq(self) -> int:
        """stream_seq of the last event folded; -1 before the first."""
        return int(self.tables.counts[LAST_SEQ])

    @property
    def last_ts(self) -> int | None:
        """Trace clock of the last event folded, ns: the horizon of every answer."""
        last = int(self.tables.counts[LAST_TS])
        return None if last == NO_EVENT else last

    # -- rare events -----------------------------------------------------------------------------------------------------

    def _rare(self, part: RecordingPart, e: Events, batch: EventBatch, i: int) -> int:
        """Fold a rare event, or a stretch of a dump's records of one time; return the row after it."""
        kind, stop = int(e.kind[i]), i + 1
        event = EventRow(seq=part.base_seq + int(e.seq[i]), ts=int(e.ts[i]), batch=batch, row=i)
        if kind == Kind.BASELINE_ENTRY:
            others = np.flatnonzero((e.kind[i:] != Kind.BASELINE_ENTRY) | (e.ts[i:] != event.ts))
            stop = i + int(others[0]) if others.size else len(batch)
            if self.view is not None:
                self.view.parts.append(batch.slice(i, stop))
        elif kind not in _KINDS or not event.is_understood(Kind(kind)):
            self.quarantine(Anomaly.NOT_AN_EVENT, event.seq, event.ts, int(e.pfn[i]), int(e.order[i]))
        elif (rule := RULES.get(Kind(kind))) is not None:
            rule(self, event)
        self._folded(part.base_seq + int(e.seq[stop - 1]), int(e.ts[stop - 1]), stop - i)
        return stop

    def _folded(self, seq: int, ts: int, events: int) -> None:
        counts = self.tables.counts
        counts[EVENTS] += events
        counts[LAST_TS], counts[LAST_SEQ] = ts, seq

    def lose(self, seq: int, ts: int, cpu: int | None, gap: Gap) -> None:
        """Take note of a loss that was reported at *ts*."""
        self.facts.lose(seq, ts, cpu, gap)
        self.opts[OPT_LOSS] += 1

    def quarantine(self, why: Anomaly, seq: int, ts: int, pfn: int, order: int, nr_pages: int = 1) -> None:
        """Set aside what cannot be; it casts doubt on the pages that it names, if there can be such."""
        self.tables = with_room(self.tables, 1)
        quarantine(self.tables, seq, pfn, order, int(why))
        stop = min(pfn + max(nr_pages, 1), int(self.opts[OPT_MAX_PFN]))
        if 0 <= pfn < stop:
            doubt(self.tables, pfn, stop - pfn, ABSENT64 + 1, ts, seq, int(why))

    # -- sections --------------------------------------------------------------------------------------------------------

    def allocate(self, section_nr: int, seq: int, ts: int, how: str, *, fresh: bool = False) -> None:
        """Give a section its extension, for all clients; *fresh*: the allocation itself is seen."""
        self.tables = self.sections.allocate(self.tables, section_nr, seq, ts, how)
        self.values.allocated(self.tables, section_nr, seq, ts, fresh=fresh)

    def free(self, section_nr: int, seq: int, ts: int, end_how: str) -> None:
        """Take a section's extension away, of all clients."""
        self.values.freed(self.tables, section_nr, seq, ts)
        self.tables = self.sections.free(self.tables, section_nr, seq, ts, end_how)

    def open_inferred(self, section_nr: int, seq: int, ts: int) -> None:
        """Open a section that must be there, as an event or a dump names a page of it; nothing, when it is open."""
        if self.sections.is_open(section_nr) or self.beyond_nodes(section_nr):
            return
        self.allocate(section_nr, seq, ts, "inferred")
        note(self.tables, int(Anomaly.SECTION_OPENED), self.facts.pages_per_section, seq)

    def _not_there(self, section_nr: int) -> Anomaly | None:
        """Return why a section's memory is surely not there; null: it may be.

        It was seen to go, and would have been seen to come back; or it is none of the nodes' of a FLATMEM kernel.
        """
        if self.beyond_nodes(section_nr):
            return Anomaly.BEYOND_MACHINE
        went = max((e.end_ts for e in self.facts.sections if e.section_nr == section_nr), default=None)
        gone = went is not None and self.facts.covered_since("hotplug", went)
        return Anomaly.SECTION_GONE if gone else None

    def beyond_nodes(self, section_nr: int) -> bool:
        """Whether there can be no such memory, as all that there can be is known: that of a FLATMEM kernel's nodes."""
        boot = self.facts.boot
        flat = boot is not None and boot.memory_model == "FLATMEM" and bool(node_spans(boot))
        return flat and not self.sections.is_open(section_nr)

    def _refuse(self, part: RecordingPart, e: Events, i: int, why: Anomaly) -> None:
        """Set aside an event on pages that are not there."""
        seq, ts, pfn, order = part.base_seq + int(e.seq[i]), int(e.ts[i]), int(e.pfn[i]), int(e.order[i])
        nr_pages = extents(Events(*(column[i : i + 1] for column in e)), self.facts.pages_per_section)[1]
        self.quarantine(why, seq, ts, pfn, order, int(nr_pages[0]))
        if e.kind[i] == Kind.MIGRATE:
            doubt(self.tables, int(e.src_pfn[i]), 1, ABSENT64 + 1, ts, seq, int(why))
        self._folded(seq, ts, 1)

    def set_section_size(self, pages: int) -> None:
        """Let sections have so many pages; there are none yet."""
        self.facts.pages_per_section = pages
        self.opts[OPT_MAX_PFN] = pages * MAX_SECTIONS
        if self.tables.owner.shape[1] != pages:
            empty = np.full((0, pages), -1, np.int32)
            self.tables = self.tables._replace(owner=empty, kernel=empty.copy())
            self.values.set_section_size(pages)
