"""One host stops no other: whatever a host writes into the log, the others' stores and answers are what they are without it."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.schemas.errors import NotFound
from pagetrail.text.streams import streams_text
from pagetrail.trail import Trail
from tests.effort import NIGHTLY, effort
from tests.faults.bad_frames import Row, kinds, mutant, of_host, write_rows
from tests.replay.states import FLOOR, store, trail_of

GOOD = ("good one", "good two")
TOGETHER = effort(10, 100)
"""Mutants in one trail."""

SHOWN = (
    f"host {'h' * 40!r} 1025", "host 'a\\nb' 3", "boot '..' 2", "another host's frame", "rubbish", "header rows -1",
    "columns texts", "boot present 1099511627776", "seq 4611686018427387904", "bytes in place of a host", "digits of a skew",
)  # fmt: skip
"""The kinds that are tried each time, beside some at random: all take a minute."""


@dataclass(frozen=True)
class Unharmed:
    """The stores and the answers of the hosts that do nothing wrong."""

    stores: dict[str, str]
    answers: dict[str, list[object]]


def replayed(trail: Path) -> ReplayReport:
    """Replay with little memory: what a frame asks for shows sooner."""
    with SqliteLogReader(trail) as log:
        options = FoldOptions(floor=FLOOR, events_a_live=1)
        return Replayer(trail, log, options=options, memory=Memory(most=64 << 20, strict=True)).run()


def answers(trail: Path) -> dict[str, list[object]]:
    """Return who owned each page of the hosts that do nothing wrong, without where the log says so."""
    opened = Trail(trail)
    return {
        host: opened.owner(range(200), "-0s", stream=host)
        .drop_columns(["log_offset", "evidence_log_offset"])
        .to_pylist()
        for host in GOOD
    }


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Unharmed:
    trail = trail_of(tmp_path_factory.mktemp("unharmed") / "trail", [*of_host(GOOD[0], 1), *of_host(GOOD[1], 2)])
    assert replayed(trail).halted == {}
    return Unharmed(store(trail), answers(trail))


def check(folder: Path, bad: Iterable[Row], unharmed: Unharmed) -> ReplayReport:
    """Replay *bad* between the good hosts, twice, and ask what can be asked; return what the replay said."""
    one, two = (of_host(host, seed) for seed, host in enumerate(GOOD, 1))
    trail = trail_of(folder, one[: len(one) // 2])
    write_rows(trail, bad)
    with SqliteLogWriter(trail) as log:
        log.append([*one[len(one) // 2 :], *two])
    for _ in range(2):  # it stays in the log, and is said again
        report = replayed(trail)
        assert not {key[0] for key in report.halted} & {*GOOD}
        assert unharmed.stores.items() <= store(trail).items()
        assert answers(trail) == unharmed.answers
    rows = Trail(trail).streams().to_pylist()
    assert {(row["host"], row["boot_id"]): row["held"] for row in rows if row["held"]} == report.halted | report.waiting
    assert streams_text(rows, [str for _ in rows], lag=False).count(": held: ") == len(report.halted | report.waiting)
    told = {(s.host, s.boot_id): {f.what for f in findings(s)} for s in open_streams(trail).opened}
    assert all("held" in told[key] for key in report.halted if key in told)
    return report


def test_whatever_one_host_sends_the_others_are_what_they_are_without_it(tmp_path: Path, unharmed: Unharmed) -> None:
    bad = kinds(of_host(GOOD[0], 1)[0])
    some = bad if NIGHTLY else dict.fromkeys((*SHOWN, *random.Random().sample(sorted(bad), 20)))
    report = check(tmp_path / "trail", (row for what in some for row in bad[what]), unharmed)
    halted = {what for what in SHOWN if {(row.host, row.boot_id) for row in bad[what]} <= report.halted.keys()}
    assert {*SHOWN} - halted == {"host 'a\\nb' 3", "boot '..' 2", "seq 4611686018427387904", "bytes in place of a host"}
    present = report.halted["boot present 1099511627776", "boot"]
    assert (
        "the 1,048,576 sections of its machine, whatever is known of their pages, take 512 MiB of memory, expected at most 64 MiB"
        in present
    )
    assert "ValueError" in report.halted["digits of a skew", "boot"]


@pytest.mark.parametrize("part", range(effort(1, 40)))
def test_what_hosts_send_at_random_harms_no_other(tmp_path: Path, unharmed: Unharmed, part: int) -> None:
    rng = random.Random(part)
    bad = [mutant(rng, f"bad {part}.{nr}") for nr in range(TOGETHER)]
    report = check(tmp_path / "trail", (row for rows in bad for row in rows), unharmed)
    assert 0 < len(report.halted) < TOGETHER, "every mutant halts, or none: they say nothing"


def test_a_trail_in_which_no_stream_could_begin_says_why(tmp_path: Path) -> None:
    trail = trail_of(tmp_path / "trail", of_host(GOOD[0], 1)[:1])
    write_rows(trail, kinds(of_host(GOOD[0], 1)[0])["rubbish"])
    alone = trail_of(tmp_path / "alone", [])
    write_rows(alone, kinds(of_host(GOOD[0], 1)[0])["rubbish"])
    replayed(trail)
    replayed(alone)
    assert len(open_streams(trail).opened) == 1
    with pytest.raises(
        NotFound, match=r"could not begin with any stream: rubbish/boot: .* expected a whole pagetrail frame"
    ):
        open_streams(alone)
