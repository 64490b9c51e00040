"""Packed spans as rows of a file, with the ids that its texts have there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import StackTable
from pagetrail.replay.store.packed.packer import Packed
from pagetrail.replay.store.text_id import text_id
from pagetrail.schemas.owner import ABSENT64, ACT_FIELDS, DETAIL_FIELDS, OWNER_FIELDS
from pagetrail.schemas.store.tables import arrow_schema

ROWS_AT_ONCE = 1 << 17
"""Rows that are handed to DuckDB at once."""

_IDS = ("comm", "stack")
_UNSAID = ("owner", "detail")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTexts:
    """The texts that a file uses. It numbers comms by their text and stacks by their 64-bit id, whatever their ids in the stream.

    Attributes
    ----------
    comms, stacks
        Their ids in the stretch, by those in the file.
    identities
        The hashes of the comms, and the ids of the stacks.
    """

    comms: list[int]
    stacks: list[int]
    identities: list[int]

    @classmethod
    def of(cls, packed: Packed, comms: Sequence[str], stacks: StackTable) -> "FileTexts":
        """Return the texts of *packed* spans."""
        used = _used(packed, "comm"), _used(packed, "stack")
        of_comms, of_stacks = sorted(used[0], key=lambda i: comms[i]), sorted(used[1], key=lambda i: stacks.ids[i])
        identities = [*(text_id(comms[i]) for i in of_comms), *(stacks.ids[i] for i in of_stacks)]
        return cls(comms=of_comms, stacks=of_stacks, identities=identities)

    def of_file(self, packed: Packed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return acts and owners with the ids of the file."""
        of_kind = {"comm": self.comms, "stack": self.stacks}
        found = []
        for rows, fields in ((packed.acts, ACT_FIELDS), (packed.owners, OWNER_FIELDS)):
            mine = rows.copy()
            for i, name in enumerate(fields):
                for kind, ids in of_kind.items():
                    if name.endswith(kind) and ids:
                        number = np.full(max(ids) + 2, -1, np.int64)  # the last one is that of -1
                        number[ids] = np.arange(len(ids))
                        mine[:, i] = number[rows[:, i]]
            found.append(mine)
        return found[0], found[1]


def packed_batches(packed: Packed, texts: FileTexts) -> dict[str, Iterator[pa.RecordBatch]]:
    """Return the rows of the tables of spans, by name."""
    acts, owners = texts.of_file(packed)
    return {
        "ended_runs": _batches("ended_runs", packed.ended._asdict()),
        "open_runs": _batches("open_runs", packed.open._asdict()),
        "events": _batches("events", packed.events._asdict()),
        "acts": _batches("acts", _by_id(acts, ACT_FIELDS)),
        "owners": _batches("owners", _by_id(owners, OWNER_FIELDS)),
        "details": _batches("details", _by_id(packed.details, DETAIL_FIELDS)),
    }


def _used(packed: Packed, kind: str) -> list[int]:
    columns = [
        rows[:, i]
        for rows, fields in ((packed.acts, ACT_FIELDS), (packed.owners, OWNER_FIELDS))
        for i, name in enumerate(fields)
        if name.endswith(kind)
    ]
    found: list[int] = np.unique(np.concatenate(columns)).tolist()
    return [i for i in found if i >= 0]


def _by_id(rows: NDArray[np.int64], fields: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    return {"id": np.arange(rows.shape[0])} | {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(fields)}


def _batches(name: str, columns: Mapping[str, NDArray[Any]]) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(name)
    rows = len(columns[schema.names[0]])
    for start in range(0, rows, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        yield pa.RecordBatch.from_arrays([_array(f, columns[f.name][some]) for f in schema], schema=schema)


def _array(field: pa.Field, column: NDArray[Any]) -> pa.Array:
    """Return a column as Arrow's array: absent becomes null."""
    absent = -1 if field.name in _UNSAID or field.name.endswith(_IDS) else ABSENT64
    mask = column == absent
    return pa.array(column if not mask.any() else np.where(mask, 0, column), mask=mask if mask.any() else None).cast(
        field.type
    )
