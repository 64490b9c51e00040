"""The rule of each rare event: recordings, boots, clocks, coverage, losses, markers, hotplug and baselines."""

from collections.abc import Callable, Mapping
from typing import Final

from pagetrail.replay.facts.facts import OpenRange
from pagetrail.replay.fold.block_jit import stamp_range
from pagetrail.replay.fold.decode import decode
from pagetrail.replay.fold.notice_jit import doubt
from pagetrail.replay.fold.options import OPT_GFP_COMP, OPT_MAX_PFN, OPT_SKEW
from pagetrail.replay.fold.tables import with_room
from pagetrail.replay.rules.baselines import begin_baseline, drop_baseline, end_baseline
from pagetrail.replay.rules.boot import take_boot
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.hotplug import take_call
from pagetrail.replay.rules.page_ext import max_order_nr_pages
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import (
    CLOCK_SKEW_OPTION,
    PAGE_BYTES_OPTION,
    PAGE_SIZE_GUESSED,
    Clock,
    ContigRange,
    Coverage,
    Gap,
    Marker,
    RecordingBegin,
    RecordingEnd,
)
from pagetrail.schemas.linux.other_events import may_change_ownership
from pagetrail.schemas.linux.releases import Either
from pagetrail.schemas.linux.trace_clock import counts_only
from pagetrail.schemas.owner import ABSENT64, DOUBT_RANGE, SAME_TS_NSEC


def take_recording_begin(state: StreamState, event: EventRow) -> None:
    """Begin a recording; there is a gap since the last recording of its boot."""
    begin = event.detail(RecordingBegin)
    drop_baseline(state)
    recording = state.facts.recordings[-1]
    recording.format, recording.source = begin.format, begin.source
    recording.clock_skew, recording.supersedes = _clock_skew(begin.options), begin.supersedes
    recording.gfp_read_for = begin.gfp_read_for if begin.gfp_known is False else None
    recording.counting_clock = begin.trace_clock if counts_only(begin.trace_clock) else None
    recording.page_size_guessed = begin.options.items() >= PAGE_SIZE_GUESSED.items()
    recording.page_size_given = PAGE_BYTES_OPTION in begin.options
    state.opts[OPT_SKEW] = state.facts.clock_skew()
    if state.last_ts is not None:
        lost = Gap(t_lo=state.last_ts, t_hi=event.ts, reason="between two recordings of the boot")
        state.lose(event.seq, event.ts, None, lost)


def take_recording_end(state: StreamState, event: EventRow) -> None:
    """End a recording, and keep its account of what was read."""
    drop_baseline(state)
    recording = state.facts.recordings[-1]
    recording.complete = True
    end = event.detail(RecordingEnd)
    state.facts.accounts.append((recording.recording, end))
    if not recording.tells_losses and (why := unread_by_an_older_reader(end)):
        begin = event.ts if recording.first_ts is None else recording.first_ts
        state.lose(event.seq, event.ts, None, Gap(t_lo=begin, t_hi=event.ts, reason=why))


def take_clock(state: StreamState, event: EventRow) -> None:
    """Keep the relation between the trace clock and page_owner's clock."""
    state.facts.clocks.append((event.ts, event.detail(Clock)))


def take_coverage(state: StreamState, event: EventRow) -> None:
    """Apply a declaration of coverage: from here on, all events of some kinds are recorded, or no longer."""
    state.declare(event.ts, event.detail(Coverage))


def unread_by_an_older_reader(end: RecordingEnd) -> str:
    """Return why events of ownership may be missing from a recording whose reader did not say where; empty: none is."""
    parts = [f"{end.not_understood} lines were not understood"] if end.not_understood else []
    parts += ["its source ended in the middle"] if end.truncated else []
    parts += [f"{end.clamped} times were clamped"] if end.clamped else []
    if missed := sorted(name for name in end.ignored if may_change_ownership(name)):
        parts.append(f"these events were ignored: {', '.join(missed)}")
    return f"an older pagetrail read it: {'; '.join(parts)}" if parts else ""


def take_gap(state: StreamState, event: EventRow) -> None:
    """Record a loss of events: of all pages, or of those that it names."""
    gap, pfn, src_pfn = event.detail(Gap), event.value("pfn"), event.value("src_pfn")
    if pfn is None:
        state.lose(event.seq, event.ts, event.value("cpu"), gap)
        return
    for named in (pfn,) if src_pfn is None else (pfn, src_pfn):
        first, nr_pages = _named_pages(state, named, event.value("order"), event.value("nr_pages"))
        state.lose_pages(first, nr_pages, event.seq, event.ts, gap)


def _named_pages(state: StreamState, pfn: int, order: int | None, nr_pages: int | None) -> tuple[int, int]:
    """Return the pages that a loss names, as (first, count); where the block's order is unknown, the largest that it may be in."""
    if nr_pages is not None:
        return pfn, nr_pages
    largest = max_order_nr_pages(state.facts.boot)
    return (pfn // largest * largest, largest) if order is None else (pfn, 1 << order)


def take_contig_range(state: StreamState, event: EventRow) -> None:
    """Doubt the pages of a range until the call returns; after one that succeeded, its caller owns them from 6.12 on.

    Up to Linux 6.1 they are isolated with a mask of their own, which a probe sees, so the return tells nothing new. From 6.12 on
    they have the caller's mask. Of a kernel that may do either, they stay in doubt when the call returns.
    """
    detail, pfn, nr_pages = event.detail(ContigRange), event.value("pfn"), event.value("nr_pages")
    if detail.phase == "return":
        _end_range(state, event)
        return
    if pfn is None or nr_pages is None:
        return
    mask, pid, seen = event.value("gfp_mask"), event.value("pid"), state.facts.rules.contig_has_own_mask == Either.NO
    largest = 1 if seen else max_order_nr_pages(state.facts.boot)  # blocks around it are isolated too, and freed again
    if (unreturned := state.facts.open_ranges.pop(pid, None)) is not None:
        _lose_return(state, event, unreturned)
    beyond = int(state.opts[OPT_MAX_PFN])
    if not 0 <= pfn < min(pfn + nr_pages, beyond):
        gap = Gap(t_lo=event.ts, t_hi=event.ts, reason=f"{detail.call} took pages that the machine does not have")
        state.lose(event.seq, event.ts, None, gap)
    opened = OpenRange(
        pfn=pfn, nr_pages=nr_pages, seq=event.seq, ts=event.ts, gfp_mask=mask, pid=pid, first=pfn // largest * largest,
        stop=min(-(-(pfn + nr_pages) // largest) * largest, beyond),
    )  # fmt: skip
    state.facts.open_ranges[pid] = opened
    if opened.first < opened.stop:  # as of a time within the call, its doubt is that of its entry
        state.tables = with_room(state.tables, 1)
        doubt(state.tables, opened.first, opened.stop - opened.first, event.ts, event.ts, event.seq, DOUBT_RANGE)


def _lose_return(state: StreamState, event: EventRow, call: OpenRange) -> None:
    """Doubt what is known of a range whose call has returned unseen: its process calls again, and may have got it."""
    reason = "the return of alloc_contig_range was not seen"
    if call.first < call.stop and state.facts.rules.contig_has_own_mask != Either.NO:
        gap = Gap(t_lo=call.ts, t_hi=event.ts, reason=reason)
        state.lose_pages(call.first, call.stop - call.first, event.seq, event.ts, gap)
    _doubt_meanwhile(state, event, call)


def _end_range(state: StreamState, event: EventRow) -> None:
    """Stamp the range of the call that returns, if it succeeded, or doubt it, if how it is stamped is not known.

    Source: mm/page_alloc.c, alloc_contig_range_noprof (Linux 6.12): it returns 0 or -errno.
    """
    pid, ret = event.value("pid"), event.value("ret")
    call = state.facts.open_ranges.pop(pid, None)
    if state.facts.rules.contig_has_own_mask == Either.NO:
        if call is not None:
            _doubt_meanwhile(state, event, call)
        return
    if call is None or state.losses.reach(call.ts):
        # the entry, or its own return, may be lost, and this return belong to another call
        reason = "alloc_contig_range returned whose range was not seen"
        state.lose(event.seq, event.ts, None, Gap(t_lo=event.ts, t_hi=event.ts, reason=reason))
        if call is not None:
            _doubt_meanwhile(state, event, call)
        return
    if ret == 0 and state.facts.rules.contig_has_own_mask == Either.UNKNOWN:
        gap = Gap(
            t_lo=call.ts, t_hi=event.ts, reason="this kernel stamps the range of alloc_contig_range in one of two ways"
        )
        state.lose_pages(call.pfn, call.nr_pages, event.seq, event.ts, gap)
    elif ret == 0:
        _stamp(state, event, call)
        if state.facts.clock_skew():  # events of other CPUs may have come before or behind the return
            gap = Gap(
                t_lo=event.ts, t_hi=event.ts, reason="the order of a range's return and other CPUs' events is unknown"
            )
            state.lose_pages(call.pfn, call.nr_pages, event.seq, event.ts, gap)
    _doubt_meanwhile(state, event, call)


def _stamp(state: StreamState, event: EventRow, call: OpenRange) -> None:
    pages, stop = state.facts.pages_per_section, call.pfn + call.nr_pages
    compound = ((call.gfp_mask or 0) & int(state.opts[OPT_GFP_COMP])) != 0
    order = call.nr_pages.bit_length() - 1 if compound else 0
    alloc_ts = (
        event.ts if event.ts - call.ts <= SAME_TS_NSEC else ABSENT64
    )  # they are stamped some time during the call
    who = decode(event.batch.slice(event.row, event.row + 1), state.comms, state.stacks)
    for section_nr in state.sections.open_in(range(call.pfn // pages, -(-stop // pages))):
        state.seat(section_nr)
        base = section_nr * pages
        first, last = max(call.pfn - base, 0), min(stop - base, pages)
        # a block that reaches beyond the range may turn out to be split
        t = state.tables = with_room(state.tables, pages)
        stamp_range(
            t, state.opts, int(t.slot[section_nr]), base, int(t.generation[section_nr]), first, last,
            order, call.pfn, event.seq, event.ts, int(who.cpu[0]), int(who.pid[0]), int(who.tgid[0]), int(who.comm[0]),
            ABSENT64 if call.gfp_mask is None else call.gfp_mask, alloc_ts,
        )  # fmt: skip


def _doubt_meanwhile(state: StreamState, event: EventRow, call: OpenRange) -> None:
    """Doubt the blocks around the range during the call: they are isolated as a whole, and what lies beside it is freed again."""
    if call.first < call.stop:
        state.tables = with_room(state.tables, 1)
        doubt(state.tables, call.first, call.stop - call.first, call.ts, event.ts, event.seq, DOUBT_RANGE)


def take_marker(state: StreamState, event: EventRow) -> None:
    """Keep a text that was written into the trace."""
    state.facts.markers.append((event.seq, event.ts, event.detail(Marker).text))


RULES: Final[Mapping[Kind, Callable[[StreamState, EventRow], None]]] = {
    Kind.RECORDING_BEGIN: take_recording_begin,
    Kind.RECORDING_END: take_recording_end,
    Kind.BOOT: take_boot,
    Kind.CLOCK: take_clock,
    Kind.COVERAGE: take_coverage,
    Kind.GAP: take_gap,
    Kind.MARKER: take_marker,
    Kind.HOTPLUG: take_call,
    Kind.CONTIG_RANGE: take_contig_range,
    Kind.BASELINE_BEGIN: begin_baseline,
    Kind.BASELINE_END: end_baseline,
}


def _clock_skew(options: Mapping[str, str]) -> int:
    """Return by how much the clocks of two CPUs may differ, ns, as the recording declares; 0: it declares nothing."""
    skew = options.get(CLOCK_SKEW_OPTION, "0")
    return int(skew) if skew.isdecimal() else 0
