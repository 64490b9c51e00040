"""Packing the spans of a stretch: each fact once.

Dimensions: n = spans that ended, m = runs that are open, e = events.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.tables import LIVE, LivePiece, Tables, extended, live_pieces
from pagetrail.replay.store.packed.pack_jit import (
    ACT_FIELDS,
    ACTS,
    COUNTS,
    DETAIL_FIELDS,
    DETAILS,
    EVENTS,
    OWNER_FIELDS,
    OWNERS,
    SEQS,
    WINDOW,
    Array,
    Pack,
    Rows,
    begin_ended,
    begin_open,
    end_ended,
    in_order_of_page,
    mark_blocks,
    rehash,
    rehash_seqs,
)
from pagetrail.replay.store.packed.radix_jit import order_of

ROWS_AT_ONCE: Final = 1 << 14
"""Rows that are packed at once: hash tables have room for so many more, and stay in the processor's caches."""

_LEAST_TABLE: Final = 1 << 4
_WINDOW_A_ROW: Final = 4
"""The window has at most so many stream_seqs for each row: lost frames may leave a hole of any size between two events."""

Spans = Iterable[tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]]
"""Runs, records, and the order of their rows by (pfn, begin_seq, end_seq); one part after another, in that order."""


class PackedEvents(NamedTuple):
    """Events in the order of their stream_seq, and what their numbers refer to."""

    seq: NDArray[np.int64]
    ts: NDArray[np.int64]
    act: NDArray[np.int32]
    owner: NDArray[np.int32]
    age: NDArray[np.int64]
    detail: NDArray[np.int32]


class PackedRuns(NamedTuple):
    """Runs of pages, and the numbers of the events that began and ended them; *end* has no rows where they are open."""

    pfn: NDArray[np.int64]
    nr_pages: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]
    generation: NDArray[np.int32]
    kernel_view: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The spans of a stretch.

    Attributes
    ----------
    ended
        By (pfn, begin_seq, end_seq).
    open
        By (kernel_view, pfn).
    events
        By stream_seq.
    acts, owners, details
        (a, 10), (o, 7), (d, 5) int64, by ACT_FIELDS, OWNER_FIELDS and DETAIL_FIELDS; texts are ids of the stretch.
    """

    ended: PackedRuns
    open: PackedRuns
    events: PackedEvents
    acts: NDArray[np.int64]
    owners: NDArray[np.int64]
    details: NDArray[np.int64]


def pack(ended: Spans, tables: Tables, first_seq: int, rows: int) -> Packed:
    """Return the spans that *ended*, which are *rows*, and the open ones of *tables*; the stretch begins with *first_seq*."""
    packer = _Packer(first_seq, rows + int(tables.counts[LIVE]))
    found = packer.ended(ended, rows)
    return packer.done(found, packer.open(tables))


def order_of_spans(runs: NDArray[np.void], records: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the order of spans by (pfn, begin_seq, end_seq); equal ones stay in their order."""
    pfn = np.ascontiguousarray(runs["pfn"])
    order = order_of(pfn)
    in_order_of_page(pfn, records["begin_seq"], runs["end_seq"], order)
    return order


class _Packer:
    """Packs rows one part after another."""

    def __init__(self, first_seq: int, rows: int) -> None:
        counts = np.zeros(COUNTS, np.int64)
        counts[WINDOW] = first_seq
        self._at_once = min(ROWS_AT_ONCE, rows + 1)
        self._pack = Pack(
            seq=_room(np.int64), ts=_room(np.int64), age=_room(np.int64), act=_room(np.int32), owner=_room(np.int32),
            detail=_room(np.int32), next=_room(np.int32), taken=_room(np.int8), acts=_room(np.int64, len(ACT_FIELDS)),
            owners=_room(np.int64, len(OWNER_FIELDS)), details=_room(np.int64, len(DETAIL_FIELDS)),
            act_table=_empty(_LEAST_TABLE), owner_table=_empty(_LEAST_TABLE), detail_table=_empty(_LEAST_TABLE),
            window=_empty(_WINDOW_A_ROW * (rows + 1)), seq_table=_empty(_LEAST_TABLE),
            key=np.zeros(len(ACT_FIELDS), np.int64), counts=counts,
        )  # fmt: skip

    def ended(self, spans: Spans, rows: int) -> Rows:
        """Pack spans that ended: first what began them, as an end is most often the beginning of another one."""
        found, done = _rows(rows), 0
        for runs, records, order in spans:
            for start, stop in self._parts(order.size):
                begin_ended(self._pack, runs, records, order, start, stop, found, done)
            done += order.size
        return found

    def open(self, tables: Tables) -> PackedRuns:
        """Pack the open spans."""
        records = tables.records
        unlike, event_of = np.zeros(records.size, np.int8), np.full(records.size, -1, np.int32)
        for piece in live_pieces(tables):
            mark_blocks(records, piece.base, piece.first, piece.nr_pages, piece.handles, unlike)
        found = [_no_runs()]
        for piece in live_pieces(tables):
            begin = np.zeros(piece.handles.size, np.int32)
            for start, stop in self._parts(begin.size):
                begin_open(self._pack, records, piece.handles, start, stop, unlike, event_of, begin)
            found.append(_open_runs(piece, begin))
        return PackedRuns(*map(np.concatenate, zip(*found, strict=True)))

    def done(self, rows: Rows, opened: PackedRuns) -> Packed:
        """Return all that was packed, its events in order."""
        end = np.zeros(rows.pfn.size, np.int32)
        for start, stop in self._parts(end.size):
            end_ended(self._pack, rows, start, stop, end)
        p, counts = self._pack, self._pack.counts
        by_seq = order_of(p.seq[: counts[EVENTS]])
        number = np.empty(by_seq.size, np.int32)
        number[by_seq] = np.arange(by_seq.size, dtype=np.int32)
        return Packed(
            ended=PackedRuns(rows.pfn, rows.nr_pages, number[rows.begin], number[end], rows.generation, rows.kernel_view),
            open=opened._replace(begin=number[opened.begin]),
            events=PackedEvents(*(array[by_seq] for array in (p.seq, p.ts, p.act, p.owner, p.age, p.detail))),
            acts=p.acts[: counts[ACTS]], owners=p.owners[: counts[OWNERS]], details=p.details[: counts[DETAILS]],
        )  # fmt: skip

    def _parts(self, rows: int) -> Iterator[tuple[int, int]]:
        """Yield the parts, from and to, in which *rows* are packed, with room for each."""
        for start in range(0, rows, self._at_once):
            self._make_room()
            yield start, min(start + self._at_once, rows)

    def _make_room(self) -> None:
        """Make room for ``_at_once`` more of everything."""
        p, counts = self._pack, self._pack.counts
        more = {}
        if counts[EVENTS] + self._at_once > p.seq.size:
            for name in ("seq", "ts", "age", "act", "owner", "detail", "next", "taken"):
                more[name] = extended(getattr(p, name), 2 * p.seq.size + self._at_once, int(counts[EVENTS]))
        for rows, table, size in (
            ("acts", "act_table", counts[ACTS]), ("owners", "owner_table", counts[OWNERS]),
            ("details", "detail_table", counts[DETAILS]),
        ):  # fmt: skip
            array = getattr(p, rows)
            if size + self._at_once > array.shape[0]:
                array = more[rows] = extended(array, 2 * array.shape[0] + self._at_once, int(size))
            if 2 * (size + self._at_once) > getattr(p, table).size:
                more[table] = _empty(4 * (int(size) + self._at_once))
                rehash(array, size, array.shape[1], more[table])
        if 2 * (counts[SEQS] + self._at_once) > p.seq_table.size:
            more["seq_table"] = _empty(4 * (int(counts[SEQS]) + self._at_once))
            rehash_seqs(more.get("seq", p.seq), p.seq_table, more["seq_table"])
        self._pack = p._replace(**more)


def _rows(size: int) -> Rows:
    dtypes = {"pfn": np.int64, "end_seq": np.int64, "end_ts": np.int64, "kernel_view": np.int8, "end_how": np.int8}
    return Rows(**{name: np.zeros(size, dtypes.get(name, np.int32)) for name in Rows._fields})


def _open_runs(piece: LivePiece, begin: NDArray[np.int32]) -> PackedRuns:
    size = begin.size
    return PackedRuns(
        pfn=piece.first.astype(np.int64) + piece.base, nr_pages=piece.nr_pages, begin=begin, end=np.zeros(0, np.int32),
        generation=np.full(size, piece.generation, np.int32), kernel_view=np.full(size, piece.view, np.int8),
    )  # fmt: skip


def _no_runs() -> PackedRuns:
    none, small = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return PackedRuns(none, small, small, small, small, np.zeros(0, np.int8))


def _room(dtype: type, width: int = 0) -> Array:
    return np.zeros((0, width) if width else 0, dtype)


def _empty(rows: int) -> NDArray[np.int32]:
    """Return an empty hash table with at least so many places, a power of 2."""
    return np.full(1 << max(rows - 1, 1).bit_length(), -1, np.int32)
