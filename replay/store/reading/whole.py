"""Whether a file of the store is whole: its rows are those of its digests, and it goes on from the file before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

from pagetrail.replay.store.packed.about import about
from pagetrail.replay.store.read import Held, check_system, hold, used
from pagetrail.replay.store.reading.lies import LIES, lie
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.tables import TABLES_DIGEST

_KEPT: Final = 1 << 12
"""Files that were found whole, and are not read again as long as they stay the same."""

_whole: Final[dict[tuple[str, str], None]] = {}


def check_whole(store: Store, name: str) -> None:
    """Read every row of a file, and compare its digests with them.

    Raises
    ------
    SegmentDamaged
        It cannot be read, or has other rows.
    SegmentGone
        It no longer exists.
    StorageFull, StorageFailed, MemoryError, duckdb.OutOfMemoryException
        It cannot be read now: it is no damage, and the file stays.
    """
    held = hold(store, name)
    key = store.where(name), held.version
    if key in _whole:
        return
    _check(held, store, name)
    if len(_whole) >= _KEPT:
        del _whole[next(iter(_whole))]
    _whole[key] = None


@contextmanager
def read_whole(held: Held, store: Store, name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read a file that is held, as ``used`` does. Whatever goes wrong over rows that are not whole is their damage."""
    try:
        with used(held, store, name) as db:
            yield db
    except LIES as error:
        check_whole(store, name)
        if isinstance(error, MemoryError):
            raise
        reason = f"what no segment says, though its digests are right ({lie(error)}): please report it, if pagetrail wrote it"
        raise SegmentDamaged(path=store.where(name), reason=reason) from error


def _check(held: Held, store: Store, name: str) -> None:
    from pagetrail.replay.store.reading.recount import (
        recount,  # here: questions rarely need it, and it loads the compiler
    )

    where = store.where(name)
    with used(held, store, name) as db:
        meta = held.meta(db)
        try:
            about(db, held.size)
            found = recount(db, meta)
        except MemoryError:
            raise
        except LIES as error:
            raise SegmentDamaged(path=where, reason=f"rows that no segment has ({lie(error)})") from error
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            check_system(store, name, error)
            raise SegmentDamaged(path=where, reason=str(error).split("\n")[0]) from error
    for what, said, made in (
        ("digest", meta["digest"], found.chain), ("digest of its tables", meta.get(TABLES_DIGEST), found.tables),
    ):  # fmt: skip
        if said != made:
            raise SegmentDamaged(path=where, reason=f"rows whose {what} is {made}, and not {said}, as it says")
