"""Owned pages with the process of each, some rows at a time: all of them have to be seen before the first is known."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.holders.processes import UNKNOWN, Ints, processes
from pagetrail.replay.facts.clock import OwnerClock
from pagetrail.schemas.owner import ABSENT32, ABSENT64
from pagetrail.schemas.store.kept_rows import KeptRows


def with_processes(parts: Iterable[pa.Table], clock: OwnerClock | None) -> Iterator[pa.Table]:
    """Yield *parts* again, with the name and the tgid of each row's process in place of its own ``comm`` and ``tgid``.

    The pid of a row is its ``key``; *clock* is page_owner's. Only rows of pids that may be several processes are compared, and in
    memory together.
    """
    seen = _Seen(clock)
    for part in parts:
        seen.add(part)
    yield from seen.parts()


def born_at(rows: pa.Table, clock: OwnerClock | None) -> pa.ChunkedArray:
    """Return when the pages of rows with ``alloc_ts`` and ``ts_nsec`` were allocated, on the trace clock; null: it is not known."""
    born = rows["alloc_ts"]
    return born if clock is None else pc.coalesce(born, pc.subtract(rows["ts_nsec"], clock.offset))


class _Seen:
    """The rows of a question, kept until the last one has come."""

    def __init__(self, clock: OwnerClock | None) -> None:
        self._clock, self._rows = clock, KeptRows()
        self._names: dict[str, int] = {}
        self._of_pid: dict[int, tuple[int, int]] = {}
        self._shared: set[int] = set()
        """The pids of rows with several tgids or names."""

    def add(self, part: pa.Table) -> None:
        """Keep some rows."""
        columns = [column.combine_chunks() for column in part.columns]
        self._rows.add(pa.RecordBatch.from_arrays(columns, schema=part.schema))
        pid, tgid, name, _ = self._numbers(part)
        for whose, *attributes in np.unique(np.stack([pid, tgid, name], axis=1), axis=0).tolist():
            known = self._of_pid.setdefault(whose, (attributes[0], attributes[1]))
            if known != tuple(attributes):
                self._shared.add(whose)

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows with their processes."""
        found = self._compared()
        names, done = pa.array(list(self._names), pa.utf8()), 0
        for part in self._kept():
            pid, tgid, name, _ = self._numbers(part)
            rows = self._of_shared(pid)
            tgid[rows], name[rows] = (column[done : done + rows.size] for column in found)
            done += rows.size
            columns = {
                "comm": names.take(pa.array(name, mask=name == UNKNOWN)),
                "tgid": pa.array(tgid, part.schema.field("tgid").type, mask=tgid == UNKNOWN),
            }
            for column, values in columns.items():
                part = part.set_column(part.column_names.index(column), column, values)
            yield part

    def _compared(self) -> tuple[Ints, Ints]:
        """Return the tgid and the name of the process of each row whose pid is shared."""
        found: list[list[Ints]] = [[np.zeros(0, np.int64)] for _ in range(4)]
        for part in self._kept() if self._shared else ():
            numbers = self._numbers(part)
            rows = self._of_shared(numbers[0])
            for columns, column in zip(found, numbers, strict=True):
                columns.append(column[rows])
        return processes(*map(np.concatenate, found))

    def _kept(self) -> Iterator[pa.Table]:
        return (pa.Table.from_batches([batch]) for batch in self._rows.batches())

    def _of_shared(self, pid: Ints) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(pid, list(self._shared)))

    def _numbers(self, part: pa.Table) -> tuple[Ints, Ints, Ints, Ints]:
        """Return what ``processes`` takes of some rows; names are numbered in the order in which they come."""
        comms = part["comm"].combine_chunks().dictionary_encode()
        numbers = [self._names.setdefault(name, len(self._names)) for name in comms.dictionary.to_pylist()]
        born = pc.coalesce(born_at(part, self._clock), part["ts_nsec"])
        pid, tgid, name, at = (
            pc.fill_null(column, nothing).to_numpy().astype(np.int64)
            for column, nothing in (
                (part["key"], ABSENT32),
                (part["tgid"], UNKNOWN),
                (comms.indices, UNKNOWN),
                (born, ABSENT64),
            )
        )
        return pid, tgid, np.array([*numbers, UNKNOWN], np.int64)[name], at
