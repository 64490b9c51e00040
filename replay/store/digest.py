"""The digests that make up a chain digest: over facts only, never over their transport (offsets, dense ids, frames, batches)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

from pagetrail.replay.facts.digest import facts_digest, join_digests, plain
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.rules.dumped.said import SAID_TEXTS, Said
from pagetrail.replay.store.text_id import text_id
from pagetrail.schemas.owner import VALUE_DTYPE
from pagetrail.schemas.store.sorted_rows import SortedRows

_ROWS_AT_ONCE: Final = 1 << 16
"""Rows of a column that are hashed at once."""

_VALUE_FACTS = tuple(name for name in VALUE_DTYPE.names or () if name != "field")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digested:
    """What a chain digest covers, beside the link and the origin of its file.

    Attributes
    ----------
    packed
        The BLAKE3-256 of the packed spans.
    doubts, lasting
        The BLAKE2b-256 of the doubts that were cast in the stretch, and of those that lasted into it.
    anomalies
        (kinds, 3): see ``Stretch``.
    values, live_values
        VALUE_DTYPE: ended and open values of page_ext's clients.
    """

    packed: bytes
    doubts: bytes
    lasting: bytes
    anomalies: NDArray[np.int64]
    facts: Facts
    values: NDArray[np.void]
    live_values: NDArray[np.void]
    said: Said


def chain_digest(parent: str, origin: Sequence[object], of: Digested) -> str:
    """Return the chain digest of a file; *origin* is (host, boot_id, digest name, first and last stream_seq)."""
    return join_digests(
        parent.encode(),
        "\0".join(map(str, origin)).encode(),
        of.packed,
        of.doubts,
        of.lasting,
        of.anomalies.tobytes(),
        facts_digest(of.facts),
        json.dumps(plain(of.facts.earlier), sort_keys=True).encode(),
        *values_digest(of.values, of.live_values, of.facts.fields),
        *said_digest(of.said),
    )


def packed_digest(parts: Iterable[NDArray[Any]]) -> bytes:
    """Return the BLAKE3-256 of packed spans: of the parts of ``Packed`` one after another, with the texts' ids and identities.

    They are most of a segment, and BLAKE3 takes a fifth of the time of BLAKE2b.
    """
    found = blake3(max_threads=1)
    for part in parts:
        found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return found.digest()


class TablesDigest:
    """The digest of tables as they are stored, of every value in every row, however the rows come in batches.

    A chain digest is over facts. What a file has beside them, this covers: so that every row that was changed is noticed.
    """

    def __init__(self) -> None:
        self._found: dict[str, bytes] = {}

    def watched(self, name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table, and take them into account once all have been drawn."""
        columns: list[_ColumnDigest] = []
        for batch in batches:
            if not batch.num_rows:
                continue
            columns = columns or [_ColumnDigest() for _ in batch.columns]
            for column, array in zip(columns, batch.columns, strict=True):
                column.update(array)
            yield batch
        self._found[name] = b"".join(column.digest() for column in columns)

    def add(self, name: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Take a table into account."""
        for _ in self.watched(name, batches):
            pass

    def hexdigest(self) -> str:
        """Return the digest of the tables that were added, in whatever order."""
        return join_digests(*(part for name in sorted(self._found) for part in (name.encode(), self._found[name])))


class _ColumnDigest:
    """The digest of one column: of which values are there, and of these; of texts also how long each is."""

    def __init__(self) -> None:
        self._there, self._values, self._lengths = (blake3(max_threads=1) for _ in range(3))

    def update(self, array: pa.Array) -> None:
        self._there.update(_bytes_of(array.is_valid()))
        if pa.types.is_string(array.type):
            texts = array.fill_null("").cast(pa.binary())
            self._lengths.update(_bytes_of(pc.binary_length(texts)))
            self._values.update(b"".join(texts.to_pylist()))
        else:
            self._values.update(_bytes_of(array.fill_null(0) if array.null_count else array))

    def digest(self) -> bytes:
        return self._there.digest() + self._values.digest() + self._lengths.digest()


def _bytes_of(array: pa.Array) -> memoryview:
    return np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).view(np.uint8).data


def rows_digest(rows: NDArray[np.void]) -> bytes:
    """Return the BLAKE2b-256 of rows, independent of their order, without the padding between fields."""
    names = rows.dtype.names or ()
    order = np.lexsort([rows[name] for name in names])
    found = blake2b(digest_size=32)
    for name in names:
        found.update(np.ascontiguousarray(rows[name][order]).tobytes())
    return found.digest()


def kept_rows_digest(rows: SortedRows) -> bytes:
    """Return ``rows_digest`` of rows that are kept in one part, by all their fields, the last one first."""
    found = blake2b(digest_size=32)
    for name in rows.dtypes[0].names or ():
        for column in rows.column(name):
            found.update(column.tobytes())
    return found.digest()


def values_digest(closed: NDArray[np.void], live: NDArray[np.void], fields: Sequence[str]) -> list[bytes]:
    """Return, for each field of page_ext's clients, its name and the BLAKE2b-256 of its ended and of its open spans."""
    found = []
    for index, name in enumerate(fields):
        spans = [rows[rows["field"] == index][list(_VALUE_FACTS)] for rows in (closed, live)]
        found += [name.encode(), *(rows_digest(rows) for rows in spans)]
    return found


def said_digest(said: Said) -> list[bytes]:
    """Return the BLAKE2b-256 of what dumps said of pages, row by row, with texts by their content; nothing if there is no row."""
    if not said.rows.pfn.size:
        return []
    found = blake2b(np.ascontiguousarray(said.rows.pfn).data, digest_size=32)
    text = np.array([*map(text_id, said.texts.texts), 0], np.int64)
    for name in said.values.dtype.names or ():
        column = said.values[name]
        column = text[column] if name in SAID_TEXTS else column
        for start in range(0, said.rows.said.size, _ROWS_AT_ONCE):
            found.update(np.ascontiguousarray(column[said.rows.said[start : start + _ROWS_AT_ONCE]]).tobytes())
    return [found.digest(), rows_digest(said.stamps)]
