"""The texts that an answer shows, of several files of the store: read by id, and no others."""

from collections.abc import Collection

import pyarrow as pa

from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import SOURCES, TYPES, Texts, known_ids, new_ids
from pagetrail.queries.pairs.stored import Found, texts_of_ids
from pagetrail.schemas.store.names import StoreFile


class TextsOfFiles:
    """Gathers the *wanted* arrays of ``Texts`` for records of several files, and gives these records ids that hold for all."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._parts: dict[str, list[pa.Array]] = {name: [pa.array([], TYPES[name])] for name in TYPES if name in wanted}
        self._sizes = dict.fromkeys(SOURCES, 0)

    def add(self, stream: Stream, file: StoreFile, found: Found) -> None:
        """Read the texts of the records of one file; their ids, in place, become those of the answer."""
        for table, (fields, arrays) in SOURCES.items():
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
