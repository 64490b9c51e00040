"""A disk that is full stops a command with a word, harms nothing, and the same command goes on when there is room."""

from pathlib import Path

import pytest

from tests.conftest import Unavailable
from tests.effort import effort
from tests.faults import driver, small_disk
from tests.faults.forked import Forked
from tests.faults.recording import write_trace
from tests.replay.states import litter, store


def run(*arguments: str | Path, most: int | None = None) -> tuple[int, str]:
    """Run the driver, with no file larger than *most* bytes; return its exit code and what it said."""
    return Forked(driver.main, *arguments, most=most).outcome()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("trace") / "trace.txt", events=8_000)


def test_a_full_disk_stops_ingest_and_replay_and_harms_nothing(trace: Path, tmp_path: Path) -> None:
    whole, cramped = tmp_path / "whole", tmp_path / "cramped"
    for trail in (whole, cramped):
        trail.mkdir()
    assert run("ingest", whole, trace) == (0, "done\n")
    assert run("replay", whole) == (0, "done\n")

    code, said = run("ingest", cramped, trace, most=60_000)
    assert (code, said.split(":")[0]) == (4, "StorageFull")
    assert "free some space and run the same command again" in said
    assert run("ingest", cramped, trace) == (0, "done\n")

    expected = store(whole)
    sizes = sorted(path.stat().st_size for path in whole.rglob("*.duckdb"))
    for most in (40_000, sizes[-1] - 1):
        code, said = run("replay", cramped, most=most)
        assert (code, said.split(":")[0]) == (4, "StorageFull"), (most, said)
        assert litter(cramped) == []
        assert store(cramped).items() <= expected.items()
    assert run("replay", cramped) == (0, "done\n")
    assert store(cramped) == expected


STEPS = effort({"ingest": "20", "replay": "300"}, {"ingest": "4", "replay": "16"})
"""KiB of room that each attempt has more."""


@pytest.mark.parametrize("what", STEPS)
def test_however_little_room_is_left_what_is_stored_is_whole_and_the_same_command_goes_on(
    what: str, tmp_path: Path, unavailable: Unavailable
) -> None:
    code, said = Forked(small_disk.main, what, tmp_path, STEPS[what]).outcome()
    if said.startswith("impossible"):
        unavailable("small disk", said)
    assert (code, said) == (0, "done\n")
