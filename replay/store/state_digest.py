"""The state digest of a stream: of its facts, its live spans and every span that has ended, wherever segments end.

A chain digest (``digest``) is over files: it depends on where segments end. The state digest is over facts only, so it can be used
to compare two layouts of the store, two divisions into segments, or two machines. Spans are summed page by page. A sum is two
halves, each modulo 2^64, and nothing is carried from one to the other: it depends on no order and no borders, so each segment adds
the spans that ended in it, and no others need to be kept.

The sums find differences, not forgery: a row's hash is 64 bits of integer mixing; the chain digest is the cryptographic one.

Dimensions: n = rows.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.digest import join_digests
from pagetrail.schemas.owner import DOUBT_DTYPE, VALUE_DTYPE
from pagetrail.schemas.store.sorted_rows import SortedRows

_U64 = NDArray[np.uint64]

_RANGE: Final = ("pfn", "nr_pages")
_DOUBT: Final = tuple(n for n in (DOUBT_DTYPE.names or ()) if n not in _RANGE)
_VALUE: Final = tuple(n for n in (VALUE_DTYPE.names or ()) if n not in (*_RANGE, "field"))
_QUARANTINED: Final = ("seq", "order", "kind")

_AT_ONCE: Final = 1 << 15
"""Ended spans, or doubts, that are summed at once: their columns as 64 bits take twice as much as they do."""

_MASK: Final = (1 << 64) - 1
ABSENT_HASHED: Final = np.uint64(0x9E3779B97F4A7C15)
_INVERSE_OF_3: Final = np.uint64(pow(3, -1, 1 << 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSums:
    """Sums over rows that have ended and are no longer in memory: two halves of 64 bits each.

    Attributes
    ----------
    spans
        Over ended spans (RUN_DTYPE and RECORD_DTYPE).
    values
        Over ended spans of page_ext's clients (VALUE_DTYPE).
    doubts
        Over doubts (DOUBT_DTYPE), without those of hotplug calls in progress, which are in the facts.
    quarantined
        Over quarantined events.
    """

    spans: int = 0
    values: int = 0
    doubts: int = 0
    quarantined: int = 0

    def plus(self, more: "EndedSums") -> "EndedSums":
        """Return the sums over both."""
        return EndedSums(**{name: _in_all((getattr(self, name), getattr(more, name))) for name in self.__slots__})

    def plain(self) -> dict[str, str]:
        """Return the sums as values of JSON: hex by name."""
        return {name: f"{getattr(self, name):032x}" for name in self.__slots__}

    @classmethod
    def from_plain(cls, saved: Mapping[str, str]) -> "EndedSums":
        """Return the sums that ``plain`` saved."""
        return cls(**{name: int(text, 16) for name, text in saved.items()})


def state_digest(ended: EndedSums, live: str, anomalies: NDArray[np.int64], facts: bytes) -> str:
    """Return a state digest, as hex.

    Parameters
    ----------
    ended, live
        The sums over all rows that have ended, and over those that are open: of spans, and of values, each as hex.
    anomalies
        (kinds, 3) events, pages and first stream_seq of each kind, since the stream began.
    facts
        The digest of the facts since the stream began.
    """
    return join_digests(json.dumps(ended.plain()).encode(), live.encode(), anomalies.tobytes(), facts)


def _in_all(sums: Iterable[int]) -> int:
    """Return the sum of sums over some rows each: of both halves by itself."""
    low = high = 0
    for more in sums:
        low, high = (low + more) & _MASK, (high + (more >> 64)) & _MASK
    return low | high << 64


def values_sum(rows: NDArray[np.void], fields: Sequence[str]) -> int:
    """Return the sum over spans of page_ext's clients, VALUE_DTYPE; *fields* are the names of their fields."""
    rows = rows[rows["begin_seq"] != rows["end_seq"]]
    names = np.array([*(name_hash(field) for field in fields), 0], np.uint64)
    columns = {name: wide(rows[name]) for name in _VALUE} | {"field": names[rows["field"]]}
    return _ranges_sum(columns, rows["pfn"], rows["nr_pages"])


def doubts_sum(rows: NDArray[np.void]) -> int:
    """Return the sum over doubts: DOUBT_DTYPE."""
    pieces = (rows[start : start + _AT_ONCE] for start in range(0, rows.size, _AT_ONCE))
    return _in_all(
        _ranges_sum({name: wide(some[name]) for name in _DOUBT}, some["pfn"], some["nr_pages"]) for some in pieces
    )


def kept_doubts_sum(doubts: SortedRows) -> int:
    """Return ``doubts_sum`` of kept doubts."""
    return _in_all(doubts_sum(rows) for (rows,) in doubts.pieces())


def quarantined_sum(rows: NDArray[np.int64]) -> int:
    """Return the sum over quarantined events: (n, 4) seq, pfn, order, Anomaly."""
    seq, pfn, order, kind = np.asarray(rows, np.int64).reshape(-1, 4).T
    columns = dict(zip(_QUARANTINED, map(wide, (seq, order, kind)), strict=True))
    return _ranges_sum(columns, pfn, np.ones(pfn.size, np.int64))


def _ranges_sum(columns: Mapping[str, _U64], pfn: NDArray[np.int64], nr_pages: NDArray[np.int64]) -> int:
    """Return the sum over the pages of n ranges of a hash of (row, page), 128 bits.

    The hash of a page p is a + b·p + c·p² modulo 2^64, twice, with coefficients that are hashes of the row. So the sum over a range
    has a closed form, and is the same however the range is divided.
    """
    rows = np.zeros(pfn.size, np.uint64)
    for name, column in columns.items():
        rows += mixed(column ^ np.uint64(name_hash(name)))
    first, count = pfn.astype(np.uint64), nr_pages.astype(np.uint64)
    pairs, squares = _below(count)
    linear = count * first + pairs
    quadratic = count * first * first + np.uint64(2) * first * pairs + squares
    halves = []
    for lane in ("low", "high"):
        a, b, c = (mixed(rows + np.uint64(name_hash(f"{lane} {power}"))) for power in range(3))
        halves.append(int(np.sum(a * count + b * linear + c * quadratic, dtype=np.uint64)))
    return halves[0] | halves[1] << 64


def _below(count: _U64) -> tuple[_U64, _U64]:
    """Return the sums of i and of i² over 0 <= i < count, modulo 2^64."""
    before = count - np.uint64(1)
    even = count % np.uint64(2) == 0
    pairs = np.where(even, count // np.uint64(2), count) * np.where(even, before, before // np.uint64(2))
    return pairs, pairs * (count + before) * _INVERSE_OF_3


def wide(column: NDArray[Any]) -> _U64:
    """Return integers as 64 bits; absent has the same value for every width."""
    return np.where(column == np.iinfo(column.dtype).min, ABSENT_HASHED, column.astype(np.int64).view(np.uint64))


def mixed(x: _U64) -> _U64:
    """Apply the finalizer of splitmix64 to each value."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def name_hash(text: str) -> int:
    """Return the hash of a text: of the name of a field, or of a value that is one."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
