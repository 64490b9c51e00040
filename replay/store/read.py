"""What a file of the store says, read: a segment or a tip, whole or refused."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.store.databases import Attachment, Instance
from pagetrail.schemas.errors import SegmentDamaged, TrailTooNew
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64, RECORD_DTYPE, RUN_DTYPE
from pagetrail.schemas.store import STORE_FORMAT

_HEADER_BYTES = 3 * 4096
"""Before a DuckDB file's first block: the main header and two of the database."""


_DAMAGE: Final = (
    duckdb.IOException, duckdb.SerializationException, duckdb.CatalogException, duckdb.InternalException,
)  # fmt: skip
"""What DuckDB raises, once a file is open, where the file is not what it should be."""

_DATABASES: Final = Instance()
_HELD: Final[weakref.WeakValueDictionary[Path, Attachment]] = weakref.WeakValueDictionary()


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a segment for reading.

    Raises
    ------
    SegmentDamaged
        It cannot be read as one.
    """
    file = hold(path)  # let go of when nobody has it any more
    try:
        with file.connection() as db:
            _check_size(db, path)
            yield db
    except _DAMAGE as error:
        _HELD.pop(path, None)  # whoever mends it is to find the new one
        raise _damaged(path, error) from error


def hold(path: Path) -> Attachment:
    """Keep a file readable for as long as this is kept: a tip is removed when a newer one is there.

    Raises
    ------
    SegmentDamaged
        It cannot be opened.
    """
    held = _HELD.get(path)
    if held is None or not held.stands_at(path):
        try:
            held = _HELD[path] = Attachment(_DATABASES, path, "READ_ONLY")
        except duckdb.Error as error:
            raise _damaged(path, error) from error
    return held


def _damaged(path: Path, error: duckdb.Error) -> SegmentDamaged:
    return SegmentDamaged(path=str(path), reason=str(error).split("\n")[0])


def _check_size(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """DuckDB opens a file whose last blocks are gone, and complains only when a question needs them."""
    query = "SELECT total_blocks, block_size FROM pragma_database_size() WHERE database_name = current_database()"
    blocks, block_bytes = db.execute(query).fetchall()[0]
    try:
        whole, found = _HEADER_BYTES + blocks * block_bytes, path.stat().st_size
    except FileNotFoundError:
        return  # a tip that a newer one replaced: who holds it open reads on
    if found < whole:
        raise SegmentDamaged(path=str(path), reason=f"{found} bytes of {whole}: it is cut short")


def meta(db: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return what a segment says it is, after a look at its format."""
    said: dict[str, str] = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if "format" not in said:
        raise SegmentDamaged(path=str(path), reason="no format in its table meta")
    if int(said["format"]) > STORE_FORMAT:
        raise TrailTooNew(path=str(path), found=int(said["format"]), supported=STORE_FORMAT)
    return said


def arrays(rows: pa.Table) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return rows of ``spans`` or ``live`` as runs and records: absent where null."""
    return columns(rows, RUN_DTYPE), columns(rows, RECORD_DTYPE)


def columns(rows: pa.Table, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Return the columns of *rows* that *dtype* has, as one array: absent where null."""
    found = np.zeros(rows.num_rows, dtype)
    for name in dtype.names or ():
        if name not in rows.column_names:
            continue
        column = rows[name].combine_chunks()
        if column.null_count:
            column = column.fill_null(-1 if name.endswith(("comm", "stack")) else _absent_of(dtype[name]))
        found[name] = column.to_numpy(zero_copy_only=False)
    return found


def _absent_of(dtype: np.dtype[Any]) -> int:
    return {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[dtype.itemsize]
