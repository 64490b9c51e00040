"""Rows of a trace under construction: filled by compiled readers and by the general path, taken out as batches."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import Interner
from pagetrail.producers.meaning import Row
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, absent

# Rows under construction are int64, whatever their column: ``ROW_COLUMNS`` by rows.
ROW_COLUMNS: Final = (
    "trace_ts_nsec",
    "kind",
    "cpu",
    "pid",
    "tgid",
    "comm",
    "pfn",
    "order",
    "gfp_mask",
    "migratetype",
    "stack",
)
R_TS: Final = 0
R_KIND: Final = 1
R_CPU: Final = 2
R_PID: Final = 3
R_TGID: Final = 4
R_COMM: Final = 5
R_PFN: Final = 6
R_ORDER: Final = 7
R_GFP_MASK: Final = 8
R_MIGRATETYPE: Final = 9
R_STACK: Final = 10

# What few rows have besides, at most one entry a row, in the order of their rows: these by entries, int64.
SIDE_COLUMNS: Final = ("src_pfn", "nr_pages", "migrate_reason", "old_order")
S_ROW: Final = 0
S_SRC_PFN: Final = 1
S_NR_PAGES: Final = 2
S_MIGRATE_REASON: Final = 3
S_OLD_ORDER: Final = 4

NONE: Final = -1  # no event waits for a stack
NO_ROW: Final = -2  # one waits that gave no row: its stack is dropped
HOLD: Final = 1 << 15
"""A stack is looked for within this many rows behind its event. The kernel writes it within microseconds."""

CAPACITY: Final = 4 * HOLD
_APART: Final = 72
"""So many rows more have room: columns at a distance of a power of two would share the same few lines of the processor's cache."""
REPEATED: Final = (
    "{} repeat an event of the same CPU and time in all of its fields: no page is freed or allocated twice at once, and each of "
    "these events is stored once"
)
"""The note on what is there twice: how much of it."""
_UNKNOWN_COMM: Final = ("", "<...>")  # "<...>": the trace no longer knew the name (kernel/trace/trace.c)


class _Texts:
    """The distinct texts of a column, and where each interned form of them is among these."""

    def __init__(self, decode: Callable[[bytes], str | None]) -> None:
        self._decode = decode
        self._indices: dict[str, int] = {}
        self._remap = np.full(0, _UNSETTLED, np.int32)  # by id

    def settle(self, interner: Interner, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the interned *ids* as indices into ``texts``; -1 stays -1."""
        grown = np.full(len(interner) + 1, _UNSETTLED, np.int32)  # the last one stands for -1
        grown[: self._remap.size] = self._remap
        grown[-1] = -1
        used = np.zeros(grown.size, np.bool_)
        used[ids] = True
        for k in np.flatnonzero(used & (grown == _UNSETTLED)):
            text = self._decode(interner.text(int(k)))
            grown[k] = -1 if text is None else self._indices.setdefault(text, len(self._indices))
        self._remap = grown[:-1]
        found: NDArray[np.int32] = grown[ids]
        return found

    def texts(self) -> list[str]:
        return list(self._indices)


_UNSETTLED: Final = -2


def _comm_text(raw: bytes) -> str | None:
    text = raw.decode("utf-8", "backslashreplace")
    return None if text in _UNKNOWN_COMM else text


def _nothing(name: str) -> int:
    return 0 if name in ("trace_ts_nsec", "kind") else absent(name)


_NOTHING: Final = np.array([_nothing(name) for name in ROW_COLUMNS], np.int64)
_ROW: Final = {name: row for row, name in enumerate(ROW_COLUMNS)}
_SIDE: Final = {name: row for row, name in enumerate(SIDE_COLUMNS, 1)}
_NOTHING_BESIDES: Final = np.array([absent(name) for name in SIDE_COLUMNS], np.int64)


class RowBuilder:
    """The rows read and not yet handed on.

    Parameters
    ----------
    texts
        Holds the comms and stacks, which rows name by their ids.
    count
        Shape (1,): how many rows there are. A compiled reader may share it, and fill ``rows`` itself.
    waiting
        Shape (w, c), by CPU: rows of the last event and of those before it, if their stacks may come yet; else NONE or NO_ROW.
    stack_text
        Returns a stack as the column holds it, from the bytes of the recording.
    side_count, highest
        Shapes (1,): how many entries of ``side`` there are, and the highest pfn of the rows looked at so far. Both may be shared.
    """

    def __init__(
        self,
        texts: Interner,
        *,
        count: NDArray[np.int64],
        waiting: NDArray[np.int64],
        stack_text: Callable[[bytes], str | None],
        side_count: NDArray[np.int64] | None = None,
        highest: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows: NDArray[np.int64] = np.empty((len(ROW_COLUMNS), CAPACITY + _APART), np.int64)
        self.side: NDArray[np.int64] = np.empty((1 + len(SIDE_COLUMNS), CAPACITY), np.int64)
        self._side_count = np.zeros(1, np.int64) if side_count is None else side_count
        self._highest = np.zeros(1, np.int64) if highest is None else highest
        self._interner, self._count, self._waiting = texts, count, waiting
        self._texts = {"comm": _Texts(_comm_text), "stack": _Texts(stack_text)}
        self._details: dict[int, str] = {}
        self._extra: dict[str, dict[int, int]] = {}  # columns of rare events, by row
        self._searched = 0

    def __len__(self) -> int:
        return int(self._count[0])

    def full(self) -> bool:
        """Return whether a kernel would refuse to make another row."""
        return len(self) + 2 > CAPACITY

    def append(self, row: Row, head: Mapping[str, int] = MappingProxyType({})) -> int:
        """Append *row* behind the columns of *head*; return its place."""
        at = len(self)
        self.rows[:, at] = _NOTHING
        self.rows[R_KIND, at] = row.kind
        besides = self.side[:, int(self._side_count[0])]
        besides[S_ROW], besides[S_SRC_PFN:] = at, _NOTHING_BESIDES
        for name, value in (*head.items(), *row.columns.items()):
            if name in _ROW:
                self.rows[_ROW[name], at] = value
            elif name in _SIDE:
                besides[_SIDE[name]] = value
            else:
                self._extra.setdefault(name, {})[at] = value
        if row.detail is not None:
            self._details[at] = row.detail
        self._count[0] = at + 1
        self._side_count[0] += not _SIDE.keys().isdisjoint(row.columns)
        return at

    def same_rest(self, left: int, right: int) -> bool:
        """Return whether two rows are equal in what only rare events have."""
        same = self._details.get(left) == self._details.get(right) and self._besides(left) == self._besides(right)
        return same and all(values.get(left) == values.get(right) for values in self._extra.values())

    def take_back(self) -> None:
        """Take out the last row."""
        self._count[0] -= 1
        self._side_count[0] = self._sides_before(len(self))
        self._details.pop(len(self), None)
        for values in self._extra.values():
            values.pop(len(self), None)

    def forget_stacks(self, cpu: int | None) -> None:
        """Let no event of *cpu* (null: of any) wait for a stack: events were lost, and one that comes now may be a lost one's."""
        self._waiting[:, slice(None) if cpu is None else cpu] = NONE

    def highest_pfn(self) -> int:
        """Return the highest pfn of any row so far."""
        size = len(self)
        if size > self._searched:
            self._highest[0] = max(self._highest[0], self.rows[R_PFN, self._searched : size].max())
            self._searched = size
        return int(self._highest[0])

    def flush(self, *, final: bool) -> EventBatch:
        """Take out the rows, except, unless *final*, from the first one on whose stack may come yet."""
        self.highest_pfn()
        size, waiting = len(self), self._waiting
        open_rows = waiting[(waiting >= 0) & (size - waiting <= HOLD)]
        stop = size if final or not open_rows.size else int(open_rows.min())
        batch = self._batch(stop)
        self.rows[:, : size - stop] = self.rows[:, stop:size]
        first, count = self._sides_before(stop), int(self._side_count[0])
        self.side[:, : count - first] = self.side[:, first:count]
        self.side[S_ROW, : count - first] -= stop
        self._side_count[0] = count - first
        self._details = {row - stop: text for row, text in self._details.items() if row >= stop}
        for name, values in self._extra.items():
            self._extra[name] = {row - stop: value for row, value in values.items() if row >= stop}
        waiting[:] = np.where(waiting >= stop, waiting - stop, np.where(waiting >= 0, NO_ROW, waiting))
        self._count[0] = self._searched = size - stop
        return batch

    def _sides_before(self, row: int) -> int:
        """Return how many entries of ``side`` are of rows before *row*."""
        return int(np.searchsorted(self.side[S_ROW, : self._side_count[0]], row))

    def _besides(self, row: int) -> list[int]:
        """Return the values of ``SIDE_COLUMNS`` in *row*."""
        place = self._sides_before(row)
        there = place < self._side_count[0] and self.side[S_ROW, place] == row
        found: list[int] = (self.side[S_SRC_PFN:, place] if there else _NOTHING_BESIDES).tolist()
        return found

    def _batch(self, stop: int) -> EventBatch:
        columns: dict[str, NDArray[np.generic]] = {}
        for name, values in zip(ROW_COLUMNS, self.rows[:, :stop], strict=True):
            if name in self._texts:
                columns[name] = self._texts[name].settle(self._interner, values)
            else:
                columns[name] = values.astype(NUMPY_DTYPES[name])
        sides = self.side[:, : self._sides_before(stop)]
        for name, values in zip(SIDE_COLUMNS, sides[S_SRC_PFN:], strict=True):
            if sides.size:
                columns[name] = np.full(stop, absent(name), NUMPY_DTYPES[name])
                columns[name][sides[S_ROW]] = values
        for name, found in self._extra.items():
            columns[name] = np.full(stop, absent(name), NUMPY_DTYPES[name])
            for row, value in found.items():
                if row < stop:
                    columns[name][row] = value
        kept = {
            name: column
            for name, column in columns.items()
            if name in ("trace_ts_nsec", "kind") or bool((column != absent(name)).any())
        }
        texts = {name: found.texts() for name, found in self._texts.items() if name in kept}
        details = {row: text for row, text in self._details.items() if row < stop}
        return EventBatch(columns=kept, texts=texts, details=details)
