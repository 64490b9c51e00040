"""A text of many megabytes, as the facts of a stream with very many gaps are: it is written, and others take little memory then."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from pagetrail.replay.store import publish
from pagetrail.schemas.store.tables import arrow_schema


@pytest.mark.parametrize("behind", [0, 1])
def test_a_large_text_is_written_wherever_its_table_stands(tmp_path: Path, behind: int) -> None:
    text = "".join(f'{{"t_lo": {n * 7919 % 1_000_003}, "lost": {n}}}' for n in range(400_000))
    state = pa.record_batch({"name": ["facts"], "value": [text]}, schema=arrow_schema("state"))
    words = pa.record_batch([["a", "b"][:1] for _ in arrow_schema("meta")], schema=arrow_schema("meta"))
    tables = [("state", iter([state])), ("meta", iter([words]))]
    publish._write_tables(tmp_path / "file", dict(tables[::-1] if behind else tables))
    with duckdb.connect(str(tmp_path / "file"), read_only=True) as db:
        assert db.execute("SELECT value FROM state").fetchall() == [(text,)]
    (limit,) = publish._WRITERS.root().execute("SELECT current_setting('memory_limit')").fetchone() or ("",)
    assert limit == f"{publish._LEAST_MEMORY >> 20}.0 MiB"
