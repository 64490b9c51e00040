"""A stream is not restored from runs of pages that no stream has, though the digests of its file are right."""

from pathlib import Path
from typing import Final

import duckdb
import pytest

from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.store import restore
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import SegmentDamaged
from tests.faults.stores.harms import make_digests
from tests.replay.states import chained, place, replay, trail_of
from tests.replay.strategies import PAGES, Machine, to_frames

OPTIONS: Final = FoldOptions(floor=12, events_a_live=1)

ODD: Final = {
    "a section that never was": f"UPDATE open_pages SET pfn = pfn + {2 * PAGES}",
    "a section behind all": f"UPDATE open_pages SET pfn = pfn + {90 * PAGES}",
    "a section that no machine has": f"UPDATE open_pages SET pfn = pfn + {1 << 40}",
    "a run of two sections": f"UPDATE open_runs SET nr_pages = {PAGES}",
    "a value of a section that never was": f"UPDATE page_ext SET pfn = pfn + {2 * PAGES}",
    "a value of two sections": f"UPDATE page_ext SET nr_pages = {PAGES + 1}",
    "a doubt of a section that never was": f"UPDATE state SET value = '[[{2 * PAGES}, 1, 9]]' WHERE name = 'doubted'",
    "a doubt below all pages": f"UPDATE state SET value = '[[{-9 * PAGES}, 1, 9]]' WHERE name = 'doubted'",
    "a doubt of no page": "UPDATE state SET value = '[[0, 0, 9]]' WHERE name = 'doubted'",
}
"""What is changed in a file of sections 0, 1 and 5, with pages and runs of more in section 0."""

MOVES: Final = {
    "below all pages": "[[1, 0, 8, -70000, 0, 1, 0]]",
    "of no machine": f"[[1, 0, 8, {1 << 60}, 0, 1, 0]]",
    "of no page": "[[1, 0, 8, 8, 0, 0, 0]]",
}


@pytest.fixture(scope="module")
def tip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail whose stream has one file."""
    m = Machine()
    m.begin(debug=True)
    for pfn in (*range(10), 5 * PAGES):
        m.ts += 5
        m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=pfn)
        m.emit(Kind.POISON, pfn=pfn % PAGES, order=0)
    m.emit(Kind.ALLOC, pfn=16, order=2, gfp_mask=0, pid=1)
    trail = trail_of(tmp_path_factory.mktemp("told") / "trail", to_frames(m.recordings))
    replay(trail, floor=1000)
    return trail


def load(trail: Path) -> restore.Resumed:
    return restore.load(place(trail), host="host", boot_id="boot", options=OPTIONS)


def test_what_was_written_is_restored(tip: Path) -> None:
    assert load(tip).engine.open_spans == 12


def refused(tip: Path, statement: str, why: str) -> None:
    """Check that a file is damage, for this reason, after a statement changed it."""
    (file,) = chained(tip)
    content = file.read_bytes()
    with duckdb.connect(str(file)) as db:
        assert db.execute(statement).fetchall()[0][0] > 0
        db.execute("CHECKPOINT")
    make_digests(file)
    try:
        with pytest.raises(SegmentDamaged, match=why):
            load(tip)
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("what", ODD)
def test_runs_that_no_stream_has_are_damage(tip: Path, what: str) -> None:
    refused(tip, ODD[what], "expected runs of pages that are each within a section")


@pytest.mark.parametrize("what", MOVES)
def test_migrations_to_pages_that_cannot_be_are_damage(tip: Path, what: str) -> None:
    refused(tip, f"UPDATE state SET value = '{MOVES[what]}' WHERE name = 'moves'", "expected pages of migrations")
