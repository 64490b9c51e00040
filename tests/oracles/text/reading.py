"""What a reference parser gives: the rows of one text, and what it did not understand."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import TEXT_COLUMNS, absent

Row = dict[str, object]
NOTHING_NEW: Row = {}  # of a block off the free lists that went straight to an allocation


@dataclass
class Reading:
    """What was read of one text."""

    rows: list[Row] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    not_understood: list[int] = field(default_factory=list)
    failed_allocs: int = 0
    lost_events: int = 0
    truncated: bool = False
    noted: list[int] = field(default_factory=list)
    """Lines that were not understood in all their parts."""
    lines: Counter[str] = field(default_factory=Counter)
    """By what they are."""


def rows_of(batches: Iterable[EventBatch]) -> list[Row]:
    """Return each row of *batches* as its values by column, without those that are absent."""
    rows: list[Row] = []
    for batch in batches:
        first = len(rows)
        rows += [{} for _ in range(len(batch))]
        for name, column in batch.columns.items():
            for at, value in enumerate(column.tolist()):
                if value != absent(name) or name in ("trace_ts_nsec", "kind"):
                    rows[first + at][name] = batch.texts[name][value] if name in TEXT_COLUMNS else value
        for at, text in batch.details.items():
            rows[first + at]["detail"] = json.loads(text)
    return rows
