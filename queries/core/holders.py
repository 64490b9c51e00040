"""Owned pages, with the attribute by which a question adds them up; and which owners with one pid are one process."""

from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from typing import Final, Literal, get_args

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.filters import Filters
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import rows_in_parts
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock
from pagetrail.schemas.owner import ABSENT32, ABSENT64

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype", "cgroup"]
"""An attribute of an owner."""

BY: Final = get_args(By)

_COLUMN: Final = {"gfp": "gfp_mask"}

BESIDE: Final = ("comm", "tgid")
"""What tells processes apart that had the same pid one after another: a pid is used again."""


UNKNOWN: Final = -1
"""A tgid or a name that is not known."""

Ints = NDArray[np.int64]


def page_bytes(stream: Stream) -> int:
    """Return the size of a page of the stream's machine."""
    return 1 << stream.facts.page_shift


def owned_by(stream: Stream, at: Instant, by: By, columns: tuple[str, ...], filters: Filters) -> pa.Table:
    """Return *columns* of the runs that are owned at an instant and selected, ``key``, the value of *by*, and ``BESIDE``.

    What is beside the key is null unless it tells processes apart: then it is that of the process, see ``processes``. No page is
    certain of its cgroup: a dump told of it once, and it changes without an event.
    """
    return pa.concat_tables(owned_in_parts(stream, at, by, columns, filters)).unify_dictionaries()


def owned_in_parts(
    stream: Stream, at: Instant, by: By, columns: tuple[str, ...], filters: Filters
) -> Iterator[pa.Table]:
    """Yield the table of ``owned_by`` in parts, by pfn."""
    key = _COLUMN.get(by, by)
    asked = dict.fromkeys((*columns, *((*BESIDE, "alloc_ts", "ts_nsec") if by == "pid" else ())))
    found = rows_in_parts(stream, at, columns=("state", *asked, key), filters=filters)
    parts = (_owned(part.rename_columns(["state", *asked, "key"])) for part in found)
    if by == "pid":  # it takes all rows to know which are of one process
        parts = (whole for whole in [pa.concat_tables(parts).unify_dictionaries()])
    for rows in parts:
        if by == "cgroup":
            place = rows.column_names.index("certain")
            rows = rows.set_column(place, "certain", pa.repeat(False, rows.num_rows))
        beside = (
            _of_processes(stream, rows)
            if by == "pid"
            else [pa.nulls(rows.num_rows, ROW_SCHEMA.field(name).type) for name in BESIDE]
        )
        rows = rows.select([*columns, "key"])
        for name, column in zip(BESIDE, beside, strict=True):
            rows = rows.append_column(name, column)
        yield rows


def _owned(rows: pa.Table) -> pa.Table:
    """Return the runs that have an owner; their texts are kept once each."""
    rows = rows.filter(pc.equal(rows["state"], "owned")).drop_columns("state")
    for index, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].dictionary_encode())
    return rows


def born_at(stream: Stream, rows: pa.Table) -> pa.ChunkedArray:
    """Return when the pages of rows with ``alloc_ts`` and ``ts_nsec`` were allocated, on the trace clock; null: it is not known."""
    clock = owner_clock(stream.facts.clocks)
    born = rows["alloc_ts"]
    return born if clock is None else pc.coalesce(born, pc.subtract(rows["ts_nsec"], clock.offset))


def _of_processes(stream: Stream, rows: pa.Table) -> list[pa.Array]:
    """Return the name and the tgid of the process of each row, as far as they are known."""
    comms = rows["comm"].combine_chunks().dictionary_encode()
    born = pc.coalesce(born_at(stream, rows), rows["ts_nsec"])
    columns = (
        pc.fill_null(column, nothing).to_numpy().astype(np.int64)
        for column, nothing in (
            (rows["key"], ABSENT32),
            (rows["tgid"], UNKNOWN),
            (comms.indices, UNKNOWN),
            (born, ABSENT64),
        )
    )
    tgid, name = processes(*columns)
    names = comms.dictionary.take(pa.array(name, mask=name == UNKNOWN))
    return [names, pa.array(tgid, rows["tgid"].type, mask=tgid == UNKNOWN)]


def added_up(found: pa.Table, by: By) -> pa.Table:
    """Return what a question added up *by* an attribute; what is beside the key stays where it tells processes apart."""
    return found if by == "pid" else found.drop_columns(list(BESIDE))


def named(name: str, tables: dict[str, pa.Table], parameters: dict[str, object] | None) -> pa.Table:
    """Return the answer of the named query ``sql/NAME.sql``, which refers to *tables* by their names."""
    text = files("pagetrail.queries").joinpath("sql", f"{name}.sql").read_text()
    with duckdb.connect(":memory:") as db:
        for table_name, table in tables.items():
            db.register(table_name, table)
        return db.sql(text, params=parameters).to_arrow_table()


def processes(pid: Ints, tgid: Ints, name: Ints, born: Ints) -> tuple[Ints, Ints]:
    """Return the tgid and the name of the process of each of n rows.

    Rows with one pid and two tgids are two processes. A thread with a pid of its own is of its process, whatever it is called. A
    process with two names is one if it has the first again after the second; names that only follow one another are taken for two
    processes, as a pid that is used again and an exec look the same. Rows that lack one of these go with those before them in time.

    Parameters
    ----------
    pid
        (n,) thread ids.
    tgid, name
        (n,) process ids, and numbers of names; ``UNKNOWN`` where they are not known.
    born
        (n,) when the pages were allocated, ns; ``ABSENT64`` where that is not known.
    """
    order = np.lexsort((name, born, pid))
    tgids, names = tgid[order], name[order]
    begins = np.flatnonzero(np.diff(pid[order], prepend=pid[order][:1] - 1))
    for begin, end in pairwise([*begins.tolist(), order.size]):
        rows = slice(begin, end)
        if np.ptp(tgids[rows]) or np.ptp(names[rows]):
            tgids[rows] = _filled(tgids[rows])
            names[rows] = _names(int(pid[order[begin]]), tgids[rows], names[rows], born[order[rows]])
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return tgids[back], names[back]


def _filled(values: Ints) -> Ints:
    """Return values in order of time; one that is unknown is that of the row before, at the beginning that of the row behind."""
    known = np.flatnonzero(values != UNKNOWN)
    if not known.size:
        return values
    place = np.searchsorted(known, np.arange(values.size), side="right") - 1
    return np.asarray(values[known[np.maximum(place, 0)]])


def _names(pid: int, tgids: Ints, names: Ints, born: Ints) -> Ints:
    """Return the last name of the process of each row; all rows have one *pid*, and are in order of time."""
    found = names.copy()
    for tgid in np.unique(tgids).tolist():
        rows = np.flatnonzero(tgids == tgid)
        if tgid not in (UNKNOWN, pid):
            named = rows[names[rows] != UNKNOWN]
            found[rows] = names[named[-1]] if named.size else UNKNOWN
        else:
            found[rows] = _last_names(names[rows], born[rows])
    return found


def _last_names(names: Ints, born: Ints) -> Ints:
    """Return the last name of each row's process: names whose times overlap are of one."""
    filled = _filled(names)
    last_of = {name: name for name in np.unique(filled).tolist()}
    times = {name: at for name in last_of if (at := born[(filled == name) & (born != ABSENT64)]).size}
    group: list[int] = []
    reach = newest = UNKNOWN
    for first, last, name in sorted((int(at[0]), int(at[-1]), name) for name, at in times.items()):
        if not group or first >= reach:
            group, reach, newest = [], last, name
        group.append(name)
        if last > reach:
            reach, newest = last, name
        last_of |= dict.fromkeys(group, newest)
    return np.array([last_of[name] for name in filled.tolist()], np.int64)
