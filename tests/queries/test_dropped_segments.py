"""A chain may begin anywhere: what the files that are left say of their own instants is what they said in the whole chain."""

import random
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.producers.log.framing import single
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Clock, Coverage, Gap, Marker
from pagetrail.schemas.errors import SegmentMissing
from tests.effort import effort
from tests.model.config import EVERYTHING, ModelConfig
from tests.model.kernel import ModelKernel
from tests.oracles.answers import numbered
from tests.queries.test_as_of import KINDS, SKEW_NSEC
from tests.stories import Story, told

STEPS = effort(160, 240)
FLOOR = 30
EVERY = 12
"""After so many events of the model, something is told that is no event of a page."""
SEEDS = range(effort(1, 8))
WHOLE = 1 << 40


def with_facts(events: EventBatch, seed: int) -> EventBatch:
    """Return *events* with markers, readings of clocks, losses, and coverage of some CPUs between them."""
    rng, ts = random.Random(seed), events.columns["trace_ts_nsec"]
    parts, done, begin = [], 0, int(ts[0])
    for row in range(EVERY, len(events), EVERY):
        if ts[row] == ts[row - 1] or int(events.columns["kind"][row]) in (Kind.BASELINE_ENTRY, Kind.BASELINE_END):
            continue
        now, before = int(ts[row]), int(ts[row - 1])
        told_of = rng.choice(("marker", "clock", "gap", "cpus", "past", "all"))
        kinds = tuple(sorted(rng.sample(EVERYTHING, 3)))
        facts = {
            "marker": [single(Kind.MARKER, now, Marker(text=f"at row {row}"))],
            "clock": [single(Kind.CLOCK, now, Clock(ts_nsec=now, valid_from=0, realtime=10**18 + now))],
            "gap": [single(Kind.GAP, now, Gap(t_lo=rng.randint(begin, before), t_hi=before, reason=f"at row {row}"))],
            "cpus": [
                single(
                    Kind.COVERAGE, now, Coverage(kinds=kinds, cpus=(1,), begins=rng.random() < 0.6, declared_by="it")
                )
            ],
            "past": [
                single(
                    Kind.COVERAGE,
                    now,
                    Coverage(kinds=kinds, since=rng.randint(begin, now), until=now, declared_by="it"),
                )
            ],
            "all": [
                single(Kind.COVERAGE, now, Coverage(kinds=EVERYTHING, begins=rng.random() < 0.8, declared_by="it"))
            ],
        }[told_of]
        parts += [events.slice(done, row), *facts]
        done = row
    return concat([*parts, events.slice(done, len(events))])


def trails(folder: Path, kind: str, seed: int) -> tuple[Trail, Trail, int]:
    """Return one history as a trail of one file and as one of many, and how many pages its machine has."""
    config = ModelConfig(hotplug_sections=4, coverage=EVERYTHING, weights={"dump": 5, "offline": 8, "online": 8})
    history = ModelKernel(seed, config=config).run(STEPS)
    skew = SKEW_NSEC if kind == "skewed" else 0
    events = numbered(with_facts(KINDS[kind](history, seed), seed), skew=skew)
    one, many = (told(folder / str(floor), events, correct=seed % 2 == 0, floor=floor) for floor in (WHOLE, FLOOR))
    return one, many, config.nr_pages


def prefixes(whole: Trail, folder: Path) -> Iterator[tuple[int, Trail, Stream]]:
    """Yield the trail without its first files, as long as one is left: how many were dropped, and the trail."""
    shutil.copytree(whole.path, folder)
    files = whole.stream().files
    for dropped, file in enumerate(files[:-1], 1):
        stream = api.open(folder).stream()
        stream.place.store.remove(file.name)
        opened = api.open(folder)
        yield dropped, opened, opened.stream()


def instants(stream: Stream, rng: random.Random) -> list[int]:
    """Return times in the first, a middle and the last of the files that are there."""
    found = []
    for file in {stream.files[0], stream.files[len(stream.files) // 2], stream.files[-1]}:
        piece = stream.piece(file)
        found += [piece.last_ts, rng.randint(piece.first_ts, piece.last_ts)]
    return sorted(found)


def answers(trail: Trail, pages: list[int], at: int, as_of: int | None = None) -> list[dict[str, object]]:
    """Return who owned each page; the event behind the evidence of a page that was migrated may be in a file that is gone."""
    return trail.owner(pages, at, as_of=as_of).drop_columns(["evidence_event", "evidence_log_offset"]).to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_its_first_files_a_chain_says_the_same_of_the_others(kind: str, seed: int, tmp_path: Path) -> None:
    """Owners, snapshots, sections, histories, values of page_ext and wall times, in every field; also as of a time."""
    one, many, nr_pages = trails(tmp_path, kind, seed)
    assert len(many.stream().files) > 5
    assert [one.markers(), one.audits()] == [many.markers(), many.audits()]
    rng, pages = random.Random(seed), list(range(0, nr_pages, 5))
    for dropped, left, stream in chain([(0, many, many.stream())], prefixes(many, tmp_path / "left")):
        for at in instants(stream, rng):
            where = (dropped, at)
            assert answers(left, pages, at) == answers(one, pages, at), where
            assert left.sections(at).equals(one.sections(at)), where
            assert left.wall_time(at) == one.wall_time(at), where
            then = min(at + 10**6, stream.horizon)
            if then < stream.horizon:
                some = pages[::7]
                assert answers(left, some, at, as_of=then) == answers(one, some, at, as_of=then), where
        if dropped % 3 == 0:
            at = rng.choice(instants(stream, rng))
            rows = left.snapshot(at, everything=True)
            assert rows.to_pylist() == one.snapshot(at, everything=True).to_pylist(), (dropped, at)
            assert left.page_owner_text(at) == one.page_owner_text(at), (dropped, at)


def story(events: int) -> Story:
    """Return a history in which as many markers, losses, hotplug calls, dumps and readings are behind one another."""
    tell = Story()
    for round_ in range(events):
        tell(Kind.ALLOC, 8)
        tell.log.say(Kind.MARKER, tell.now, Marker(text=f"round {round_}"))
        tell.gap(tell.now - 1)
        tell.log.say(Kind.CLOCK, tell.now, Clock(ts_nsec=tell.now, valid_from=0))
        tell.log.say(Kind.COVERAGE, tell.now, Coverage(kinds=("drain",), begins=round_ % 2 == 0, declared_by="it"))
        tell.hotplug("offline", "entry", 64)
        tell.hotplug("offline", "return", 64, ret=-16)
        tell.dump(tell.now)
        tell(Kind.FREE, 8)
    for _ in range(8):
        tell(Kind.ALLOC, 20)
        tell(Kind.FREE, 20)
    return tell


def test_a_later_file_is_no_larger_because_more_happened_before(tmp_path: Path) -> None:
    """Markers, losses, calls, dumps and readings are written once: only counts since the stream began have more digits."""
    sizes = []
    for rounds in (4, 40):
        stream = story(rounds).trail(tmp_path / str(rounds), floor=6).stream()
        assert sum(not file.tip for file in stream.files) >= rounds
        with stream.opened(stream.files[-1]) as db:
            rows = dict(db.execute("SELECT name, length(value) FROM state").fetchall())
            counts = [db.execute(f"SELECT count(*) FROM {table}").fetchone() for table in FACTS]
        sizes.append((rows["facts"], counts))
    (small, few), (large, many) = sizes
    assert few == many
    assert large < small + 100, "digits of numbers"


FACTS = ("gaps", "markers", "hotplug", "audits", "sections")


def test_what_was_dropped_is_no_longer_known(tmp_path: Path) -> None:
    trail = story(10).trail(tmp_path / "trail", floor=6)
    stream = trail.stream()
    whole = trail.streams().to_pylist()[0]
    assert whole["state_digest"] is not None
    stream.place.store.remove(stream.files[0].name)
    left = api.open(trail.path)
    assert left.streams().to_pylist()[0] == whole | {"state_digest": None, "segments": whole["segments"] - 1}
    assert left.stream().since_seq == stream.files[1].first_seq
    assert [row["what"] for row in left.doctor().to_pylist() if row["level"] == "note"] == [
        "dropped segments",
        "incomplete",
    ]


def test_a_segment_that_is_missing_between_others_is_named(tmp_path: Path) -> None:
    trail = story(10).trail(tmp_path / "trail", floor=6)
    stream = trail.stream()
    gone, before, after = stream.files[3], stream.files[2], stream.files[5]
    times = [stream.piece(file).last_ts for file in (before, after)]
    expected = trail.owner([8], times[1]).to_pylist()
    stream.place.store.remove(gone.name)
    left = api.open(trail.path)
    assert left.owner([8], times[1]).to_pylist() == expected
    with pytest.raises(
        SegmentMissing, match=rf"events {gone.first_seq} to {gone.last_seq}, is missing.*pagetrail replay"
    ):
        left.owner([8], times[0])


def test_a_tip_that_does_not_go_on_from_the_last_segment_is_not_read(tmp_path: Path) -> None:
    trail = story(3).trail(tmp_path / "trail", floor=6)
    stream = trail.stream()
    assert stream.files[-1].tip
    stream.place.store.remove(stream.files[-2].name)
    left = api.open(trail.path).stream()
    assert left.files == stream.files[:-2]
    assert left.horizon == stream.piece(stream.files[-3]).last_ts


def test_a_chain_of_a_tip_alone_answers(tmp_path: Path) -> None:
    trail = story(3).trail(tmp_path / "trail", floor=6)
    stream = trail.stream()
    expected = trail.owner([8, 20, 64], "-0s").to_pylist()
    for file in stream.files[:-1]:
        stream.place.store.remove(file.name)
    assert api.open(trail.path).owner([8, 20, 64], "-0s").to_pylist() == expected
    assert np.unique([file.tip for file in api.open(trail.path).stream().files]).tolist() == [True]
