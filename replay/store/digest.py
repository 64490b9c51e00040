"""The digests that make up a chain digest: over facts only, never over their transport (offsets, dense ids, frames, batches)."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from pagetrail.replay.rules.dumped.said import SAID_TEXTS, Said
from pagetrail.replay.store.packed.file_rows import FileTexts
from pagetrail.replay.store.packed.packer import Packed
from pagetrail.replay.store.text_id import text_id
from pagetrail.schemas.owner import ACT_FIELDS, OWNER_FIELDS, VALUE_DTYPE
from pagetrail.schemas.store.sorted_rows import SortedRows

_ROWS_AT_ONCE: Final = 1 << 16
"""Rows of a column that are hashed at once."""

_VALUE_FACTS = tuple(name for name in VALUE_DTYPE.names or () if name != "field")


def packed_digest(packed: Packed, texts: FileTexts) -> bytes:
    """Return the BLAKE3-256 of packed spans: of their columns, with the ids of the file, and of the texts behind those.

    They are most of a segment, and BLAKE3 takes a fifth of the time of BLAKE2b.
    """
    found = blake3(max_threads=1)
    for part in (packed.ended, packed.open, packed.events):
        for column in part:
            found.update(column.view(np.uint8).data)
    for rows, fields in ((packed.acts, ACT_FIELDS), (packed.owners, OWNER_FIELDS)):
        for some in texts.of_file(rows, fields):
            found.update(some.reshape(-1).view(np.uint8).data)
    found.update(packed.details.reshape(-1).view(np.uint8).data)
    found.update(np.array(texts.identities, np.int64).view(np.uint8).data)
    return found.digest()


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
