"""The rules need a state, and neither a stream, nor an engine, nor a log."""

from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.rare_events import RULES
from pagetrail.replay.rules.state import StreamState
from pagetrail.replay.rules.stretch import StretchOrigin, stretch_of
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Gap, Hotplug
from pagetrail.schemas.owner import Anomaly
from tests.replay.strategies import to_batch

PAGES = 1 << 15


def state() -> StreamState:
    made = StreamState(correct=True, clients=CLIENTS)
    made.facts.recordings.append(StreamRecording(recording="r", base_seq=0))
    return made


def tell(of: StreamState, kind: Kind, detail: object, *, ts: int = 5, **columns: int) -> None:
    """Apply the rule of one rare event."""
    row = {"kind": int(kind), "seq": 0, "trace_ts_nsec": ts, "detail": detail.model_dump_json(), **columns}  # type: ignore[attr-defined]
    RULES[kind](of, EventRow(seq=0, ts=ts, batch=to_batch([row]), row=0))


def test_a_boot_opens_the_sections_of_present_memory() -> None:
    of = state()
    tell(of, Kind.BOOT, Boot(section_size_bits=27, present=((0, 2 * PAGES),)))
    assert [e.section_nr for e in of.facts.sections] == [0, 1]
    assert of.tables.owner.shape == (0, PAGES), "nothing is known of their pages: they take no memory"
    of.seat(1)
    assert of.tables.owner.shape[1] == PAGES
    assert (of.tables.owner[of.tables.slot[1]] == -1).all()


def test_a_call_that_returned_offlined_takes_the_extension_away() -> None:
    of = state()
    tell(of, Kind.BOOT, Boot(section_size_bits=27, present=((0, PAGES),)))
    for ts, phase, ret in ((6, "entry", {}), (7, "return", {"ret": 0})):
        offline = Hotplug(call="offline_pages", phase=phase)  # type: ignore[arg-type]
        tell(of, Kind.HOTPLUG, offline, ts=ts, pfn=0, nr_pages=PAGES, pid=1, **ret)
    assert not of.sections.is_open(0)
    assert [(e.begin_ts, e.end_ts, e.end_how) for e in of.facts.sections] == [(5, 7, "offline_pages")]


def test_what_is_lost_set_aside_or_inferred_is_in_the_state() -> None:
    of = state()
    tell(of, Kind.GAP, Gap(t_lo=1, t_hi=4, lost=3, reason="a test"), cpu=1)
    of.open_inferred(3, 9, 10)
    of.quarantine(Anomaly.UNALIGNED, 11, 12, 3 * PAGES + 1, 2, 4)
    assert [(cpu, gap.t_lo) for _, cpu, gap in of.facts.gaps] == [(1, 1)]
    assert of.sections.is_open(3)
    assert of.tables.anomalies[[Anomaly.SECTION_OPENED, Anomaly.UNALIGNED], 0].tolist() == [1, 1]


def test_a_stretch_is_not_changed_by_what_comes_after_it() -> None:
    of = state()
    tell(of, Kind.BOOT, Boot(section_size_bits=27, present=((0, PAGES),)))
    origin = StretchOrigin(
        host="h",
        boot_id="b",
        fold="f",
        digest_name="f",
        floor=1,
        first_seq=0,
        last_seq=0,
        first_ts=5,
        last_ts=5,
        tip=True,
    )
    before = stretch_of(of, origin)
    of.quarantine(Anomaly.UNALIGNED, 11, 12, 1, 2, 4)
    of.free(0, 20, 21, "offline_pages")
    tell(of, Kind.GAP, Gap(t_lo=1, t_hi=4, reason="a test"))
    assert (before.doubts.size, before.quarantined.size, before.facts.gaps) == (0, 0, [])
    assert before.facts.sections[0].end_how is None
    assert not before.anomalies.any()
