"""Packed spans as rows of a file, with the ids that its texts have there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import StackTable
from pagetrail.replay.fold.tables import RunColumns
from pagetrail.replay.store.packed.packer import Packed
from pagetrail.replay.store.text_id import text_id
from pagetrail.schemas.owner import ABSENT64, ACT_FIELDS, DETAIL_FIELDS, OWNER_FIELDS
from pagetrail.schemas.store.tables import SINGLE_PAGE, arrow_schema

ROWS_AT_ONCE = 1 << 15
"""Rows that are handed to DuckDB at once."""

_IDS = ("comm", "stack")
_UNSAID = ("owner",)


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

    def of_file(self, rows: NDArray[np.int64], fields: Sequence[str]) -> Iterator[NDArray[np.int64]]:
        """Yield acts or owners with the ids of the file, some at once: all of them would take as much memory again."""
        numbers = {"comm": _numbers(self.comms), "stack": _numbers(self.stacks)}
        of_texts = [
            (i, number) for i, name in enumerate(fields) for kind, number in numbers.items() if name.endswith(kind)
        ]
        for start in range(0, rows.shape[0], ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE].copy()
            for i, number in of_texts:
                some[:, i] = number[some[:, i]]
            yield some


def digested_parts(packed: Packed, texts: FileTexts) -> Iterator[NDArray[Any]]:
    """Yield what a digest covers of packed spans: their columns, with the ids of the file, and the texts behind those."""
    for part in (packed.ended, packed.open, packed.events):
        yield from part
    for rows, fields in ((packed.acts, ACT_FIELDS), (packed.owners, OWNER_FIELDS)):
        yield from texts.of_file(rows, fields)
    yield packed.details
    yield np.array(texts.identities, np.int64)


def _numbers(ids: Sequence[int]) -> NDArray[np.int64]:
    """Return the number in the file of each id; that of -1, which is the last one, is -1."""
    number = np.full(max(ids, default=-1) + 2, -1, np.int64)
    number[list(ids)] = np.arange(len(ids))
    return number


def packed_batches(packed: Packed, texts: FileTexts) -> dict[str, Iterator[pa.RecordBatch]]:
    """Return the rows of the tables of spans, by name."""
    return {
        "ended_pages": _pages("ended_pages", packed.ended),
        "open_pages": _pages("open_pages", packed.open),
        "ended_runs": _runs("ended_runs", packed.ended),
        "open_runs": _runs("open_runs", packed.open),
        "events": _batches("events", packed.events._asdict()),
        "acts": _by_id("acts", texts.of_file(packed.acts, ACT_FIELDS), ACT_FIELDS),
        "owners": _by_id("owners", texts.of_file(packed.owners, OWNER_FIELDS), OWNER_FIELDS),
        "details": _details(packed),
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


def _by_id(name: str, parts: Iterator[NDArray[np.int64]], fields: Sequence[str]) -> Iterator[pa.RecordBatch]:
    done = 0
    for rows in parts:
        columns = {field: np.ascontiguousarray(rows[:, i]) for i, field in enumerate(fields)}
        yield _batch(name, {"id": np.arange(done, done + rows.shape[0]), **columns})
        done += rows.shape[0]


def _pages(name: str, runs: RunColumns) -> Iterator[pa.RecordBatch]:
    for _, some in _some_at_once(runs):
        single = _is_single_page(some)
        if single.all():
            yield _batch(name, some._asdict())
        elif single.any():
            yield _batch(name, {field: column[single] for field, column in some._asdict().items()})


def _runs(name: str, runs: RunColumns) -> Iterator[pa.RecordBatch]:
    for start, some in _some_at_once(runs):
        which = np.flatnonzero(~_is_single_page(some))
        if which.size:
            rows = {field: column[which] for field, column in some._asdict().items()}
            yield _batch(name, {"place": start + which, **rows})


def _some_at_once(runs: RunColumns) -> Iterator[tuple[int, RunColumns]]:
    for start in range(0, runs.pfn.size, ROWS_AT_ONCE):
        yield start, RunColumns(**{name: c[start : start + ROWS_AT_ONCE] for name, c in runs._asdict().items()})


def _is_single_page(runs: RunColumns) -> NDArray[np.bool_]:
    """Return which runs are those of tables of single pages."""
    found = np.ones(runs.pfn.size, np.bool_)
    for name, value in SINGLE_PAGE.items():
        found &= getattr(runs, name) == value
    return found


def _details(packed: Packed) -> Iterator[pa.RecordBatch]:
    events = np.flatnonzero(packed.events.detail >= 0)
    for start in range(0, events.size, ROWS_AT_ONCE):
        some = events[start : start + ROWS_AT_ONCE]
        ids = packed.events.detail[some]
        rows = packed.details[ids]
        yield _batch(
            "details", {"event": some, "id": ids} | {field: rows[:, i] for i, field in enumerate(DETAIL_FIELDS)}
        )


def _batches(name: str, columns: Mapping[str, NDArray[Any]]) -> Iterator[pa.RecordBatch]:
    rows = len(next(iter(columns.values())))
    for start in range(0, rows, ROWS_AT_ONCE):
        yield _batch(name, {field: column[start : start + ROWS_AT_ONCE] for field, column in columns.items()})


def _batch(name: str, columns: Mapping[str, NDArray[Any]]) -> pa.RecordBatch:
    schema = arrow_schema(name)
    return pa.RecordBatch.from_arrays([_array(field, columns[field.name]) for field in schema], schema=schema)


def _array(field: pa.Field, column: NDArray[Any]) -> pa.Array:
    """Return a column as Arrow's array: absent becomes null."""
    absent = -1 if field.name in _UNSAID or field.name.endswith(_IDS) else ABSENT64
    mask = column == absent
    return pa.array(column if not mask.any() else np.where(mask, 0, column), mask=mask if mask.any() else None).cast(
        field.type
    )
