"""The offset between page_owner's clock and the trace clock, from the recording's own readings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.details import Clock
from pagetrail.schemas.owner import ABSENT64


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerClock:
    """page_owner's ts = trace clock + offset, ns; constant from ``valid_from`` (trace clock) on.

    Source: kernel/time/sched_clock.c and arch/x86 (Linux 6.1): page_owner stamps with local_clock(), the trace clock "local"
    is sched_clock(); they differ by a constant once sched_clock is marked stable. Before that, the offset differs from this
    constant by up to 250 ms (measured).
    """

    offset: int
    valid_from: int
    inferred: bool = False


EARLY_ERROR_NSEC = 250_000_000
"""Largest error of the offset before sched_clock was marked stable, in the recordings at hand."""


def owner_clock(readings: list[tuple[int, Clock]]) -> OwnerClock | None:
    """Return the relation from the first reading that has both clocks; readings are (trace time, Clock)."""
    for trace_ts, clock in readings:
        if clock.ts_nsec is not None:
            valid_from = trace_ts if clock.valid_from is None else clock.valid_from
            return OwnerClock(offset=clock.ts_nsec - trace_ts, valid_from=valid_from)
    return None


def owner_ts(records: NDArray[np.void], clock: OwnerClock | None) -> NDArray[np.int64]:
    """Return the time of page_owner's stamp on each record, ns of its clock; absent where it is unknown."""
    stamped = records["ts_nsec"]
    if clock is None:
        return np.asarray(stamped)
    known = records["alloc_ts"] != ABSENT64
    derived = np.where(known, np.where(known, records["alloc_ts"], 0) + clock.offset, ABSENT64)
    return np.asarray(np.where(stamped != ABSENT64, stamped, derived))
