"""A harmed store harms only what it holds: no traceback, no certain answer that is another, and every other host is answered.

Each attempt copies a trail of two hosts, harms the files of one, asks, verifies, replays, and asks again.
"""

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from tests.commands.cli import run
from tests.effort import NIGHTLY, effort
from tests.faults.stores.asked import FLOOR, Asked, ask, instants, make, wrong
from tests.faults.stores.harms import EDITED, FORGED, SEEN, VICTIM, target_of

ATTEMPTS = effort(1, 400)
SEED = random.SystemRandom().randrange(1 << 32) if NIGHTLY else 20_261_128
MOST_SECONDS = 20.0
COMMANDS = (
    ["streams", "--json"],
    ["doctor"],
    ["snapshot", "--at", "-0s", "--stream", VICTIM],
    ["verify"],
    ["gc", "--keep", "1s"],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A whole trail, and what it answers."""

    trail: Path
    times: dict[str, list[int]]
    answers: Asked


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    trail = make(tmp_path_factory.mktemp("whole") / "trail")
    times = instants(trail)
    answers, errors = ask(trail, times)
    assert errors == []
    assert sum(bool(row["certain"]) for rows in answers.values() for row in rows) > 100
    return Before(trail=trail, times=times, answers=answers)


def replayed(trail: Path) -> ReplayReport:
    with SqliteLogReader(trail) as reader:
        return Replayer(trail, reader, options=FoldOptions(floor=FLOOR, events_a_live=1)).run()


def asked(before: Before, trail: Path, rng: random.Random, *, seen: bool) -> set[str]:
    """Ask at some instants; return the hosts that were answered at all of theirs."""
    some = {host: rng.sample(times, effort(1, 2)) for host, times in before.times.items()}
    after, errors = ask(trail, some)
    if seen:
        assert list(wrong(before.answers, after)) == []
    assert all(error.exit_code in (3, 4) for error in errors)
    return {host for host, times in some.items() if all((host, at) in after for at in times)}


def attempt(before: Before, folder: Path, kind: str, seed: str) -> None:
    rng, trail = random.Random(seed), folder / "trail"
    shutil.copytree(before.trail, trail, symlinks=True)
    done = (SEEN | EDITED | FORGED)[kind](target_of(trail), rng)
    began = time.process_time()
    try:
        assert "other" in asked(before, trail, rng, seen=kind in SEEN), "another host is answered"
        for command in COMMANDS if NIGHTLY else [rng.choice(COMMANDS), ["verify"]]:
            found = run(*command, "--trail", trail)
            assert found.code in (0, 2, 3, 4)
            assert "not for answers" not in found.out + found.err
            if command == ["verify"] and kind in EDITED and not done.startswith("nothing"):
                assert found.code == 4, "rows that were edited are found"
        report = replayed(trail)
        assert {host for host, _ in report.halted} <= {VICTIM}
        answered = asked(before, trail, rng, seen=kind in SEEN)
        assert "other" in answered
    except BaseException as error:
        error.add_note(f"{kind}, seed {seed!r}: {done}")
        raise
    finally:
        shutil.rmtree(trail)
    assert time.process_time() - began < MOST_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SEEN, *EDITED, *FORGED])
def test_harm_to_a_store_harms_only_what_it_holds(before: Before, tmp_path: Path, kind: str) -> None:
    for number in range(ATTEMPTS):
        attempt(before, tmp_path, kind, f"{SEED} {number}")
