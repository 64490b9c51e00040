"""A file of the store has the tables and views of a segment, word for word, and what else it has is never called."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pagetrail import api
from pagetrail.replay.store.reading.catalog import check_catalog
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.store.tables import VIEWS, ddl, span_rows
from tests.replay.states import chained, replay, trail_of
from tests.replay.strategies import Machine, to_frames


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    machine = Machine()
    machine.begin()
    for pfn in range(6):
        machine.ts += 1
        machine.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=7)
    machine.end()
    trail = trail_of(tmp_path_factory.mktemp("whole") / "trail", to_frames(machine.recordings))
    replay(trail)
    return trail


@pytest.fixture
def trail(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "trail"))


def change(trail: Path, statements: Sequence[str]) -> None:
    with duckdb.connect(str(chained(trail)[-1])) as db:
        for statement in statements:
            db.execute(statement)


OTHER_TEXT = span_rows("live").replace("b.ts - b.age", "b.ts")

HARMS = {
    "another text": (["DROP VIEW live", f"CREATE VIEW live AS {OTHER_TEXT}"], "a view live with another text"),
    "another view's text": (["DROP VIEW live", f"CREATE VIEW live AS {span_rows('spans')}"], "a view live with another text"),
    "other names": (
        ["DROP VIEW live", f"CREATE VIEW live (nr_pages, pfn) AS {span_rows('live')}"], "a view live with another text"
    ),
    "one view more": (["CREATE VIEW more AS SELECT 1"], "more: expected tables, found views"),
    "a view for a table": (["DROP TABLE comms", "CREATE VIEW comms AS SELECT 0 AS id, 'x' AS comm"], "comms: expected tables"),
    "a view in a schema": (["CREATE SCHEMA s", "CREATE VIEW s.live AS SELECT 1"], r"s\.live: expected tables, found views"),
    "one table more": (["CREATE TABLE more (a INTEGER)"], "more: tables that no segment has"),
    "a table for a view": (["DROP VIEW spans", "CREATE TABLE spans (pfn BIGINT)"], "spans: tables that no segment has"),
    "one table less": (["DROP TABLE markers"], "nothing called markers"),
    "one view less": (["DROP VIEW spans"], "nothing called spans"),
    "another type": (["ALTER TABLE markers ALTER text TYPE INTEGER USING 1"], "other columns of markers"),
    "one column more": (["ALTER TABLE gaps ADD COLUMN more INTEGER"], "other columns of gaps"),
    "a default": (["ALTER TABLE gaps ALTER lost SET DEFAULT 1"], "other columns of gaps"),
    "what is computed": (
        ["DROP TABLE comms", "CREATE TABLE comms (id INTEGER, comm VARCHAR GENERATED ALWAYS AS ('x'))"], "other columns of comms"
    ),
    "a view that a macro hides": (
        ["DROP TABLE comms", "CREATE VIEW comms AS SELECT 0 AS id, 'x' AS comm",
         "CREATE MACRO duckdb_views() AS TABLE SELECT * FROM system.main.duckdb_views() WHERE view_name <> 'comms'"],
        "comms: expected tables, found views",
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_file_with_other_tables_or_views_is_refused(trail: Path, harm: str) -> None:
    statements, why = HARMS[harm]
    assert api.open(trail).snapshot("-0s").num_rows == 6
    change(trail, statements)
    with pytest.raises(SegmentDamaged, match=why):
        api.open(trail)


MACROS = (
    "count(x) AS 42", "max(x) AS 42", "min(x) AS 42", "sum(x) AS 42", '"+"(a, b) AS 42', '"-"(a, b) AS 42', '">>"(a, b) AS 42',
    "current_database() AS 'x'", "duckdb_views() AS TABLE SELECT 1 AS a", "duckdb_tables() AS TABLE SELECT 1 AS a",
    "json_serialize_sql(a) AS 'x'", "range(a) AS TABLE SELECT 1 AS a", "ceil(a) AS 42", "log2(a) AS 42",
)  # fmt: skip


def answers(trail: Path) -> tuple[pa.Table, ...]:
    opened = api.open(trail)
    return opened.snapshot("-0s"), opened.top("-0s", "comm"), opened.owner([3], "4ns"), opened.streams()


def test_macros_of_a_file_are_not_called(trail: Path) -> None:
    before = answers(trail)
    change(trail, [f"CREATE MACRO {macro}" for macro in MACROS])
    assert answers(trail) == before
    assert replay(trail)[0].events == 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("spelling", ["as we wrote it", "in capitals", "with other spaces and brackets"])
def test_a_view_that_another_duckdb_prints_differently_is_ours(view: str, spelling: str) -> None:
    """GIVEN a file whose views another version of DuckDB wrote THEN they are taken for what they say."""
    text = span_rows(view)
    if spelling == "in capitals":
        text = (
            text.replace("coalesce(", "COALESCE(")
            .replace(" b.seq ", " (b.seq) ")
            .replace("JOIN acts a", "INNER JOIN acts AS a")
        )
    elif spelling == "with other spaces and brackets":
        text = text.replace(" FROM ", "\n\tFROM ").replace("b.ts - b.age", "((b.ts) - (b.age))")
    with duckdb.connect() as db:
        for statement in ddl():
            if statement.startswith(f'CREATE VIEW "{view}"'):
                db.execute(f"CREATE VIEW {view} AS {text}")
            elif not statement.startswith("COMMENT"):
                db.execute(statement)
        check_catalog(db, "memory", "here")
