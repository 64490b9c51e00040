"""Rows of the text parsers: filled by kernels and by the general path, taken out as batches."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning import Interner
from pagetrail.producers.formats.text import text_jit as tk
from pagetrail.producers.formats.text.payloads import Event
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind, absent

CAPACITY: Final = 4 * tk.HOLD
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


_NOTHING: Final = np.array([_nothing(name) for name in tk.ROW_COLUMNS], np.int64)
_ROW: Final = {name: row for row, name in enumerate(tk.ROW_COLUMNS)}


class RowBuilder:
    """The rows read and not yet handed on."""

    def __init__(
        self, state: NDArray[np.int64], cpus: NDArray[np.int64], stack_text: Callable[[bytes], str | None]
    ) -> None:
        self.rows: NDArray[np.int64] = np.empty((len(tk.ROW_COLUMNS), CAPACITY), np.int64)
        self._state, self._cpus = state, cpus
        self._texts = {"comm": _Texts(_comm_text), "stack": _Texts(stack_text)}
        self._details: dict[int, str] = {}
        self._extra: dict[str, dict[int, int]] = {}  # columns of rare events, by row
        self._highest, self._searched = 0, 0

    def full(self) -> bool:
        """Return whether a kernel would refuse to make another row."""
        return int(self._state[tk.ROWS]) + 2 > CAPACITY

    def put(self, event: Event, comm: int) -> int:
        """Append *event* with the head that is in the state; return its row."""
        state = self._state
        columns = {name: int(state[at]) for name, at in (("cpu", tk.CPU), ("pid", tk.PID), ("tgid", tk.TGID))}
        columns |= {"trace_ts_nsec": int(state[tk.TS]), "comm": comm, "stack": int(state[tk.STACK])}
        return self._append(event.kind, columns | dict(event.columns), event.detail)

    def put_gap(self, cpu: int, ts: int, detail: str) -> None:
        """Append the gap that ends at *ts*."""
        self._append(Kind.GAP, {"cpu": cpu, "trace_ts_nsec": ts}, detail)

    def _append(self, kind: Kind, columns: Mapping[str, int], detail: str | None) -> int:
        row = int(self._state[tk.ROWS])
        self.rows[:, row] = _NOTHING
        self.rows[tk.R_KIND, row] = kind
        for name, value in columns.items():
            if name in _ROW:
                self.rows[_ROW[name], row] = value
            else:
                self._extra.setdefault(name, {})[row] = value
        if detail is not None:
            self._details[row] = detail
        self._state[tk.ROWS] = row + 1
        return row

    def highest_pfn(self) -> int:
        """Return the highest pfn of any row so far."""
        size = int(self._state[tk.ROWS])
        if size > self._searched:
            self._highest = max(self._highest, int(self.rows[tk.R_PFN, self._searched : size].max()))
            self._searched = size
        return self._highest

    def flush(self, interner: Interner, *, final: bool) -> EventBatch:
        """Take out the rows, except, unless *final*, from the first one on whose stack may come yet."""
        self.highest_pfn()
        size = int(self._state[tk.ROWS])
        waiting = self._cpus[[tk.WAITING, tk.INTERRUPTED]]
        open_rows = waiting[(waiting >= 0) & (size - waiting <= tk.HOLD)]
        stop = size if final or not open_rows.size else int(open_rows.min())
        batch = self._batch(interner, stop)
        self.rows[:, : size - stop] = self.rows[:, stop:size]
        self._details = {row - stop: text for row, text in self._details.items() if row >= stop}
        for name, values in self._extra.items():
            self._extra[name] = {row - stop: value for row, value in values.items() if row >= stop}
        self._cpus[[tk.WAITING, tk.INTERRUPTED]] = np.where(
            waiting >= stop, waiting - stop, np.where(waiting >= 0, tk.NO_ROW, waiting)
        )
        self._state[tk.ROWS] = self._searched = size - stop
        return batch

    def _batch(self, interner: Interner, stop: int) -> EventBatch:
        columns: dict[str, NDArray[np.generic]] = {}
        for name, values in zip(tk.ROW_COLUMNS, self.rows[:, :stop], strict=True):
            if name in self._texts:
                columns[name] = self._texts[name].settle(interner, values)
            else:
                columns[name] = values.astype(NUMPY_DTYPES[name])
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
