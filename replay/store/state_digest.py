"""The digest of what is known of a stream: its facts, its live spans and every span that has ended, however the store is cut.

A chain's digest (``digest``) is over files: it depends on where segments end. This one is over facts alone, so two layouts of the
store, two ways to cut it, or two machines can be compared. Spans are summed page by page and modulo 2^128: a sum knows no order
and no borders, so a segment adds what ended in it and forgets it.

The sums find differences, not forgers: a row's hash is 64 bits of integer mixing, the chain's digest is the cryptographic one.

Dimensions: n = rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import DOUBT_DTYPE, RECORD_DTYPE, RUN_DTYPE, VALUE_DTYPE

_U64 = NDArray[np.uint64]

_TEXTS: Final = ("comm", "free_comm")
_STACKS: Final = ("stack", "free_stack")
_RANGE: Final = ("pfn", "nr_pages")
_SPAN: Final = tuple(n for n in (RECORD_DTYPE.names or ()) if n != "pages") + tuple(
    n for n in (RUN_DTYPE.names or ()) if n not in _RANGE
)
"""What a span says of each of its pages: without ``pages``, which counts references to a record."""

_DOUBT: Final = tuple(n for n in (DOUBT_DTYPE.names or ()) if n not in _RANGE)
_VALUE: Final = tuple(n for n in (VALUE_DTYPE.names or ()) if n not in (*_RANGE, "field"))
_QUARANTINED: Final = ("seq", "order", "kind")

_MASK: Final = (1 << 64) - 1
_ABSENT: Final = np.uint64(0x9E3779B97F4A7C15)
_INVERSE_OF_3: Final = np.uint64(pow(3, -1, 1 << 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSums:
    """Sums over what has ended, and is not held in memory any more: 128 bits each.

    Attributes
    ----------
    spans
        Of spans that ended (RUN_DTYPE and RECORD_DTYPE).
    values
        Of spans of what page_ext's clients held (VALUE_DTYPE).
    doubts
        Of doubts (DOUBT_DTYPE), without those of hotplug calls that are under way: facts tell of these.
    quarantined
        Of events that were set aside.
    """

    spans: int = 0
    values: int = 0
    doubts: int = 0
    quarantined: int = 0

    def plus(self, more: "EndedSums") -> "EndedSums":
        """Return the sums over both."""
        return EndedSums(**{name: (getattr(self, name) + getattr(more, name)) % (1 << 128) for name in self.__slots__})

    def plain(self) -> dict[str, str]:
        """Return the sums as what JSON can say: hex by name."""
        return {name: f"{getattr(self, name):032x}" for name in self.__slots__}

    @classmethod
    def from_plain(cls, said: Mapping[str, str]) -> "EndedSums":
        """Return the sums that ``plain`` made this of."""
        return cls(**{name: int(text, 16) for name, text in said.items()})


def spans_sum(runs: NDArray[np.void], records: NDArray[np.void], comms: Sequence[str], stack_ids: Sequence[int]) -> int:
    """Return the sum over spans, row by row RUN_DTYPE and RECORD_DTYPE; those that covered no instant count for nothing.

    Comms are hashed by their text and stacks by their 64-bit id: dense ids differ from replay to replay.
    """
    lasted = records["begin_seq"] != runs["end_seq"]
    runs, records = runs[lasted], records[lasted]
    texts = np.array([*(_name(comm) for comm in comms), 0], np.uint64)
    stacks = np.array([*(stack_id & _MASK for stack_id in stack_ids), 0], np.uint64)
    columns: dict[str, NDArray[Any]] = {}
    for name in _SPAN:
        column = (runs if name in (RUN_DTYPE.names or ()) else records)[name]
        if name in _TEXTS or name in _STACKS:
            meant = (texts if name in _TEXTS else stacks)[column]
            columns[name] = np.where(column < 0, _ABSENT, meant)
        else:
            columns[name] = _wide(column)
    return _ranges_sum(columns, runs["pfn"], runs["nr_pages"])


def values_sum(rows: NDArray[np.void], fields: Sequence[str]) -> int:
    """Return the sum over spans of what page_ext's clients held: VALUE_DTYPE; *fields* are the names of their fields."""
    rows = rows[rows["begin_seq"] != rows["end_seq"]]
    names = np.array([*(_name(field) for field in fields), 0], np.uint64)
    columns = {name: _wide(rows[name]) for name in _VALUE} | {"field": names[rows["field"]]}
    return _ranges_sum(columns, rows["pfn"], rows["nr_pages"])


def doubts_sum(rows: NDArray[np.void]) -> int:
    """Return the sum over doubts: DOUBT_DTYPE."""
    return _ranges_sum({name: _wide(rows[name]) for name in _DOUBT}, rows["pfn"], rows["nr_pages"])


def quarantined_sum(rows: NDArray[np.int64]) -> int:
    """Return the sum over events that were set aside: (n, 4) seq, pfn, order, Anomaly."""
    seq, pfn, order, kind = np.asarray(rows, np.int64).reshape(-1, 4).T
    columns = dict(zip(_QUARANTINED, map(_wide, (seq, order, kind)), strict=True))
    return _ranges_sum(columns, pfn, np.ones(pfn.size, np.int64))


def _ranges_sum(columns: Mapping[str, _U64], pfn: NDArray[np.int64], nr_pages: NDArray[np.int64]) -> int:
    """Return the sum over the pages of n ranges of a hash of (what the row says, page), 128 bits.

    Of a page p the hash is a + b·p + c·p² modulo 2^64, twice, with coefficients that are hashes of the row: so the sum over a range
    has a closed form, and a range counts as its pages do, however it is divided.
    """
    said = np.zeros(pfn.size, np.uint64)
    for name, column in columns.items():
        said += _mixed(column ^ np.uint64(_name(name)))
    first, count = pfn.astype(np.uint64), nr_pages.astype(np.uint64)
    pairs, squares = _below(count)
    linear = count * first + pairs
    quadratic = count * first * first + np.uint64(2) * first * pairs + squares
    halves = []
    for lane in ("low", "high"):
        a, b, c = (_mixed(said + np.uint64(_name(f"{lane} {power}"))) for power in range(3))
        halves.append(int(np.sum(a * count + b * linear + c * quadratic, dtype=np.uint64)))
    return halves[0] | halves[1] << 64


def _below(count: _U64) -> tuple[_U64, _U64]:
    """Return the sums of i and of i² over 0 <= i < count, modulo 2^64."""
    before = count - np.uint64(1)
    even = count % np.uint64(2) == 0
    pairs = np.where(even, count // np.uint64(2), count) * np.where(even, before, before // np.uint64(2))
    return pairs, pairs * (count + before) * _INVERSE_OF_3


def _wide(column: NDArray[Any]) -> _U64:
    """Return integers as 64 bits; what is absent is the same in every width."""
    return np.where(column == np.iinfo(column.dtype).min, _ABSENT, column.astype(np.int64).view(np.uint64))


def _mixed(x: _U64) -> _U64:
    """Return the finalizer of splitmix64 of each."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _name(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
