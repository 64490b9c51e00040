"""Reading a file of the store: a segment or a tip, which is complete or refused."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.rules.dumped.said import SAID_TEXTS
from pagetrail.replay.store.databases import Attachment, Reading, is_full, is_of_the_system
from pagetrail.replay.store.packed.unpack import FileRows
from pagetrail.replay.store.reading.catalog import check_catalog
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone, StorageFailed, StorageFull, TrailTooNew
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT32, ABSENT64
from pagetrail.schemas.store.contract import LocalFile, Store
from pagetrail.schemas.store.names import is_of_stream, mismatch
from pagetrail.schemas.store.tables import STORE_FORMAT

_HEADER_BYTES = 3 * 4096
"""Bytes before a DuckDB file's first block: the main header and two database headers."""


_DAMAGE: Final = (
    duckdb.IOException, duckdb.SerializationException, duckdb.CatalogException, duckdb.InternalException,
)  # fmt: skip
"""What DuckDB raises when an open file turns out to be damaged; of a block whose checksum is wrong, an error of no kind."""

_IDS: Final = ("comm", "stack", *SAID_TEXTS)
"""What the names of columns that hold ids of texts end with."""

_DATABASES: Final = Reading()


class Held:
    """A file of the store that is attached, and remains readable as long as this object is kept.

    Attributes
    ----------
    version
        The version of the file: see ``Store.version``.
    size
        Its bytes.
    known
        What was read of its rows; null: nothing yet.
    few
        What questions keep of it by name, as long as it is open: tables of a few rows, which take longer to ask for than to read.

    Raises
    ------
    FileNotFoundError, duckdb.Error
        There is no such file, or it cannot be opened.
    SegmentDamaged
        It is cut short, has other views than a segment, or is not what its name says.
    """

    def __init__(self, store: Store, name: str) -> None:
        with store.open(name) as file:
            self.version, self.size = file.version, file.size
            self._attachment = Attachment(_DATABASES.within(file.within), file.path, "READ_ONLY")
        with self.connection() as db:
            _check_size(db, self._attachment.name, file, store.where(name))
            check_catalog(db, self._attachment.name, store.where(name))
            self._meta = _checked_meta(db, name, store.where(name)) if is_of_stream(name) else None
        self._where = store.where(name)
        self.known: FileRows | None = None
        self.few: dict[str, Any] = {}

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection for which the file is the database: see ``Attachment.connection``."""
        with self._attachment.connection() as db:
            yield db

    def meta(self, db: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Return its table ``meta``, which is read once."""
        if self._meta is None:
            self._meta = meta(db, self._where)
        return self._meta

    def rows(self, db: duckdb.DuckDBPyConnection) -> FileRows:
        """Return what is read once of the rows of the file."""
        if self.known is None:
            self.known = FileRows(db, self.size)
        return self.known


_HELD: Final[weakref.WeakValueDictionary[str, Held]] = weakref.WeakValueDictionary()


@contextmanager
def opened(store: Store, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a segment for reading.

    Raises
    ------
    SegmentDamaged
        It cannot be read as a segment.
    SegmentGone
        It no longer exists.
    """
    with used(hold(store, name), store, name) as db:  # detached when the last reference is gone
        yield db


@contextmanager
def used(held: Held, store: Store, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read a file that is held; for errors, see ``opened``."""
    try:
        with held.connection() as db:
            yield db
    except duckdb.Error as error:
        if not isinstance(error, _DAMAGE) and type(error) is not duckdb.Error:
            raise  # of a query of ours
        check_system(store, name, error)
        _HELD.pop(store.where(name), None)  # so that a repaired file is opened again
        raise _damaged(store, name, error) from error


def hold(store: Store, name: str) -> Held:
    """Keep a file readable as long as the result is kept: a tip is removed once a newer one exists.

    Raises
    ------
    SegmentDamaged
        It cannot be opened.
    SegmentGone
        It no longer exists.
    """
    where = store.where(name)
    held = _HELD.get(where)
    if held is None or store.version(name) not in (held.version, None):
        try:
            held = _HELD[where] = Held(store, name)
        except FileNotFoundError as error:
            raise SegmentGone(path=where) from error
        except duckdb.Error as error:
            check_system(store, name, error)
            raise _damaged(store, name, error) from error
    return held


def whose(path: Path) -> tuple[str, str]:
    """Return the host and the boot_id that a segment or tip of any format names.

    Raises
    ------
    SegmentDamaged
        It does not say.
    """
    try:
        if not S_ISREG(path.lstat().st_mode):  # a FIFO would be waited for
            raise SegmentDamaged(path=str(path), reason="no regular file in the place of one")
        folder = Path(os.path.abspath(path)).parent  # noqa: PTH100
        attached = Attachment(_DATABASES.within(folder), path, "READ_ONLY")
        with attached.connection() as db:
            is_table = "SELECT count(*) FROM duckdb_tables() WHERE database_name = $attached AND table_name = 'meta'"
            if not db.execute(is_table, {"attached": attached.name}).fetchall()[0][0]:
                raise SegmentDamaged(path=str(path), reason="no table meta")
            found = dict(db.execute("SELECT key, value FROM meta").fetchall())
            return str(found["host"]), str(found["boot_id"])
    except (duckdb.Error, OSError, KeyError) as error:
        raise SegmentDamaged(path=str(path), reason=str(error).split("\n")[0]) from error


@contextmanager
def in_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection for queries of tables in memory: another instance takes longer to begin than most of them."""
    instance = _DATABASES.any()
    root = instance.root()
    try:
        with root.cursor() as db:
            yield db
    except duckdb.Error:
        instance.retire(root)
        raise


def give_back() -> None:
    """Give back what DuckDB keeps of large files that have been read."""
    _DATABASES.give_back()


def check_system(store: Store, name: str, error: duckdb.Error) -> None:
    """Raise what the system did to DuckDB: it is no damage, and the file stays.

    Raises
    ------
    StorageFull
        There is no space for what does not fit into memory.
    StorageFailed
        It could not be written, or the file could not be read.
    """
    reason = str(error).split("\n", 1)[0]
    if is_full(error):
        raise StorageFull(
            path=tempfile.gettempdir(), reason=f"{reason}; $TMPDIR says where else there is some"
        ) from error
    if is_of_the_system(error):
        raise StorageFailed(path=store.where(name), reason=reason) from error


def _damaged(store: Store, name: str, error: duckdb.Error) -> SegmentDamaged:
    """Return the error for an error of DuckDB: the file is damaged, or was removed before DuckDB opened it."""
    where = store.where(name)
    if store.version(name) is None:
        return SegmentGone(path=where)
    return SegmentDamaged(path=where, reason=str(error).split("\n")[0])


def _check_size(db: duckdb.DuckDBPyConnection, attached: str, file: LocalFile, where: str) -> None:
    """Check that all blocks are there: DuckDB opens a file without its last ones, and fails only when a query needs them."""
    query = "SELECT total_blocks, block_size FROM pragma_database_size() WHERE database_name = $attached"
    blocks, block_bytes = db.execute(query, {"attached": attached}).fetchall()[0]
    whole = _HEADER_BYTES + blocks * block_bytes
    if file.size < whole:
        raise SegmentDamaged(path=where, reason=f"{file.size} bytes of {whole}: it is cut short")


def _checked_meta(db: duckdb.DuckDBPyConnection, name: str, where: str) -> dict[str, str]:
    """Return the table ``meta`` of the file of a stream: its host, boot, fold and events are those that *name* stands for."""
    found = meta(db, where)
    try:
        other = mismatch(name, found)
    except (KeyError, ValueError, TypeError) as error:
        raise SegmentDamaged(path=where, reason=f"a table meta that does not say whose it is ({error!r})") from error
    if other is not None:
        raise SegmentDamaged(path=where, reason=other)
    return found


def meta(db: duckdb.DuckDBPyConnection, where: str) -> dict[str, str]:
    """Return the table ``meta`` of a segment, after a check of its format; *where* is its place in messages."""
    found: dict[str, str] = dict(db.execute("SELECT key, value FROM meta").fetchall())
    try:
        version = int(found["format"])
    except (KeyError, ValueError, TypeError) as error:
        raise SegmentDamaged(path=where, reason="no format in its table meta") from error
    if version > STORE_FORMAT:
        raise TrailTooNew(path=where, found=version, supported=STORE_FORMAT)
    if version < STORE_FORMAT:
        raise SegmentDamaged(path=where, reason=f"its format is {version}, and its place is of format {STORE_FORMAT}")
    return found


def columns(rows: pa.Table, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Return the columns of *rows* that *dtype* has, as one array; null becomes absent."""
    found = np.zeros(rows.num_rows, dtype)
    for name in dtype.names or ():
        if name not in rows.column_names:
            continue
        column = rows[name].combine_chunks()
        if column.null_count:
            column = column.fill_null(-1 if name.endswith(_IDS) else _absent_of(dtype[name]))
        found[name] = column.to_numpy(zero_copy_only=False)
    return found


def _absent_of(dtype: np.dtype[Any]) -> int:
    return {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[dtype.itemsize]
