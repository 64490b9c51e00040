"""How much memory a record of a dump takes: in all, at most, and on its way through each command."""

from pathlib import Path
from typing import Final

from tests.large_dumps import commands, peak, write_dump

RECORDS: Final = 150_000

MOST_A_RECORD: Final = {
    "ingest": 400,
    "replay": 450,
    "top": 650,
    "leaks": 700,
    "top by pid": 650,
    "table": 1050,
    "snapshot": 1050,
}
"""Bytes. Some of it is for the records that are dealt with at once, however large the dump is; see benchmarks/README.md for a large
one. Quiet runs took 360 to 383, 343, 486, 533 and 870. Before records were taken in parts, the first three took 680, 1,600 and
1,450."""

MOST_A_RECORD_OF_TWO: Final = {"ingest": 500, "replay": 800, "top": 850}
"""Bytes, where two dumps of one boot have so many records each and share no owner. A quiet run took 411, 654 and 702."""


COMPILING: Final = ("ingest", "replay")
"""Their first run may have to compile jit functions, which takes more than any dump. Questions call none."""


def test_a_record_of_a_dump_takes_little_memory_in_each_command(tmp_path: Path) -> None:
    small, large = write_dump(tmp_path / "small.txt", 1000), write_dump(tmp_path / "large.txt", RECORDS)
    compiled = commands(small, trail=tmp_path / "compiled")
    for name in COMPILING:
        peak(*compiled[name])
    floor = {name: peak(*command) for name, command in commands(small, trail=tmp_path / "small").items()}
    most = {name: peak(*command) for name, command in commands(large, trail=tmp_path / "large").items()}
    grown = {name: (most[name] - floor[name]) / RECORDS for name in most}
    assert {name: round(bytes_) for name, bytes_ in grown.items() if bytes_ > MOST_A_RECORD[name]} == {}


def test_two_dumps_that_share_no_owner_take_little_memory(tmp_path: Path) -> None:
    """GIVEN a dump that ends everything that an earlier one said WHEN both are replayed THEN what ended does not wait in memory."""
    most = {}
    for name, count in (("compiled", 1000), ("small", 1000), ("large", RECORDS)):
        dumps = [write_dump(tmp_path / f"{name}-{seed}.txt", count, seed=seed) for seed in (5, 6)]
        of_two = commands(*dumps, trail=tmp_path / name)
        asked = COMPILING if name == "compiled" else MOST_A_RECORD_OF_TWO
        most[name] = {command: peak(*of_two[command]) for command in asked}
    grown = {name: (most["large"][name] - most["small"][name]) / RECORDS for name in MOST_A_RECORD_OF_TWO}
    assert {name: round(bytes_) for name, bytes_ in grown.items() if bytes_ > MOST_A_RECORD_OF_TWO[name]} == {}
