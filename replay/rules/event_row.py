"""One event by itself: a row of a batch, and its place in the stream."""

import json
import re
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import DETAIL_MODELS
from pagetrail.schemas.owner import OPEN_END

_LONG_NUMBER: Final = re.compile(r"[0-9]{19}|[0-9][eE]")
_Detail = TypeVar("_Detail", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A rare event.

    Attributes
    ----------
    seq, ts
        Its stream_seq, and its time (trace clock, ns).
    batch, row
        Its batch, and its row there.
    """

    seq: int
    ts: int
    batch: EventBatch
    row: int

    def value(self, column: str) -> int | None:
        """Return its value in a column; null: absent."""
        value = int(self.batch.column(column)[self.row])
        return None if value == absent(column) else value

    def detail(self, model: type[_Detail]) -> _Detail:
        """Return its detail, which must be valid for its kind: see ``is_understood``."""
        return model.model_validate_json(self.batch.details[self.row])

    def is_understood(self, kind: Kind) -> bool:
        """Whether its detail is valid for its kind; a kind without a detail model has all its fields in columns.

        A number beyond 64 bits is no time, page or count of any machine.
        """
        if kind not in DETAIL_MODELS:
            return True
        text = self.batch.details.get(self.row, "")
        try:
            DETAIL_MODELS[kind].model_validate_json(text)
        except ValidationError:
            return False
        return _LONG_NUMBER.search(text) is None or _is_within(json.loads(text))


def _is_within(value: object) -> bool:
    """Return whether every number in a value of JSON is of 64 bits, without the least, which means that there is none."""
    if isinstance(value, dict):
        return all(map(_is_within, value.values()))
    if isinstance(value, list):
        return all(map(_is_within, value))
    return not isinstance(value, int) or -OPEN_END <= value <= OPEN_END
