"""One stream's fold: events in, stretches out. Reads top-down: a batch, its frequent rows, its rare rows, the ends of segments."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import MISSING_FRAMES
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.fold.decode import Events, decode
from pagetrail.replay.fold.fold_jit import DONE, RARE, ROOM, SEAL, SECTION, fold, is_full, is_rare
from pagetrail.replay.fold.notice_jit import doubt
from pagetrail.replay.fold.options import OPT_CEILING, OPT_EVENTS_A_LIVE, OPT_FLOOR, OPT_MAX_PFN
from pagetrail.replay.fold.tables import EVENTS, LAST_SEQ, LAST_TS, LIVE, NO_EVENT
from pagetrail.replay.rules.baselines import drop_baseline
from pagetrail.replay.rules.dumped.noting import without_ended
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.rules.page_values import extents
from pagetrail.replay.rules.rare_events import RULES
from pagetrail.replay.rules.state import StreamState
from pagetrail.replay.rules.stretch import Stretch, StretchOrigin, stretch_of
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Gap
from pagetrail.schemas.errors import FrameDamaged, MemoryShort
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.owner import ABSENT64, OPEN_END, Anomaly

_KINDS: Final = frozenset(int(kind) for kind in Kind)


class StreamEngine:
    """Applies events to the state of one stream, and divides the stream into stretches.

    Attributes
    ----------
    short
        Why the last frame was not folded to its end: the state would take more than its ``most_bytes``, which is asked for each
        section, as one frame may name pages of tens of thousands. The rows before are folded, and the frame can be applied again.
        Null: it was.
    """

    def __init__(self, *, host: str, boot_id: str, options: FoldOptions) -> None:
        self.host, self.boot_id, self.options = host, boot_id, options
        self.state = StreamState(correct=options.correct, clients=options.clients, rules=options.rules)
        opts = self.state.opts
        opts[OPT_FLOOR], opts[OPT_EVENTS_A_LIVE], opts[OPT_CEILING] = (
            options.floor,
            options.events_a_live,
            options.ceiling,
        )
        self.segment_first_seq = 0
        self.segment_first_ts: int | None = None
        self.short: MemoryShort | None = None
        self._room = np.zeros(1, np.int64)

    @property
    def last_seq(self) -> int:
        """stream_seq of the last event folded; -1 before the first."""
        return self.state.last_seq

    @property
    def last_ts(self) -> int | None:
        """Trace clock of the last event folded, ns."""
        return self.state.last_ts

    @property
    def open_spans(self) -> int:
        """Number of spans that are open."""
        return int(self.state.tables.counts[LIVE])

    # -- a batch ---------------------------------------------------------------------------------------------------------

    def apply(self, header: FrameHeader, batch: EventBatch) -> Iterator[Stretch]:
        """Fold the rows of a frame that are not yet folded; yield each stretch that ends within it: the content of a segment.

        Raises
        ------
        FrameDamaged
            Its events would have numbers in the stream that are beyond 64 bits.
        MemoryShort
            A boot, or a hotplug call, has more sections than there may be; or a loss, a range or a dump names pages of more
            sections than there is memory for. The state may be half changed.
        """
        self.short = None
        recording = self._recording(header)
        first = int(batch.columns["seq"][0])
        start = recording.next_seq - first
        if recording.base_seq + header.last_seq >= OPEN_END:
            raise FrameDamaged(
                where=f"recording {header.recording}, frame {header.frame}",
                reason=f"events from {header.first_seq} on, of which the numbers in the stream are beyond 64 bits",
            )
        if start < 0:
            self._hole(recording, header)
        events = decode(batch, self.state.comms, self.state.stacks)
        for _ in self._rows(recording, events, batch, max(start, 0)):
            self._frame_done(recording, header)
            yield self.stretch(tip=False)
            self._begin_segment()
        self._frame_done(recording, header)

    def stretch(self, *, tip: bool = True) -> Stretch:
        """Return the present state, with everything that ended since the last segment."""
        origin = StretchOrigin(
            host=self.host, boot_id=self.boot_id, fold=self.options.name,
            digest_name=self.options.digest_name, floor=self.options.floor,
            first_seq=self.segment_first_seq, last_seq=self.last_seq,
            first_ts=self.segment_first_ts, last_ts=self.last_ts, tip=tip,
        )  # fmt: skip
        return stretch_of(self.state, origin)

    def _recording(self, header: FrameHeader) -> StreamRecording:
        """Return the recording that a frame belongs to; a new one is appended to the stream."""
        for known in self.state.facts.recordings:
            if known.recording == header.recording:
                return known
        new = StreamRecording(recording=header.recording, base_seq=self.last_seq + 1, version=header.version)
        self.state.facts.recordings.append(new)
        return new

    def _hole(self, recording: StreamRecording, header: FrameHeader) -> None:
        """Fold missing frames as a gap between their neighbours; an open baseline is incomplete and dropped."""
        drop_baseline(self.state)
        lo = self.last_ts if self.last_ts is not None else header.first_ts
        lost = header.first_seq - recording.next_seq
        gap = Gap(t_lo=lo, t_hi=header.first_ts, lost=lost, reason=MISSING_FRAMES)
        self.state.lose(recording.base_seq + header.first_seq, header.first_ts, None, gap)

    def _frame_done(self, recording: StreamRecording, header: FrameHeader) -> None:
        """Move on to the next frame if this one is folded completely: a segment may end with it."""
        if recording.next_seq > header.last_seq:
            recording.next_frame = max(recording.next_frame, header.frame + 1)

    def _rows(self, recording: StreamRecording, e: Events, batch: EventBatch, start: int) -> Iterator[None]:
        """Fold rows from *start* on; yield wherever a segment ends."""
        state, i, n = self.state, start, len(batch)
        while i < n:
            before = i
            if is_rare(int(e.kind[i])):  # a dump has no other events: the compiled fold is not even loaded
                why = RARE
            else:
                i, why = fold(state.tables, state.opts, e, recording.base_seq, i, self._room)
            self._count(e.kind[before:i])
            if i > before:
                state.values.feed(e, before, i, recording.base_seq, state.tables, int(state.opts[OPT_MAX_PFN]))
                self._advance(recording, e, before, i)
            if why == SEAL:
                yield
            elif why == ROOM:
                state.make_room(int(self._room[0]))
            elif why == SECTION and (gone := state.not_there(int(self._room[0]))) is not None:
                self._refuse(recording, e, i, gone)
                self._count(e.kind[i : i + 1])
                self._advance(recording, e, i, i + 1)
                i += 1
            elif why == SECTION:
                self.short = state.short_of_a_section()
                if self.short is not None:
                    return
                state.open_inferred(int(self._room[0]), recording.base_seq + int(e.seq[i]), int(e.ts[i]))
                state.seat(int(self._room[0]))
            elif why != DONE:
                if self._full(int(e.ts[i])):
                    yield
                stop = self._rare(recording, e, batch, i)
                self._count(e.kind[i:stop])
                self._advance(recording, e, i, stop)
                i = stop
                if e.kind[i - 1] == Kind.RECORDING_END:
                    yield

    def _advance(self, recording: StreamRecording, e: Events, start: int, stop: int) -> None:
        recording.next_seq = int(e.seq[stop - 1]) + 1
        recording.last_ts = int(e.ts[stop - 1])
        if recording.first_ts is None:
            recording.first_ts = int(e.ts[start])
        if self.segment_first_ts is None:
            self.segment_first_ts = int(e.ts[start])

    def _count(self, kinds: NDArray[np.int8]) -> None:
        counted = self.state.facts.events
        found = zip(*np.unique(kinds, return_counts=True), strict=True) if kinds.size > 1 else ((k, 1) for k in kinds)
        for kind, count in found:  # rare events come one by one
            name = Kind(kind).name.lower() if kind in _KINDS else f"unknown kind {kind}"
            counted[name] = counted.get(name, 0) + int(count)

    # -- segments --------------------------------------------------------------------------------------------------------

    def _full(self, ts: int) -> bool:
        """Return whether the segment ends before an event at *ts*: a function of the events alone (as in ``fold``)."""
        counts = self.state.tables.counts
        rises = counts[LAST_TS] != NO_EVENT and ts > counts[LAST_TS]
        if not rises or counts[EVENTS] <= self.state.opts[OPT_FLOOR]:
            return False  # to call a compiled function takes longer than a rare event
        return bool(is_full(self.state.tables, self.state.opts))

    def _begin_segment(self) -> None:
        self.state.begin_segment()
        self.state.said = without_ended(self.state.said, self.state.tables)
        self.segment_first_seq = self.last_seq + 1
        self.segment_first_ts = None

    # -- rare events -----------------------------------------------------------------------------------------------------

    def _rare(self, recording: StreamRecording, e: Events, batch: EventBatch, i: int) -> int:
        """Fold a rare event, or consecutive baseline entries of one time; return the row after it."""
        state, kind, stop = self.state, int(e.kind[i]), i + 1
        event = EventRow(seq=recording.base_seq + int(e.seq[i]), ts=int(e.ts[i]), batch=batch, row=i)
        if kind == Kind.BASELINE_ENTRY:
            others = np.flatnonzero((e.kind[i:] != Kind.BASELINE_ENTRY) | (e.ts[i:] != event.ts))
            stop = i + int(others[0]) if others.size else len(batch)
            if state.baseline is not None:
                state.baseline.add(batch.slice(i, stop))
        elif kind not in _KINDS or not event.is_understood(Kind(kind)):
            state.quarantine(Anomaly.NOT_AN_EVENT, event.seq, event.ts, int(e.pfn[i]), int(e.order[i]))
        elif (rule := RULES.get(Kind(kind))) is not None:
            rule(state, event)
        self._folded(recording.base_seq + int(e.seq[stop - 1]), int(e.ts[stop - 1]), stop - i)
        return stop

    def _folded(self, seq: int, ts: int, events: int) -> None:
        self.state.settle(seq, ts)
        counts = self.state.tables.counts
        counts[EVENTS] += events
        counts[LAST_TS], counts[LAST_SEQ] = ts, seq

    def _refuse(self, recording: StreamRecording, e: Events, i: int, why: Anomaly) -> None:
        """Quarantine an event whose pages are absent."""
        state = self.state
        seq, ts, pfn, order = recording.base_seq + int(e.seq[i]), int(e.ts[i]), int(e.pfn[i]), int(e.order[i])
        nr_pages = extents(Events(*(column[i : i + 1] for column in e)), state.facts.pages_per_section)[1]
        state.quarantine(why, seq, ts, pfn, order, int(nr_pages[0]))
        if e.kind[i] == Kind.MIGRATE:
            doubt(state.tables, int(e.src_pfn[i]), 1, ABSENT64 + 1, ts, seq, int(why))
        self._folded(seq, ts, 1)
