"""What is no longer kept is gone for good: no replay makes it anew, answers about the rest are the same, and a note says so."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pagetrail import api
from pagetrail.replay.store.cut import cut_name
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.store.names import fold_name
from tests.commands.cli import run
from tests.replay.states import chained, place, replay, store, trail_of
from tests.replay.strategies import Machine, to_frames

SECOND = 1_000_000_000
EVENTS = 90


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail of one event a second, replayed but for its end, into several segments and a tip; the log has the rest."""
    m = Machine()
    m.begin()
    for nr in range(EVENTS):
        m.ts = nr * SECOND
        m.emit((Kind.ALLOC, Kind.ALLOC, Kind.FREE)[nr % 3], pfn=nr % 4, order=0, gfp_mask=0, pid=nr)
    m.end()
    trail = trail_of(tmp_path_factory.mktemp("whole") / "trail", to_frames(m.recordings, [7]))
    replay(trail, frames=11)
    return trail


@pytest.fixture
def trail(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "trail"))


def answers(trail: Path, since: int) -> list[pa.Table]:
    """Return who owned what at each second from *since* to the end."""
    opened = api.open(trail)
    return [opened.snapshot(f"{second}s", everything=True) for second in range(since, end_of(trail) + 1)]


def end_of(trail: Path) -> int:
    return api.open(trail).stream().horizon // SECOND


@pytest.mark.parametrize("kept", [0, 1, 20, 45, 1000])
def test_what_is_kept_is_answered_as_before(trail: Path, kept: int) -> None:
    end, files = end_of(trail), chained(trail)
    sizes = {path: path.stat().st_size for path in files}
    before = answers(trail, max(end - kept, 0))
    listed = api.beyond(trail, kept * SECOND)
    assert chained(trail) == files
    assert api.remove_beyond(trail, kept * SECOND) == listed
    left = chained(trail)
    assert left == files[len(files) - len(left) :]
    assert any(not path.name.startswith("TIP") for path in left)
    assert sum(one.size for one in listed) == sum(size for path, size in sizes.items() if not path.exists())
    assert (len(left) < len(files)) == bool(listed) == (kept < 1000)
    assert answers(trail, max(end - kept, 0)) == before
    assert api.beyond(trail, kept * SECOND) == []
    notes = [row for row in api.open(trail).doctor().to_pylist() if row["what"] == "dropped segments"]
    assert bool(notes) == bool(listed)


def test_the_past_that_is_not_kept_is_unknown(trail: Path) -> None:
    api.remove_beyond(trail, 10 * SECOND)
    (answer,) = api.open(trail).owner([0], "4s").to_pylist()
    assert (answer["state"], answer["certain"]) == ("unknown", False)


HARMS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda trail: None,
    "the cut": lambda trail: store_of(trail).remove(cut_name(fold_name(correct=True))),
    "the tip": lambda trail: chained(trail)[-1].unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_replay_goes_on_and_makes_nothing_anew(whole: Path, trail: Path, tmp_path: Path, harm: str) -> None:
    shutil.copytree(whole, full := tmp_path / "full")
    replay(full)
    api.remove_beyond(trail, 10 * SECOND)
    first = chained(trail)[0].name
    HARMS[harm](trail)
    replay(trail)
    assert chained(trail)[0].name == first
    whole_store = store(full)
    assert store(trail) == {name: digest for name, digest in whole_store.items() if Path(name).name >= first}
    assert answers(trail, 70) == answers(full, 70)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_removal_that_was_stopped_halfway_is_as_good(trail: Path, left: int) -> None:
    """GIVEN a stop behind the mark, with any of the segments still there THEN they are not asked, nor made anew."""
    files = chained(trail)
    there = place(trail)
    there.begin_at(int(files[3].name.split("-")[0]))
    for nr, path in enumerate(files[:3]):
        if nr != left:
            path.unlink()
    assert chained(trail) == files[3:]
    replay(trail)
    assert chained(trail)[0] == files[3]
    assert [path.exists() for path in files[:3]] == [nr == left for nr in range(3)]


@pytest.mark.parametrize("keep", [(), ("--keep", "10000d")])
def test_what_a_stopped_gc_left_is_listed_before_it_goes(trail: Path, keep: tuple[str, ...]) -> None:
    """GIVEN segments that a gc gave up, and did not remove THEN the next one lists them, and their bytes; with --yes they go."""
    left, first = chained(trail)[:2], chained(trail)[2]
    place(trail).begin_at(int(first.name.split("-")[0]))
    size, before = sum(path.stat().st_size for path in left), answers(trail, end_of(trail) - 10)
    listed = run("gc", *keep, "--trail", trail)
    until = int(left[-1].stem.split("-")[1])
    assert f"given up before by a gc that was stopped: 2 of its segments, events 0 to {until}\n" in listed.out
    assert f"{size:,} bytes would be removed" in listed.err
    assert all(path.exists() for path in left)
    done = run("gc", *keep, "--yes", "--trail", trail)
    assert done.out == listed.out
    assert f"{size:,} bytes removed" in done.err
    assert not any(path.exists() for path in left)
    assert "nothing to remove" in run("gc", *keep, "--yes", "--trail", trail).err
    assert chained(trail)[0] == first
    assert answers(trail, end_of(trail) - 10) == before


def test_where_the_first_segment_that_was_kept_is_lost_the_chain_is_made_anew_from_the_whole_log(
    whole: Path, trail: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, full := tmp_path / "full")
    replay(full)
    api.remove_beyond(trail, 10 * SECOND)
    chained(trail)[0].unlink()
    replay(trail)
    assert store(trail) == store(full)


def test_a_mark_that_cannot_be_read_gives_up_nothing(trail: Path) -> None:
    files = chained(trail)
    for content in (
        b"",
        b"{}",
        b"[]",
        b'{"first_seq": "x"}',
        b'{"first_seq": 3}',
        b'{"first_seq": null}',
        b"\xff",
        b'{"first_seq": -1}',
    ):
        store_of(trail).replace(f"{place(trail).name}/begins.json", content)
        assert chained(trail) == files
        assert place(trail).begins_at() == 0
