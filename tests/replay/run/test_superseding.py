"""A recording that a later reader stored again takes the place of the earlier one, wherever that stands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import OffsetGap
from pagetrail.schemas.frames import Frame, make_frame
from pagetrail.schemas.log.contract import LogRecord
from tests.replay.states import FLOOR, replay, store, trail_of
from tests.replay.strategies import Machine, origin, to_batch
from tests.version_3 import in_version_3

Events = list[dict[str, Any]]


def recordings(count: int = 3) -> list[Events]:
    """Return recordings of one boot, one after another."""
    m = Machine()
    for nr in range(count):
        m.ts = 1_000 * (nr + 1)
        m.begin()
        for pfn in range(20):
            m.ts += 1
            m.emit(Kind.ALLOC, pfn=20 * nr + pfn, order=0, gfp_mask=0, pid=1)
        m.end()
    return m.recordings


def again(events: Events, old: str, *, later: int = 0) -> Events:
    """Return a recording as another reader made it: every owner has another pid; *later*: ns that are added to its times."""
    changed = [event | {"trace_ts_nsec": event["trace_ts_nsec"] + later} for event in events]
    changed = [event | {"pid": 7} if event["kind"] == Kind.ALLOC else event for event in changed]
    changed[0] = changed[0] | {
        "detail": json.dumps(json.loads(changed[0]["detail"]) | {"supersedes": old, "reader": 2})
    }
    return changed


def frames(events: Events, name: str, size: int = 7) -> list[Frame]:
    return [
        make_frame(to_batch(events[start : start + size]), origin(name), number)
        for number, start in enumerate(range(0, len(events), size))
    ]


class Held:
    """A log in memory, in which a frame may be there twice, as in a topic; retention has removed those before *low*."""

    log_id = "held"

    def __init__(self, held: Sequence[Frame], *, low: int = 0) -> None:
        self.low = low
        self.records = [
            LogRecord(partition=0, offset=offset, header=frame.header, payload=frame.payload, digest=frame.digest)
            for offset, frame in enumerate(held)
        ]

    def partitions(self) -> tuple[int, ...]:
        return (0,)

    def low_watermark(self, _: int) -> int:
        return self.low

    def high_watermark(self, _: int) -> int:
        return len(self.records)

    def read(self, partition: int, offset: int, _bytes: int = 0) -> list[LogRecord]:
        if not self.low <= offset <= len(self.records):
            raise OffsetGap(partition=partition, expected=offset, found=self.low)
        return self.records[offset : offset + 1]

    def locate(self, *_: object) -> None:
        return None

    def close(self) -> None:
        pass


def names(trail: Path) -> list[str]:
    (stream,) = open_streams(trail).opened
    return [part.recording for part in stream.facts.recordings]


def levels(trail: Path, what: str) -> list[str]:
    (stream,) = open_streams(trail).opened
    return [finding.level for finding in findings(stream) if finding.what == what]


@pytest.mark.parametrize("old", [0, 1, 2])
@pytest.mark.parametrize("stopped", [False, True])
def test_it_is_folded_where_the_earlier_one_stood(tmp_path: Path, old: int, *, stopped: bool) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    new = again(told[old], f"r{old}")
    right = [
        frame
        for nr, events in enumerate(told)
        for frame in (frames(new, "new") if nr == old else frames(events, f"r{nr}"))
    ]
    trail, wanted = (
        trail_of(tmp_path / "trail", [*log, *frames(new, "new")]),
        trail_of(tmp_path / "right", right),
    )
    replay(wanted)
    steps = 0
    while stopped and replay(trail, frames=1, read_bytes=1)[0].frames:
        steps += 1
    report, _ = replay(trail)
    assert store(trail) == store(wanted)
    assert names(trail) == ["new" if nr == old else f"r{nr}" for nr in range(3)]
    assert (report.refused, list(report.superseded)) == ({}, [("host", "boot", f"r{old}")])
    assert steps < 40
    assert (levels(trail, "superseded"), levels(trail, "recordings")) == (["note"], [])


def test_a_replay_that_had_gone_on_before_comes_to_the_same(tmp_path: Path) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    new = frames(again(told[1], "r1"), "new")
    trail, whole = trail_of(tmp_path / "trail", log), trail_of(tmp_path / "whole", [*log, *new])
    replay(trail)
    for frame in new[:-1]:
        append(trail, [frame])
        report, _ = replay(trail)
        assert names(trail) == ["r0", "r1", "r2"]
        assert "the log does not hold its end yet" in report.waiting["host", "boot"]
    append(trail, new[-1:])
    replay(trail)
    replay(whole)
    assert store(trail) == store(whole)
    assert names(trail) == ["r0", "new", "r2"]


def test_one_that_was_stored_again_can_be_stored_again(tmp_path: Path) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    log += frames(again(told[1], "r1"), "second") + frames(again(told[1], "second"), "third")
    trail = trail_of(tmp_path / "trail", log)
    report, _ = replay(trail)
    assert names(trail) == ["r0", "third", "r2"]
    assert [old for _, _, old in report.superseded] == ["r1", "second"]


def test_one_that_does_not_fit_between_the_others_is_refused_and_what_to_do_is_said(tmp_path: Path) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    trail = trail_of(tmp_path / "trail", [*log, *frames(again(told[1], "r1", later=990), "new")])
    report, _ = replay(trail)
    assert names(trail) == ["r0", "r1", "r2"]
    (why,) = report.refused.values()
    assert "between 1020 and 3000" in why
    assert "ingest it into another trail" in why
    assert levels(trail, "recordings") == ["loss"]


@pytest.mark.parametrize("old", [0, 1, 2])
def test_one_that_names_another_kernel_than_the_rest_of_the_boot_is_refused_and_the_earlier_one_stays(
    tmp_path: Path, old: int
) -> None:
    m = Machine()
    for nr in range(3):
        m.ts = 1_000 * (nr + 1)
        m.begin(release="6.1.192")
        m.emit(Kind.ALLOC, pfn=nr, order=0, gfp_mask=0, pid=1)
        m.end()
    log = [frame for nr, events in enumerate(m.recordings) for frame in frames(events, f"r{nr}")]
    text = json.dumps(m.recordings[old]).replace("6.1.192", "6.12.1")
    trail = trail_of(tmp_path / "trail", [*log, *frames(again(json.loads(text), f"r{old}"), "new")])
    for _ in range(2):
        report, _ = replay(trail)
    assert names(trail) == ["r0", "r1", "r2"]
    (why,) = report.refused.values()
    assert "names Linux 6.12.1, and other recordings of the same boot name Linux 6.1.192" in why
    assert f"recording r{old} keeps its place" in why


@pytest.mark.parametrize("old", [0, 1, 2])
def test_where_the_cut_is_lost_what_was_superseded_is_still_named_so(tmp_path: Path, old: int) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    trail = trail_of(tmp_path / "trail", [*log, *frames(again(told[old], f"r{old}"), "new")])
    replay(trail)
    before = store(trail)
    cuts = list(trail.rglob("*.cut.json"))
    assert cuts
    for cut in cuts:
        cut.unlink()
    report, _ = replay(trail)
    assert (report.refused, list(report.superseded)) == ({}, [("host", "boot", f"r{old}")])
    assert store(trail) == before


def test_frames_that_two_readers_made_under_one_name_are_never_mixed(tmp_path: Path) -> None:
    (events,) = recordings(1)
    more = [*events[:-1], *({**events[-2], "seq": len(events) - 1 + i} for i in range(9))]
    more.append({**events[-1], "seq": len(more)})
    old = [in_version_3(frame.payload, frame.header) for frame in frames(events, "r")]
    for name, before in (("whole", old), ("begun", old[:2])):
        trail = tmp_path / name
        reader = Held([*before, *frames(more, "r")])
        report = Replayer(trail, reader, options=FoldOptions(floor=FLOOR, events_a_live=1)).run()
        (stream,) = open_streams(trail).opened
        assert stream.newest.file.last_seq + 1 == sum(frame.header.rows for frame in before)
        (why,) = report.refused.values()
        assert "never mixed" in why
        assert "--again" in why


def append(trail: Path, more: Sequence[Frame]) -> None:
    with SqliteLogWriter(trail) as log:
        log.append(more)


def fold(trail: Path, log: Sequence[Frame]) -> ReplayReport:
    return Replayer(trail, Held(log), options=FoldOptions(floor=FLOOR, events_a_live=1)).run()


def two_readers() -> tuple[list[Frame], list[Frame]]:
    """Return the frames that two readers made of one recording, under one name: equal numbers of events in each."""
    (events,) = recordings(1)
    later = [event | {"pid": 7} if event["kind"] == Kind.ALLOC else event for event in events]
    return [in_version_3(frame.payload, frame.header) for frame in frames(events, "r")], frames(later, "r")


@pytest.mark.parametrize("order", ["old first", "new first", "in turns"])
def test_frames_of_two_readers_that_wait_behind_one_hole_are_never_mixed(tmp_path: Path, order: str) -> None:
    old, new = two_readers()
    waiting = {
        "old first": old[1:] + new[1:],
        "new first": new[1:] + old[1:],
        "in turns": [frame for pair in zip(new[1:], old[1:], strict=True) for frame in pair],
    }[order]
    report = fold(tmp_path / "trail", [*waiting, old[0]])
    fold(tmp_path / "right", old)
    assert store(tmp_path / "trail") == store(tmp_path / "right")
    assert report.waiting == {}
    (why,) = report.refused.values()
    assert "never mixed" in why


def test_frames_that_wait_behind_the_end_of_another_readers_are_refused_at_once(tmp_path: Path) -> None:
    _, new = two_readers()
    (events,) = recordings(1)
    longer = [*events[:-1], *({**events[-2], "seq": len(events) - 1 + i} for i in range(30))]
    beyond = [frame for frame in frames(longer, "r") if frame.header.first_seq > len(events)]
    report = fold(tmp_path / "trail", [new[0], *new[2:], *beyond, new[1]])
    fold(tmp_path / "right", new)
    assert store(tmp_path / "trail") == store(tmp_path / "right")
    assert report.waiting == {}
    assert len(report.refused) == 1


@pytest.mark.parametrize("order", [(1, 2, 0, 3), (3, 2, 1, 0), (1, 0, 3, 2)])
@pytest.mark.parametrize("old", [1, 2])
def test_frames_of_a_later_reader_that_came_too_early_take_the_place_too(
    tmp_path: Path, old: int, order: tuple[int, ...]
) -> None:
    told = recordings()
    log = [frame for nr, events in enumerate(told) for frame in frames(events, f"r{nr}")]
    new = frames(again(told[old], f"r{old}"), "new")
    report = fold(tmp_path / "trail", [*log, *(new[i] for i in order)])
    fold(tmp_path / "right", [*log, *new])
    assert names(tmp_path / "trail") == ["new" if nr == old else f"r{nr}" for nr in range(3)]
    assert store(tmp_path / "trail") == store(tmp_path / "right")
    assert (report.waiting, report.refused) == ({}, {})
