"""A perf.data held against what perf script prints of it: the same events, in the same order."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.capture.directory import without
from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind


def read(path: Path, kernel: RecordedKernel) -> tuple[EventBatch, ReadAccount]:
    """Return the events of a trace, and the account."""
    source = source_of(path)
    found, _ = recognised(source)
    assert found.opens is not None
    with source.open(text=True) as stream:
        parser = found.opens(stream, kernel)
        return concat(list(parser.batches())), parser.account


def column(batch: EventBatch, name: str) -> NDArray[np.generic]:
    """Return a column; of a column of texts, the texts, with null where there is none."""
    values = batch.column(name)
    return np.array([*batch.texts[name], None], object)[values] if name in batch.texts else values


def check_same(
    data: tuple[EventBatch, ReadAccount],
    text: tuple[EventBatch, ReadAccount],
    columns: Collection[str],
    *,
    step: int = 1,
) -> int:
    """Check that both have the same events, equal in *columns*; times to *step* ns, as they are printed. Return how many."""
    (binary, said), (printed, told) = data, text
    assert said.events == told.events
    assert said.failed_allocs == told.failed_allocs
    assert said.not_understood == told.not_understood == 0
    binary, printed = without(binary, (Kind.GAP,)), without(printed, (Kind.GAP,))
    assert len(binary) == len(printed)
    assert (column(binary, "trace_ts_nsec") // step == column(printed, "trace_ts_nsec") // step).all()
    for name in (*columns, "comm"):
        assert (column(binary, name) == column(printed, name)).all(), name
    return len(binary)
