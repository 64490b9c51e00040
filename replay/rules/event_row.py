"""One event by itself: a row of a batch, and its place in the stream."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import DETAIL_MODELS

_Said = TypeVar("_Said", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A rare event.

    Attributes
    ----------
    seq, ts
        Its stream_seq, and its time (trace clock, ns).
    batch, row
        Where it stands.
    """

    seq: int
    ts: int
    batch: EventBatch
    row: int

    def value(self, column: str) -> int | None:
        """Return what a column says of it; null: nothing."""
        value = int(self.batch.column(column)[self.row])
        return None if value == absent(column) else value

    def detail(self, model: type[_Said]) -> _Said:
        """Return its detail, which is one of its kind's: see ``is_understood``."""
        return model.model_validate_json(self.batch.details[self.row])

    def is_understood(self, kind: Kind) -> bool:
        """Whether its detail is what its kind says; a kind without details says all in its columns."""
        if kind not in DETAIL_MODELS:
            return True
        try:
            DETAIL_MODELS[kind].model_validate_json(self.batch.details.get(self.row, ""))
        except ValidationError:
            return False
        return True
