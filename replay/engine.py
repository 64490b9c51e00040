"""One stream's fold: events in, sealed stretches out. Reads top-down: a batch, its hot rows, its rare ones, the seals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pagetrail.replay.clients import CLIENTS
from pagetrail.replay.clients.client import Client
from pagetrail.replay.decode import Events, StackTable, TextTable, decode
from pagetrail.replay.facts import Facts, HotplugCall, RecordingPart
from pagetrail.replay.fold_kernels import DONE, ROOM, SEAL, SECTION, fold
from pagetrail.replay.kernel_options import (
    OPT_FLOOR,
    OPT_LOSS,
    OPT_MAX_PFN,
    OPT_ONLINING_START,
    OPT_ONLINING_STOP,
    OPT_REFILL_COVERED,
    OPT_SKEW,
    OPT_SPLIT_COVERED,
    OPTIONS,
)
from pagetrail.replay.memory_notifier import Call, Extension, memory_action, page_ext_callback, refused, sections_of
from pagetrail.replay.notice_kernels import doubt, note, quarantine
from pagetrail.replay.page_ext import max_order_nr_pages, node_spans
from pagetrail.replay.page_values import PageValues, extents
from pagetrail.replay.sections import MAX_SECTIONS, X86_64_PAGES_PER_SECTION, Sections
from pagetrail.replay.tables import DOUBTS, EVENTS, LAST_SEQ, LAST_TS, LIVE, NO_EVENT, Tables, new_tables, with_room
from pagetrail.replay.views import OpenBaseline, take_view
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import (
    CLOCK_SKEW_OPTION,
    DETAIL_MODELS,
    BaselineBegin,
    Boot,
    Clock,
    Coverage,
    Gap,
    Hotplug,
    Marker,
    RecordingBegin,
    RecordingEnd,
)
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.owner import ABSENT64, DOUBT_HOTPLUG, OPEN_END, Anomaly
from pagetrail.schemas.store import fold_name

SEGMENT_FLOOR = 131_072
"""A segment holds at least so many events: below, the file's own size would outweigh them."""

MAX_SECTION_ORDER = 24
"""log2 of the pages of a section, at most; the largest that we know is 18 (arm64 with 4 KiB pages, before Linux 5.12)."""

MAX_BLOCK_SECTIONS = 1 << 12
"""Sections that one hotplug call names at most: a memory block has no more than 16 on x86_64 (2 GiB)."""

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
        self.differences: list[dict[str, object]] = []
        self.baseline: OpenBaseline | None = None
        self.opts = np.zeros(OPTIONS, np.int64)
        self.opts[OPT_FLOOR] = options.floor
        self._room = np.zeros(1, np.int64)
        self._set_section_size(X86_64_PAGES_PER_SECTION)
        self._needed(None, NO_EVENT)

    # -- a batch ---------------------------------------------------------------------------------------------------------

    def apply(self, header: FrameHeader, batch: EventBatch) -> Iterator[None]:
        """Fold the rows of a frame that are not folded yet; yield wherever a segment ends."""
        part = self._part(header)
        first = int(batch.columns["seq"][0])
        start = part.next_seq - first
        if start < 0:
            self._hole(part, header)
        events = decode(batch, self.comms, self.stacks)
        yield from self._rows(part, events, batch, max(start, 0))
        part.next_frame = max(part.next_frame, header.frame + 1)

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
        self._close_baseline()
        lo = self.last_ts if self.last_ts is not None else header.first_ts
        missing = "frames of the recording are missing from the log"
        lost = header.first_seq - part.next_seq
        gap = Gap(t_lo=lo, t_hi=header.first_ts, lost=lost, reason=missing)
        self.facts.lose(part.base_seq + header.first_seq, header.first_ts, None, gap)
        self.opts[OPT_LOSS] += 1

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
        counts[EVENTS] = 0
        counts[2] = counts[DOUBTS] = counts[4] = 0
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
        kind, seq, ts = int(e.kind[i]), part.base_seq + int(e.seq[i]), int(e.ts[i])
        stop = i + 1
        if kind == Kind.BASELINE_ENTRY:
            others = np.flatnonzero((e.kind[i:] != Kind.BASELINE_ENTRY) | (e.ts[i:] != ts))
            stop = i + int(others[0]) if others.size else len(batch)
            if self.baseline is not None:
                self.baseline.parts.append(batch.slice(i, stop))
        elif kind not in _KINDS or (kind in DETAIL_MODELS and not _understood(Kind(kind), batch, i)):
            self.quarantine(Anomaly.NOT_AN_EVENT, seq, ts, int(e.pfn[i]), int(e.order[i]))
        elif (rule := self._rules.get(Kind(kind))) is not None:
            rule(self, seq, ts, batch, i)
        self._folded(part.base_seq + int(e.seq[stop - 1]), int(e.ts[stop - 1]), stop - i)
        return stop

    def quarantine(self, why: Anomaly, seq: int, ts: int, pfn: int, order: int, nr_pages: int = 1) -> None:
        """Set aside what cannot be; it casts doubt on the pages that it names, if there can be such."""
        self.tables = with_room(self.tables, 1)
        quarantine(self.tables, seq, pfn, order, int(why))
        stop = min(pfn + max(nr_pages, 1), int(self.opts[OPT_MAX_PFN]))
        if 0 <= pfn < stop:
            doubt(self.tables, pfn, stop - pfn, ABSENT64 + 1, ts, seq, int(why))

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

    def _folded(self, seq: int, ts: int, events: int) -> None:
        counts = self.tables.counts
        counts[EVENTS] += events
        counts[LAST_TS], counts[LAST_SEQ] = ts, seq

    def _recording_begin(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        begin = RecordingBegin.model_validate_json(batch.details[i])
        self._close_baseline()
        part = self.facts.recordings[-1]
        part.format, part.source = begin.format, begin.source
        part.clock_skew = clock_skew(begin.options)
        self.opts[OPT_SKEW] = self.facts.clock_skew()
        if self.last_ts is not None:
            lost = Gap(t_lo=self.last_ts, t_hi=ts, reason="between two recordings of the boot")
            self.facts.lose(seq, ts, None, lost)
            self.opts[OPT_LOSS] += 1

    def _recording_end(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        self._close_baseline()
        part = self.facts.recordings[-1]
        part.complete = True
        self.facts.accounts.append((part.recording, RecordingEnd.model_validate_json(batch.details[i])))

    def _boot(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        """The constants of the boot; sections of memory that is present have their extension from then on."""
        boot = Boot.model_validate_json(batch.details[i])
        self.facts.boots.append((ts, boot))
        self._needed(boot, ts)
        if len(self.facts.boots) > 1:
            return
        if boot.memory_model == "FLATMEM":
            self._flatmem(boot, seq, ts)
            return
        bits = 0 if boot.section_size_bits is None else boot.section_size_bits - boot.page_shift
        if 0 < bits <= MAX_SECTION_ORDER and not self.facts.sections:
            self._set_section_size(1 << bits)
        for start, stop in boot.present:
            self._present_at_boot(start, stop, seq, ts)

    def _present_at_boot(self, start: int, stop: int, seq: int, ts: int) -> None:
        pages = self.facts.pages_per_section
        for section_nr in range(max(start // pages, 0), min((stop + pages - 1) // pages, MAX_SECTIONS)):
            if not self.sections.is_open(section_nr):
                self._allocate(section_nr, seq, ts, "boot")

    def _flatmem(self, boot: Boot, seq: int, ts: int) -> None:
        """One extension a node, allocated at boot; no page comes or goes. It is kept in sections of MAX_ORDER_NR_PAGES.

        Source: mm/page_ext.c, page_ext_init_flatmem and lookup_page_ext without CONFIG_SPARSEMEM (Linux 6.1): a node's extension
        begins where MAX_ORDER_NR_PAGES that hold its first page begin.
        """
        if not self.facts.sections:
            self._set_section_size(max_order_nr_pages(boot))
        pages, spans = self.facts.pages_per_section, node_spans(boot)
        for _, start, stop in spans:
            self._present_at_boot(start, stop, seq, ts)
        if spans:
            self.opts[OPT_MAX_PFN] = min(-(-max(span.stop_pfn for span in spans) // pages), MAX_SECTIONS) * pages

    def _needed(self, boot: Boot | None, ts: int) -> None:
        """Ask the clients of page_ext whether they are needed.

        Source: mm/page_ext.c, invoke_need_callbacks (Linux 6.1).
        """
        self.values.need(boot, self.tables.owner.shape[0])
        self.facts.clients = [client.name for client in self.values.needed]
        self.facts.client_ts += [ts] * (len(self.facts.clients) - len(self.facts.client_ts))
        self.facts.fields = list(self.values.fields)

    def _allocate(self, section_nr: int, seq: int, ts: int, how: str, *, fresh: bool = False) -> None:
        """Give a section its extension, for all clients; *fresh*: the allocation itself is seen."""
        self.tables = self.sections.allocate(self.tables, section_nr, seq, ts, how)
        self.values.allocated(self.tables, section_nr, seq, ts, fresh=fresh)

    def _free(self, section_nr: int, seq: int, ts: int, end_how: str) -> None:
        """Take a section's extension away, of all clients."""
        self.values.freed(self.tables, section_nr, seq, ts)
        self.tables = self.sections.free(self.tables, section_nr, seq, ts, end_how)

    def _set_section_size(self, pages: int) -> None:
        self.facts.pages_per_section = pages
        self.opts[OPT_MAX_PFN] = pages * MAX_SECTIONS
        if self.tables.owner.shape[1] != pages:
            empty = np.full((0, pages), -1, np.int32)
            self.tables = self.tables._replace(owner=empty, kernel=empty.copy())
            self.values.set_section_size(pages)

    def open_inferred(self, section_nr: int, seq: int, ts: int) -> None:
        """Open a section that must be there, as an event or a dump names a page of it; nothing, when it is open."""
        if self.sections.is_open(section_nr) or self.beyond_nodes(section_nr):
            return
        self._allocate(section_nr, seq, ts, "inferred")
        note(self.tables, int(Anomaly.SECTION_OPENED), self.facts.pages_per_section, seq)

    def _clock(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        self.facts.clocks.append((ts, Clock.model_validate_json(batch.details[i])))

    def _coverage(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        said = Coverage.model_validate_json(batch.details[i])
        self.facts.coverage.append((ts, said))
        if "split" in said.kinds and said.since is None:
            self.opts[OPT_SPLIT_COVERED] = int(said.begins)
        if "refill" in said.kinds and said.since is None:
            self.opts[OPT_REFILL_COVERED] = int(said.begins)

    def _gap(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        cpu = int(batch.column("cpu")[i])
        gap = Gap.model_validate_json(batch.details[i])
        self.facts.lose(seq, ts, None if cpu == absent("cpu") else cpu, gap)
        self.opts[OPT_LOSS] += 1

    def _marker(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        self.facts.markers.append((seq, ts, Marker.model_validate_json(batch.details[i]).text))

    # -- hotplug ---------------------------------------------------------------------------------------------------------

    def _hotplug(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        """A call online_pages or offline_pages, at entry or return, or word of it afterwards: see ``memory_notifier``."""
        said = Hotplug.model_validate_json(batch.details[i])
        seen = HotplugCall(
            seq=seq, ts=ts, call=said.call, phase=said.phase,
            pfn=_value(batch, "pfn", i), nr_pages=_value(batch, "nr_pages", i), ret=_value(batch, "ret", i),
            pid=_value(batch, "pid", i),
        )  # fmt: skip
        beyond = self.facts.pages_per_section * MAX_SECTIONS
        if seen.pfn is not None and seen.nr_pages is not None and (
            seen.pfn < 0 or not 0 < seen.nr_pages <= MAX_BLOCK_SECTIONS * self.facts.pages_per_section
            or seen.pfn > beyond - seen.nr_pages
        ):  # fmt: skip
            self.quarantine(Anomaly.BEYOND_MACHINE, seq, ts, seen.pfn, absent("order"))
            return
        entry = next((c for c in self.facts.open_calls() if (c.call, c.pid) == (seen.call, seen.pid)), None)
        self.facts.hotplug.append(seen)
        if seen.phase == "return" and entry is None:
            note(self.tables, int(Anomaly.HOTPLUG_UNPAIRED), seen.nr_pages or 0, seq)
            if seen.pfn is None:
                self._unknown_hotplug(seq, ts)
        if seen.phase == "return" and entry is not None:
            if seen.pfn is None:
                seen.pfn, seen.nr_pages = entry.pfn, entry.nr_pages
            if seen.ret is None or any(gap.t_hi >= entry.ts for _, _, gap in self.facts.gaps):
                self._unknown_hotplug(seq, ts)  # its own return may be what was lost, with another's entry
        if self.facts.boot is not None and self.facts.boot.memory_model == "FLATMEM":
            self.quarantine(
                Anomaly.HOTPLUG_ON_FLATMEM, seq, ts, _or(seen.pfn, ABSENT64), absent("order"), _or(seen.nr_pages, 1)
            )
        elif seen.pfn is not None and seen.nr_pages is not None:
            self._hotplug_sections(seen, entry)
        self._set_onlining()

    def _unknown_hotplug(self, seq: int, ts: int) -> None:
        """Some memory came or went, and nothing says which: nothing of what was known of any page is sure.

        Since when: the call was entered in a loss, and after the last one that was seen, as calls come one after another.
        Source: drivers/base/core.c, device_hotplug_lock; mm/memory_hotplug.c, online_pages and offline_pages (Linux 6.1).
        """
        since = min((gap.t_lo for _, _, gap in self.facts.gaps), default=self.facts.recordings[-1].first_ts)
        others = [call.ts for call in self.facts.hotplug[:-1] if call.phase != "notified"]
        if since is not None and others:
            since = max(since, others[-1])
        reason = "a hotplug call returned whose range was not seen"
        self.facts.lose(seq, ts, None, Gap(t_lo=ts if since is None else since, t_hi=ts, reason=reason))
        self.opts[OPT_LOSS] += 1

    def _hotplug_sections(self, seen: HotplugCall, entry: HotplugCall | None) -> None:
        """Do to the sections of a call's range what the notifier does, as far as the observation shows it."""
        assert seen.pfn is not None
        assert seen.nr_pages is not None
        pages, boot = self.facts.pages_per_section, self.facts.boot
        block = 1 << ((boot.pageblock_order if boot else None) or 0)
        action = memory_action(Call(seen.call, seen.phase, seen.ret))
        if seen.phase != "notified" and refused(seen.pfn, seen.nr_pages, block, pages):
            action = None
        why = "notified" if seen.phase == "notified" else seen.call
        sections = sections_of(seen.pfn, seen.nr_pages, pages)
        for step in page_ext_callback(action, sections, self._extension, why=why) if action is not None else ():
            if step.there:
                self._allocate(step.section_nr, seen.seq, seen.ts, step.why, fresh=step.fresh)
            else:
                self._free(step.section_nr, seen.seq, seen.ts, step.why)
        if seen.phase == "return" and entry is not None:
            self.tables = with_room(self.tables, 1)
            doubt(self.tables, seen.pfn, seen.nr_pages, entry.ts, seen.ts, seen.seq, DOUBT_HOTPLUG)

    def _extension(self, section_nr: int) -> Extension:
        """Return what is known of a section's extension."""
        if not self.sections.is_open(section_nr):
            return Extension.ABSENT
        slot = int(self.tables.slot[section_nr])
        owned = bool((self.tables.owner[slot] >= 0).any() or (self.tables.kernel[slot] >= 0).any())
        return Extension.USED if owned or self.values.known_of(slot) else Extension.BLANK

    def _set_onlining(self) -> None:
        calls = (c for c in self.facts.open_calls() if c.call == "online_pages")
        ranges = [(c.pfn, c.pfn + c.nr_pages) for c in calls if c.pfn is not None and c.nr_pages is not None]
        self.opts[OPT_ONLINING_START], self.opts[OPT_ONLINING_STOP] = ranges[0] if ranges else (0, 0)

    # -- the kernel's own view -------------------------------------------------------------------------------------------

    def _baseline_begin(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        """Keep the records until the dump's end; no segment ends before it, so that no state is in the middle of a dump."""
        self._close_baseline()
        begin = BaselineBegin.model_validate_json(batch.details[i])
        since = begin.window_begin - int(self.opts[OPT_SKEW])
        self.baseline = OpenBaseline(begin, seq, int(self.opts[OPT_FLOOR]), since)
        self.opts[OPT_FLOOR] = OPEN_END

    def _close_baseline(self) -> OpenBaseline | None:
        """Let go of the dump that is under way, if there is one."""
        opened, self.baseline = self.baseline, None
        if opened is not None:
            self.opts[OPT_FLOOR] = opened.floor
        return opened

    def _baseline_end(self, seq: int, ts: int, batch: EventBatch, i: int) -> None:
        """Audit the state with a whole dump, and then, where it counts, let the dump set and correct it."""
        opened = self._close_baseline()
        if opened is not None:
            take_view(self, opened, seq, ts)

    _rules: ClassVar[dict[Kind, Callable[["StreamEngine", int, int, EventBatch, int], None]]] = {
        Kind.RECORDING_BEGIN: _recording_begin,
        Kind.RECORDING_END: _recording_end,
        Kind.BOOT: _boot,
        Kind.CLOCK: _clock,
        Kind.COVERAGE: _coverage,
        Kind.GAP: _gap,
        Kind.MARKER: _marker,
        Kind.HOTPLUG: _hotplug,
        Kind.BASELINE_BEGIN: _baseline_begin,
        Kind.BASELINE_END: _baseline_end,
    }


def clock_skew(options: Mapping[str, str]) -> int:
    """Return by how much the clocks of two CPUs may differ, ns, as the recording declares it; 0: nothing is declared."""
    said = options.get(CLOCK_SKEW_OPTION, "0")
    return int(said) if said.isdecimal() else 0


def _understood(kind: Kind, batch: EventBatch, row: int) -> bool:
    """Whether the detail of a rare event is what its kind says."""
    try:
        DETAIL_MODELS[kind].model_validate_json(batch.details.get(row, ""))
    except ValidationError:
        return False
    return True


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _value(batch: EventBatch, name: str, row: int) -> int | None:
    value = int(batch.column(name)[row])
    return None if value == absent(name) else value
