"""Who owned pages at an instant, or many (pfn, time) pairs, each at its own."""

from collections.abc import Sequence
from contextlib import closing
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.filters import check_pfns
from pagetrail.queries.core.instant import Instant, Instants
from pagetrail.queries.core.row_columns import HOW_WORDS, ROW_SCHEMA, to_table
from pagetrail.queries.core.rows import ABSENT_WHY, Asked, rows_at
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.pairs.answered import answered
from pagetrail.queries.pairs.asked import Pairs
from pagetrail.queries.pairs.given import instants_of
from pagetrail.queries.pairs.proofs import ORIGIN_DTYPE, Proofs
from pagetrail.queries.pairs.values import PAGE_EXT, page_values_of
from pagetrail.schemas.owner import ABSENT64

_EVIDENCE = "the event that the evidence goes back to: before a split or a migration, or a dump's record of the page"

_PROOF_FIELDS: Final = (
    pa.field("recording", pa.utf8(), metadata={"doc": "recording of the event with which this state began"}),
    pa.field("event", pa.int64(), metadata={"doc": "number (seq) of that event in its recording"}),
    pa.field("log_partition", pa.int32(), metadata={"doc": "where the log holds that event; null: not any more"}),
    pa.field("log_offset", pa.int64(), metadata={"doc": "offset of the frame that holds it"}),
    pa.field("evidence_recording", pa.utf8(), metadata={"doc": f"recording of {_EVIDENCE}"}),
    pa.field("evidence_event", pa.int64(), metadata={"doc": "number (seq) of that event in its recording"}),
    pa.field("evidence_log_partition", pa.int32(), metadata={"doc": "where the log holds it; null: not any more"}),
    pa.field("evidence_log_offset", pa.int64(), metadata={"doc": "offset of the frame that holds it"}),
)

ANSWER_SCHEMA: Final = pa.schema(
    [
        pa.field("asked_pfn", pa.int64(), metadata={"doc": "the page that was asked for"}),
        pa.field("asked_ts", pa.int64(), metadata={"doc": "ns, trace clock: the instant that was asked for"}),
        *ROW_SCHEMA,
        pa.field("horizon", pa.int64(), metadata={"doc": "ns, trace clock: how far the log had been replayed"}),
        *_PROOF_FIELDS,
        pa.field("page_ext", PAGE_EXT, metadata={"doc": "what other clients of page_ext held of the page; advisory"}),
    ]
)
"""A row a question, in the order asked; a page of no section has state "absent"."""

ANSWER_COLUMNS: Final = tuple(ANSWER_SCHEMA.names)
"""Their names."""

_ABSENT: Final = pa.Table.from_pylist(
    [{"state": "absent", "evidence": "none", "why": ABSENT_WHY, "certain": False, "uncertain": ["state"]}], ROW_SCHEMA
)
"""The row of a page that no section has."""

_HOW_WORDS: Final = pa.array(list(HOW_WORDS.values()), pa.utf8())
_HOW_CODES: Final = np.array(list(HOW_WORDS), np.int8)

_PROVEN_BY: Final = ("begin_seq", "how", "src_pfn", "evidence_ts")
"""The columns that tell which events prove a row."""


def owners_at(stream: Stream, pfns: Sequence[int], at: Instant) -> pa.Table:
    """Return who owned each of *pfns* at an instant: ``ANSWER_SCHEMA``, one row each, in their order."""
    check_pfns(pfns)
    found = rows_at(stream, at, Asked(pfns=pfns))
    asked = np.asarray(pfns, np.int64)
    starts = found["pfn"].to_numpy()
    ends = starts + found["nr_pages"].to_numpy()
    row = np.searchsorted(starts, asked, side="right") - 1
    inside = (row >= 0) & (asked < ends[np.maximum(row, 0)]) if starts.size else np.zeros(asked.size, np.bool_)
    pairs = Pairs(pfns=asked, at=Instants.of([at] * asked.size), files=np.full(asked.size, stream.holding(at)))
    with closing(Proofs(stream)) as proofs:
        return _answer(stream, pairs, found, np.where(inside, row, -1), proofs, ANSWER_SCHEMA.names)


def owners_of_pairs(stream: Stream, pairs: Sequence[tuple[int, int | str]]) -> pa.Table:
    """Return who owned each page at its own instant: ns of the trace clock, or TIME. See ``owners``.

    Raises
    ------
    BadArgument, NotFound
        Of the first page or instant that ``owners_at`` would refuse.
    """
    check_pfns([pfn for pfn, _ in pairs])
    at, errors = instants_of(stream, pa.chunked_array([pa.array([str(at) for _, at in pairs], pa.utf8())]))
    if errors:
        stream.instant(str(pairs[min(errors)][1]))
    return owners(stream, np.array([pfn for pfn, _ in pairs], np.int64), at)


def owners(
    stream: Stream,
    pfns: NDArray[np.int64],
    at: Instants,
    *,
    columns: Sequence[str] = ANSWER_SCHEMA.names,
    proofs: Proofs | None = None,
) -> pa.Table:
    """Return who owned each page (*pfns*) at its own instant: *columns* of ``ANSWER_SCHEMA``, a row a pair, in their order.

    The row of a pair is that of ``owners_at`` for it alone. The store is read once for all pairs of a file. *proofs* remembers
    what it found in the log; null: nothing is remembered.
    """
    check_pfns([int(pfns.min()), int(pfns.max())] if pfns.size else [])
    if proofs is None:
        with closing(Proofs(stream)) as proofs:
            return owners(stream, pfns, at, columns=columns, proofs=proofs)
    pairs = Pairs.of(stream, pfns, at)
    needed = {*columns, *(_PROVEN_BY if any(field.name in columns for field in _PROOF_FIELDS) else ())}
    known = answered(stream, pairs, [name for name in ROW_SCHEMA.names if name in needed])
    found = to_table(known, [name for name in ROW_SCHEMA.names if name in needed])
    row = np.full(pfns.size, -1, np.int64)
    row[known.rows.of_questions] = np.arange(known.rows.runs.size)
    return _answer(stream, pairs, found, row, proofs, columns)


def _answer(
    stream: Stream, pairs: Pairs, found: pa.Table, row: NDArray[np.int64], proofs: Proofs, columns: Sequence[str]
) -> pa.Table:
    """Return *columns* of the answer; *row* is the index in *found* of the row of each pair, -1: the page is absent."""
    taken = found
    if not np.array_equal(row, np.arange(found.num_rows)):
        rows = pa.concat_tables([found, _ABSENT.select(found.column_names)])
        taken = rows.take(pa.array(np.where(row < 0, found.num_rows, row)))
    made: dict[str, pa.Array] = {name: taken[name] for name in found.column_names}
    made["asked_pfn"], made["asked_ts"] = pa.array(pairs.pfns), pa.array(pairs.at.ts)
    made["horizon"] = pa.array(np.full(row.size, stream.horizon))
    if any(field.name in columns for field in _PROOF_FIELDS):
        names = (field.name for field in _PROOF_FIELDS)
        made |= zip(names, _proven(proofs, pairs.pfns, taken), strict=True)
    if "page_ext" in columns:
        made["page_ext"] = page_values_of(stream, pairs)
    schema = (
        ANSWER_SCHEMA
        if len(columns) == len(ANSWER_COLUMNS)
        else pa.schema([ANSWER_SCHEMA.field(name) for name in columns])
    )
    return pa.table([made[name] for name in columns], schema=schema)


def _proven(proofs: Proofs, pfns: NDArray[np.int64], taken: pa.Table) -> list[pa.Array]:
    """Return the columns that name the events that prove each answer, and where the log holds them."""
    known = np.flatnonzero(taken["begin_seq"].is_valid().to_numpy())
    spans = np.zeros(known.size, ORIGIN_DTYPE)
    spans["pfn"] = pfns[known]
    for name in ("begin_seq", "src_pfn", "evidence_ts"):
        column = taken[name]
        spans[name] = (column.fill_null(ABSENT64) if column.null_count else column).to_numpy()[known]
    how = pc.index_in(taken["how"], _HOW_WORDS)
    spans["how"] = _HOW_CODES[(how.fill_null(0) if how.null_count else how).to_numpy()[known]]
    seqs = np.full(pfns.size, -1, np.int64)
    seqs[known] = spans["begin_seq"]
    began = proofs.events(seqs)
    evidence = began.copy()
    evidence[known] = proofs.evidence(spans, began[known])
    return [*proofs.columns(began), *proofs.columns(evidence)]
