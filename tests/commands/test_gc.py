"""pagetrail gc removes what no question asks, where segments of this version hold as much, and nothing else."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pagetrail.replay.store.cut import cut_name
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.store.names import fold_name
from pagetrail.schemas.store.tables import FOLD_VERSION
from tests.commands.conftest import Run
from tests.replay.states import chained, replay, trail_of
from tests.replay.strategies import Machine, to_frames

NOW = fold_name(correct=False)
OLDER = fold_name(correct=False, version=FOLD_VERSION - 1)


@pytest.fixture
def trail(demo_trail: Path, tmp_path: Path) -> Path:
    """Return a trail with a fold of this version, one of the last, and a store of an earlier format."""
    shutil.copytree(demo_trail, copied := tmp_path / "trail")
    root = store_of(copied).root
    (now,) = root.glob(f"hosts/*/*/{NOW}")
    shutil.copytree(now, now.with_name(OLDER))
    shutil.copytree(now, copied / "segments" / now.relative_to(root / "hosts").with_name(OLDER))
    for name in (f"{OLDER}.cut.json", f"{OLDER}.lock"):
        (copied / "segments" / name).touch()
    for folder in ("cuts", ".locks"):
        shutil.copytree(root / folder / NOW, root / folder / OLDER)
    return copied


def folds(trail: Path) -> set[str]:
    return {str(file.parent.relative_to(trail)) for file in (trail / "segments").rglob("*.duckdb")}


def test_nothing_goes_before_it_is_asked_for(run: Run, trail: Path) -> None:
    before = folds(trail)
    done = run("gc", "--trail", trail)
    assert done.returncode == 0
    assert "another format of the store" in done.stdout
    assert "another version of the fold" in done.stdout
    assert done.stdout.count("\n") == 2
    assert "run it again with --yes" in done.stderr
    assert folds(trail) == before


def test_what_is_held_elsewhere_goes_and_the_rest_stays(run: Run, trail: Path) -> None:
    before = folds(trail)
    done = run("gc", "--yes", "--json", "--trail", trail)
    told = json.loads(done.stdout)
    assert told["removed"]
    assert [one["kept"] for one in told["outdated"]] == [None, None]
    assert told["bytes"] == sum(one["bytes"] for one in told["outdated"]) > 0
    assert folds(trail) == {fold for fold in before if fold.endswith(NOW) and "/v" in fold}
    assert run("streams", "--trail", trail).returncode == 0
    assert "nothing to remove" in run("gc", "--yes", "--trail", trail).stderr
    assert not [file for file in (trail / "segments").rglob("*") if file.is_file() and OLDER in str(file)]
    assert (store_of(trail).root / cut_name(NOW)).exists()


def test_replay_makes_a_store_beside_one_of_the_last_format_and_gc_removes_that(
    run_fresh: Run, demo_trail: Path, tmp_path: Path
) -> None:
    """GIVEN a store as format 6 had it, with hosts beside cuts and locks THEN it goes when all of it is made anew."""
    shutil.copytree(demo_trail, trail := tmp_path / "trail")
    here = store_of(trail).root
    older = here.rename(here.with_name("v6"))
    for host in (older / "hosts").iterdir():
        host.rename(older / host.name)
    for room in ("hosts", "cuts", ".locks"):
        shutil.rmtree(older / room)
    for name in (f"{NOW}.cut.json", f"{NOW}.topic.id.0.cut.json", f"{NOW}.lock"):
        (older / name).touch()
    assert "run 'pagetrail replay'" in run_fresh("streams", "--trail", trail).stderr
    said = run_fresh("replay", "--no-correct", "--trail", trail).stderr
    assert "are of another format than this pagetrail's" in said
    assert "another format" not in run_fresh("replay", "--no-correct", "--trail", trail).stderr
    whole = {file: file.read_bytes() for file in here.rglob("*.duckdb")}
    for file in whole:
        file.unlink()
    assert "this version has not replayed all of it" in run_fresh("gc", "--yes", "--trail", trail).stdout
    for file, content in whole.items():
        file.write_bytes(content)
    assert "another format of the store" in run_fresh("gc", "--yes", "--trail", trail).stdout
    assert not older.exists()
    assert [path for path in whole if not path.is_file()] == []


def test_what_this_version_has_not_replayed_is_kept(run: Run, trail: Path) -> None:
    """GIVEN older segments and none of this version WHEN gc runs THEN they stay: the log may have lost what they were made of."""
    (now,) = store_of(trail).root.glob(f"hosts/*/*/{NOW}")
    shutil.rmtree(now)
    before = folds(trail)
    done = run("gc", "--yes", "--trail", trail)
    assert "kept: this version has not replayed all of it" in done.stdout
    assert "nothing to remove" in done.stderr
    assert folds(trail) == before


def test_segments_that_begin_later_hold_less(run: Run, trail: Path) -> None:
    for file in (trail / "segments").glob(f"*/*/{OLDER}/*.duckdb"):
        file.rename(file.with_name(f"{0:019d}-{10**9:019d}.duckdb"))
    run("gc", "--yes", "--trail", trail)
    assert any("/v" not in fold for fold in folds(trail))


def test_a_replay_at_work_there_is_not_disturbed(run: Run, trail: Path) -> None:
    with replay_lock(trail, OLDER):
        done = run("gc", "--yes", "--trail", trail)
    assert done.returncode == 4
    assert "another replay is" in done.stderr


def test_a_past_that_is_not_kept_is_listed_first_and_goes_with_what_older_folds_have_of_it(
    run: Run, tmp_path: Path
) -> None:
    m = Machine()
    m.begin()
    for nr in range(90):
        m.ts = nr * 10**9
        m.emit((Kind.ALLOC, Kind.ALLOC, Kind.FREE)[nr % 3], pfn=nr % 4, order=0, gfp_mask=0, pid=nr)
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings, [7]))
    replay(trail)
    files = chained(trail)
    shutil.copytree(files[0].parent, files[0].parent.with_name("fold1"))
    done = run("gc", "--keep", "10s", "--trail", trail)
    assert re.search(r"older than --keep: \d+ of its segments, events 0 to \d+, up to \d+\.\d{9}\n", done.stdout)
    assert chained(trail) == files
    run("gc", "--keep", "10s", "--yes", "--trail", trail)
    left = chained(trail)
    assert 0 < len(left) < len(files)
    assert not files[0].parent.with_name("fold1").exists()
    shutil.copytree(files[-1].parent, older := files[0].parent.with_name("fold1"))
    run("gc", "--yes", "--trail", trail)
    assert not older.exists()
    assert chained(trail) == left
    assert "dropped segments" in run("doctor", "--trail", trail).stdout
    for wrong in ("10", "-1s", "s", "10 s", "1e3s", "\u0661s"):
        done = run("gc", "--keep", wrong, "--trail", trail)
        assert (done.returncode, "expected a time such as" in done.stderr) == (2, True), wrong


def test_no_trail_is_no_garbage(run: Run, tmp_path: Path) -> None:
    done = run("gc", "--trail", tmp_path / "nowhere")
    assert done.returncode == 4
    assert "no trail at" in done.stderr
