"""Named queries: the files of ``queries/sql``, run by DuckDB over Arrow tables."""

from importlib.resources import files

import duckdb
import pyarrow as pa


def run(name: str, tables: dict[str, pa.Table], parameters: dict[str, object] | None) -> pa.Table:
    """Return the answer of ``sql/NAME.sql``, which refers to *tables* by their names."""
    text = files("pagetrail.queries").joinpath("sql", f"{name}.sql").read_text()
    with duckdb.connect(":memory:") as db:
        for table_name, table in tables.items():
            db.register(table_name, table)
        return db.sql(text, params=parameters).to_arrow_table()
