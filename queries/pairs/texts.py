"""The texts that an answer shows, of several files of the store: read by id, and no others."""

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.queries.pairs.stored import Found, texts_of_ids
from pagetrail.schemas.store.names import StoreFile

_SOURCES: Final = {
    "comms": (("comm", "free_comm"), {"comms": "comm"}),
    "stacks": (("stack", "free_stack"), {"frames": "frames", "stack_ids": "stack_id"}),
}
"""By table of the store: the fields of RECORD_DTYPE with its ids, and the arrays of ``Texts`` that it has, with their columns."""

_TYPES: Final = {"comms": pa.utf8(), "frames": pa.utf8(), "stack_ids": pa.int64()}


class TextsOfFiles:
    """Gathers the *wanted* arrays of ``Texts`` for records of several files, and gives these records ids that hold for all."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._parts: dict[str, list[pa.Array]] = {
            name: [pa.array([], _TYPES[name])] for name in _TYPES if name in wanted
        }
        self._sizes = dict.fromkeys(_SOURCES, 0)

    def add(self, stream: Stream, file: StoreFile, found: Found) -> None:
        """Read the texts of the records of one file; their ids, in place, become those of the answer."""
        for table, (fields, arrays) in _SOURCES.items():
            columns = {name: column for name, column in arrays.items() if name in self._parts}
            if not columns:
                continue
            ids = known_ids([found.records[name] for name in fields])
            if not ids.size:
                continue
            for name, texts in zip(columns, texts_of_ids(stream, file, table, columns.values(), ids), strict=True):
                self._parts[name].append(texts)
            for name in fields:
                found.records[name] = new_ids(ids, found.records[name], self._sizes[table])
            self._sizes[table] += ids.size

    def texts(self) -> Texts:
        """Return all texts that were read."""
        return Texts(**{name: pa.concat_arrays(parts) for name, parts in self._parts.items()})


def known_ids(columns: list[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Return the ids of texts in some columns, each once, rising; those below 0 are none."""
    ids = np.unique(np.concatenate(columns)).astype(np.int64)
    return ids[ids >= 0]


def new_ids(ids: NDArray[np.int64], column: NDArray[np.int32], before: int) -> NDArray[np.int64]:
    """Return what becomes of the ids in a column, if *ids* are numbered from *before* on."""
    return np.where(column >= 0, np.searchsorted(ids, column) + before, -1)
