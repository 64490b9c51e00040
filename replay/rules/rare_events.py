"""The rule of each rare event: recordings, boots, clocks, coverage, losses, markers, hotplug and baselines."""

from collections.abc import Callable, Mapping
from typing import Final

from pagetrail.replay.fold.options import OPT_SKEW
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
from pagetrail.schemas.linux.trace_clock import counts_only


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
    """Doubt the pages of a range that is taken as a whole: which of them the call stamps is not followed."""
    pfn, nr_pages = event.value("pfn"), event.value("nr_pages")
    gap = Gap(t_lo=event.ts, t_hi=event.ts, reason=f"{event.detail(ContigRange).call} is not followed")
    if pfn is not None and nr_pages is not None:
        state.lose_pages(pfn, nr_pages, event.seq, event.ts, gap)


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
