"""One event by itself: a row of a batch, and its place in the stream."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import DETAIL_MODELS

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
        """Whether its detail is valid for its kind; a kind without a detail model has all its fields in columns."""
        if kind not in DETAIL_MODELS:
            return True
        try:
            DETAIL_MODELS[kind].model_validate_json(self.batch.details.get(self.row, ""))
        except ValidationError:
            return False
        return True
