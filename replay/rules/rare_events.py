"""The rule of each rare event: recordings, boots, clocks, coverage, losses, markers, hotplug and baselines."""

from collections.abc import Callable, Mapping
from typing import Final

from pagetrail.replay.fold.options import OPT_SKEW
from pagetrail.replay.rules.baselines import begin_baseline, drop_baseline, end_baseline
from pagetrail.replay.rules.boot import take_boot
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.hotplug import take_call
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import CLOCK_SKEW_OPTION, Clock, Coverage, Gap, Marker, RecordingBegin, RecordingEnd


def take_recording_begin(state: StreamState, event: EventRow) -> None:
    """Begin a recording; there is a gap since the last recording of its boot."""
    begin = event.detail(RecordingBegin)
    drop_baseline(state)
    recording = state.facts.recordings[-1]
    recording.format, recording.source = begin.format, begin.source
    recording.clock_skew = _clock_skew(begin.options)
    state.opts[OPT_SKEW] = state.facts.clock_skew()
    if state.last_ts is not None:
        lost = Gap(t_lo=state.last_ts, t_hi=event.ts, reason="between two recordings of the boot")
        state.lose(event.seq, event.ts, None, lost)


def take_recording_end(state: StreamState, event: EventRow) -> None:
    """End a recording, and keep its account of what was read."""
    drop_baseline(state)
    recording = state.facts.recordings[-1]
    recording.complete = True
    state.facts.accounts.append((recording.recording, event.detail(RecordingEnd)))


def take_clock(state: StreamState, event: EventRow) -> None:
    """Keep the relation between the trace clock and page_owner's clock."""
    state.facts.clocks.append((event.ts, event.detail(Clock)))


def take_coverage(state: StreamState, event: EventRow) -> None:
    """Apply a declaration of coverage: from here on, all events of some kinds are recorded, or no longer."""
    state.declare(event.ts, event.detail(Coverage))


def take_gap(state: StreamState, event: EventRow) -> None:
    """Record a loss of events."""
    state.lose(event.seq, event.ts, event.value("cpu"), event.detail(Gap))


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
    Kind.BASELINE_BEGIN: begin_baseline,
    Kind.BASELINE_END: end_baseline,
}


def _clock_skew(options: Mapping[str, str]) -> int:
    """Return by how much the clocks of two CPUs may differ, ns, as the recording declares; 0: it declares nothing."""
    skew = options.get(CLOCK_SKEW_OPTION, "0")
    return int(skew) if skew.isdecimal() else 0
