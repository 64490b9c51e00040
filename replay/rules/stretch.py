"""A stretch of a stream: the state at its end and the spans that ended within it. It becomes a segment or a tip.

The arrays of a segment are its own: the state goes on with others. Those of a tip are the state's, as a copy would take as much
memory: a tip is digested and written before the next event is folded.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.doubts_aside import DoubtsAside
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.fold.decode import StackTable
from pagetrail.replay.fold.options import STATE_OPTIONS
from pagetrail.replay.fold.records.held import lasting_doubts
from pagetrail.replay.fold.tables import (
    ACTS,
    DETAILS,
    DOUBTS,
    EVENT_ROWS,
    OWNERS,
    QUARANTINE,
    RUNS,
    EventColumns,
    RunColumns,
    open_runs,
    remembered_moves,
    sorted_bytes,
)
from pagetrail.replay.rules.dumped.said import Said
from pagetrail.replay.rules.sections import generations
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.store.kept_rows import KeptRows
from pagetrail.schemas.structs import copied


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchOrigin:
    """The stream and fold of a stretch, and its place in the stream.

    Attributes
    ----------
    fold, digest_name
        Name of the fold, and its options as they are hashed into chain digests; ``floor`` is its least number of events in a
        segment.
    first_seq, last_seq
        stream_seq of the first and last event.
    first_ts, last_ts
        Their trace clock, ns; null before the first event.
    tip
        Whether the stretch is open: later events may still belong to it.
    """

    host: str
    boot_id: str
    fold: str
    digest_name: str
    floor: int
    first_seq: int
    last_seq: int
    first_ts: int | None
    last_ts: int | None
    tip: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Everything known at the end of a stretch.

    Attributes
    ----------
    runs
        (n,) ENDED_RUN_DTYPE: runs of pages whose spans ended within the stretch, in that order.
    open_runs
        (m,): runs whose spans are open at its end, by (kernel_view, pfn).
    events, acts, owners, details
        (e,): what began and ended these spans, by stream_seq. (a, 10), (o, 7), (d, 5) int64: what events refer to, by
        ACT_FIELDS, OWNER_FIELDS and DETAIL_FIELDS.
    doubts
        DOUBT_DTYPE: doubts cast within the stretch, without those of hotplug calls in progress; if *doubts_aside* has any, all.
    doubts_aside
        Doubts that are not in memory.
    lasting
        DOUBT_DTYPE: doubts that were cast before, and lasted into the stretch.
    values, live_values
        VALUE_DTYPE: values that page_ext's clients held (ended) and hold (open) for pages.
    anomalies
        (kinds, 3) events, pages and first stream_seq of each kind, since the stream began.
    quarantined
        (k, 4) seq, pfn, order, Anomaly of each quarantined event of the stretch.
    differences
        Differences between baselines of the stretch and the state: rows of ``audit_differences``.
    said
        What dumps said of pages whose allocation lasted into the stretch.
    comms, stacks
        The texts behind the ids; they only grow, so they are shared with the state.
    open_records
        The records of a dump that has begun and not ended.
    resume
        Values that only a resume needs, by name, as in JSON.
    """

    origin: StretchOrigin
    facts: Facts
    comms: list[str]
    stacks: StackTable
    runs: NDArray[np.void]
    open_runs: RunColumns
    events: EventColumns
    acts: NDArray[np.int64]
    owners: NDArray[np.int64]
    details: NDArray[np.int64]
    doubts: NDArray[np.void]
    doubts_aside: DoubtsAside
    lasting: NDArray[np.void]
    values: NDArray[np.void]
    live_values: NDArray[np.void]
    anomalies: NDArray[np.int64]
    quarantined: NDArray[np.int64]
    differences: KeptRows
    said: Said
    open_records: KeptRows
    resume: dict[str, object]

    @property
    def nbytes(self) -> int:
        """Return the bytes of its large arrays: what it takes beside the state when that goes on, and is sorted to be written."""
        columns = sum(int(column.nbytes) for column in (*self.events, *self.open_runs))
        return int(self.runs.nbytes) + sorted_bytes(self.runs.size) + columns


def stretch_of(state: StreamState, origin: StretchOrigin) -> Stretch:
    """Return the stretch that ends with the last event folded."""
    t = state.tables
    if state.doubts_aside:
        state.doubts_aside.take(t, 0)
    counts = t.counts
    return Stretch(
        origin=origin,
        facts=state.facts.copy(),
        comms=state.comms.texts,
        stacks=state.stacks,
        runs=t.runs[: counts[RUNS]],
        open_runs=open_runs(t),
        events=EventColumns(*(column[: counts[EVENT_ROWS]] for column in t.events)),
        acts=t.acts[: counts[ACTS]],
        owners=t.owners[: counts[OWNERS]],
        details=t.details[: counts[DETAILS]],
        doubts=copied(t.doubts[: t.counts[DOUBTS]]),
        doubts_aside=state.doubts_aside.snapshot(),
        lasting=state.lasting,
        values=copied(state.values.closed()),
        live_values=state.values.live(t),
        anomalies=t.anomalies[:, :3].copy(),
        quarantined=t.quarantine[: t.counts[QUARANTINE]].copy(),
        differences=state.differences.snapshot(),
        said=state.said,
        open_records=KeptRows() if state.baseline is None else state.baseline.rows.snapshot(),
        resume={
            "counts": t.counts.tolist(),
            "moves": remembered_moves(t).tolist(),
            "doubted": lasting_doubts(t).tolist(),
            "options": state.opts[:STATE_OPTIONS].tolist(),
            "segment_first_seq": origin.first_seq,
            "segment_first_ts": origin.first_ts,
            "generations": generations(t),
            "floor": origin.floor,
            "view": None if state.baseline is None else state.baseline.plain(),
        },
    )
