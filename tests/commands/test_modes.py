"""Who may read a trail: its owner alone, whatever the umask, unless ``--mode`` lets others in."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagetrail import api
from tests.commands.cli import run

LINE = "  a-7  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"


@pytest.fixture(autouse=True, params=[0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def recording(folder: Path, name: str, first: int) -> Path:
    path = folder / name
    path.write_text("# tracer: nop\n#\n" + "".join(LINE.format(first + i / 10, 256 + i) for i in range(5)))
    return path


def modes(trail: Path) -> tuple[set[int], set[int]]:
    """Return the modes of the folders of a trail and those of its files."""
    found: tuple[set[int], set[int]] = ({stat.S_IMODE(trail.stat().st_mode)}, set())
    for folder, folders, files in os.walk(trail):
        found[0].update(stat.S_IMODE(Path(folder, name).stat().st_mode) for name in folders)
        found[1].update(stat.S_IMODE(Path(folder, name).stat().st_mode) for name in files)
    return found


def stored(trail: Path, path: Path, *more: str) -> None:
    for arguments in (["ingest", path, "--host", path.name], ["replay"]):
        done = run(*arguments, *more, "--trail", trail)
        assert done.code == 0, done.err


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077], ids=oct, indirect=True)
def test_a_new_trail_is_its_owners_alone(tmp_path: Path) -> None:
    stored(tmp_path / "trail", recording(tmp_path, "a", 1))
    assert modes(tmp_path / "trail") == ({0o700}, {0o600})


def test_a_folder_that_was_there_before_lets_nobody_into_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "trail").mkdir()
    (tmp_path / "trail").chmod(0o755)
    stored(tmp_path / "trail", recording(tmp_path, "a", 1))
    assert modes(tmp_path / "trail") == ({0o755, 0o700}, {0o600})


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct, indirect=True)
def test_a_trail_that_was_shared_once_stays_so(tmp_path: Path) -> None:
    trail = tmp_path / "trail"
    stored(trail, recording(tmp_path, "a", 1))
    done = run("ingest", recording(tmp_path, "b", 2), "--host", "b", "--mode", "640", "--trail", trail)
    assert done.code == 0, done.err
    assert modes(trail) == ({0o750}, {0o640})
    stored(trail, recording(tmp_path, "c", 3))
    assert modes(trail) == ({0o750}, {0o640})


def test_a_shared_trail_can_be_closed_again_but_for_its_own_folder(tmp_path: Path) -> None:
    trail = tmp_path / "trail"
    stored(trail, recording(tmp_path, "a", 1), "--mode", "0664")
    assert modes(trail) == ({0o775}, {0o664})
    stored(trail, recording(tmp_path, "b", 2), "--mode", "600")
    assert modes(trail) == ({0o775, 0o700}, {0o600})


def test_segments_of_a_log_elsewhere_are_shared_by_themselves(tmp_path: Path) -> None:
    api.share(tmp_path / "trail", 0o640, make="segments")
    assert {path.name for path in (tmp_path / "trail").iterdir()} == {"segments"}
    assert modes(tmp_path / "trail")[0] == {0o750}


@pytest.mark.parametrize("mode", ["", "755", "0", "400", "1640", "888", "rw-r-----", "-640", "777", "٦٤٠"])
def test_what_is_no_mode_is_refused_before_anything_is_made(mode: str, tmp_path: Path) -> None:
    done = run("ingest", recording(tmp_path, "a", 1), f"--mode={mode}", "--trail", tmp_path / "trail")
    assert done.code == 2
    assert "expected the mode of files in octal" in done.err
    assert not (tmp_path / "trail").exists()


def test_a_mode_is_for_the_trails_own_files(tmp_path: Path) -> None:
    log = "kafka://localhost:1/topic"
    done = run("ingest", recording(tmp_path, "a", 1), "--mode", "640", "--log", log, "--trail", tmp_path / "trail")
    assert (done.code, "'pagetrail replay --mode' shares segments" in done.err) == (2, True)
    missing = run("replay", "--mode", "640", "--trail", tmp_path / "none")
    assert (missing.code, (tmp_path / "none").exists()) == (4, False)
