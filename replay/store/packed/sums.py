"""The sums over packed spans in a state digest: of those that ended, and of the open ones."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import RunColumns
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.packed.sums_jit import OF_EVENT_DTYPE, add_runs, hash_events
from pagetrail.replay.store.state_digest import ABSENT_HASHED, mixed, name_hash, wide
from pagetrail.schemas.owner import ABSENT64, ACT_FIELDS, DETAIL_FIELDS, ENDED_RUN_DTYPE, OWNER_FIELDS

_TEXTS: Final = ("comm", "free_comm")
_STACKS: Final = ("stack", "free_stack")
_OF_EVENT: Final = ("begin_seq", "begin_ts", "alloc_ts", "evidence_ts")
_OF_ROW: Final = ("block_pfn", "end_seq", "end_ts", "generation", "end_how", "kernel_view")
_MASK: Final = (1 << 64) - 1
_ROWS_AT_ONCE: Final = 1 << 14
_EVENTS_AT_ONCE: Final = 1 << 21
"""Hashes of so many events are in memory. Of a segment with more, the runs are gone through more than once."""

_LANES: Final = tuple(f"{lane} {power}" for lane in ("low", "high") for power in range(3))


def spans_sums(stretch: Stretch) -> tuple[int, int]:
    """Return the sums over spans that ended and over open ones, without those that cover no instant.

    Comms are hashed by their text and stacks by their 64-bit id, because dense ids differ from replay to replay.
    """
    texts = np.array([*(name_hash(comm) for comm in stretch.comms), 0], np.uint64)
    stacks = np.array([*(stack_id & _MASK for stack_id in stretch.stacks.ids), 0], np.uint64)

    def of(rows: NDArray[np.int64], fields: Sequence[str], left_out: Sequence[str] = ()) -> NDArray[np.uint64]:
        found = np.zeros(rows.shape[0], np.uint64)
        for i, name in enumerate(fields):
            if name in left_out:
                continue
            for start in range(0, rows.shape[0], _ROWS_AT_ONCE):
                some = slice(start, start + _ROWS_AT_ONCE)
                column = np.ascontiguousarray(rows[some, i])
                if name in _TEXTS or name in _STACKS:
                    value = np.where(column < 0, ABSENT_HASHED, (texts if name in _TEXTS else stacks)[column])
                else:
                    value = wide(column)
                found[some] += mixed(value ^ np.uint64(name_hash(name)))
        return found

    def of_details(left_out: Sequence[str]) -> NDArray[np.uint64]:
        none = np.full((1, len(DETAIL_FIELDS)), ABSENT64)  # what events without have comes last
        return np.concatenate([of(rows, DETAIL_FIELDS, left_out) for rows in (stretch.details, none)])

    e, acts = stretch.events, stretch.acts
    orders, hows = (_column(acts, ACT_FIELDS, name) for name in ("order", "how"))
    blocks, evidence = (_column(stretch.details, DETAIL_FIELDS, name) for name in ("block_pfn", "evidence_ts"))
    owners, details = of(stretch.owners, OWNER_FIELDS), of_details(("block_pfn", "evidence_ts"))
    found = np.zeros((2, 2), np.uint64)
    with np.errstate(over="ignore"):  # as compiled code does
        of_acts, of_event = of(acts, ACT_FIELDS), np.zeros(min(e.seq.size, _EVENTS_AT_ONCE), OF_EVENT_DTYPE)
        for start in range(0, e.seq.size, _EVENTS_AT_ONCE):
            some = of_event[: e.seq.size - start]
            hash_events(e, start, of_acts, owners, details, orders, blocks, evidence, _names(_OF_EVENT), some)
            for runs, sums in (
                (stretch.runs, found[0]),
                *((part, found[1]) for part in _some_at_once(stretch.open_runs)),
            ):
                add_runs(runs, e, start, some, hows, _names(_OF_ROW), _names(_LANES), sums)
    ended, opened = (int(low) | int(high) << 64 for low, high in found)
    return ended, opened


def _some_at_once(columns: RunColumns) -> Iterator[NDArray[np.void]]:
    for start in range(0, columns.pfn.size, _ROWS_AT_ONCE):
        some = [column[start : start + _ROWS_AT_ONCE] for column in columns]
        runs = np.zeros(some[0].size, ENDED_RUN_DTYPE)
        for name, column in zip(RunColumns._fields, some, strict=True):
            runs[name] = column
        yield runs


def _column(rows: NDArray[np.int64], fields: Sequence[str], name: str) -> NDArray[np.int64]:
    return np.ascontiguousarray(rows[:, list(fields).index(name)])


def _names(fields: Sequence[str]) -> NDArray[np.uint64]:
    return np.array([name_hash(name) for name in fields], np.uint64)
