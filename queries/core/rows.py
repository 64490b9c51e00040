"""Answers as rows: one a run of pages, from what a segment holds, judged, with both views where the kernel is known to be wrong."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.certainty import Judgement, judge
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.runs import Rows, cut, joined
from pagetrail.queries.core.stream import Stream, Texts
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.store.read import arrays
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    OPEN_END,
    RECORD_DTYPE,
    RUN_DTYPE,
    Evidence,
    How,
    State,
)
from pagetrail.schemas.structs import concatenated, taken

STATE_WORDS: Final = {int(s): s.name.lower() for s in State}
EVIDENCE_WORDS: Final = {int(e): e.name.lower() for e in Evidence}
HOW_WORDS: Final = {int(h): h.name.lower().replace("_", " ") for h in How}

OWNER_FIELDS: Final = (
    ("state", pa.utf8(), "owned, free or unknown"),
    ("order", pa.int8(), "the block is 2^order pages"),
    ("pid", pa.int32(), "thread id of the owner"),
    ("tgid", pa.int32(), "process id of the owner; null where it was not recorded"),
    ("comm", pa.utf8(), "command name of the owner; advisory"),
    ("gfp_mask", pa.int64(), "gfp_t of the allocation"),
    ("migratetype", pa.int8(), "MIGRATE_* of the allocation"),
    ("ts_nsec", pa.int64(), "ns, page_owner's clock: when the owner allocated"),
    ("stack", pa.utf8(), "stack of the allocation, canonical: innermost first, a frame a line"),
)
"""What a view of a page says."""

KERNEL_SAYS: Final = pa.struct([pa.field(name, kind) for name, kind, _ in OWNER_FIELDS])

ROW_FIELDS: Final = (
    ("pfn", pa.int64(), "page frame number of the first page of the run"),
    ("nr_pages", pa.int64(), "pages in the run"),
    *OWNER_FIELDS,
    ("evidence", pa.utf8(), "observed, baseline or inferred; none for unknown pages"),
    ("certain", pa.bool_(), "of state, order, pid, tgid (where recorded), gfp_mask, and ts_nsec within 20 ms"),
    ("uncertain", pa.list_(pa.utf8()), "which of those are not certain"),
    ("why", pa.utf8(), "why not; empty when certain"),
    ("kernel_says", KERNEL_SAYS, "the kernel's own record, where it is known to be wrong; else null"),
    ("stack_id", pa.int64(), "64-bit id of the stack, the same on every host"),
    ("block_pfn", pa.int64(), "first page of the block"),
    ("alloc_ts", pa.int64(), "ns, trace clock: when the owner allocated; null when only a dump told of it"),
    ("evidence_ts", pa.int64(), "ns, trace clock: since when the evidence holds"),
    ("begin_ts", pa.int64(), "ns, trace clock: when this state began"),
    ("begin_seq", pa.int64(), "event (stream_seq) with which this state began"),
    ("cpu", pa.int16(), "CPU of that event; null: no event of a CPU began it"),
    ("how", pa.utf8(), "what began it: alloc, free, split, migrate, baseline, confirmed, ..."),
    ("src_pfn", pa.int64(), "page frame number that the contents were migrated from"),
    ("generation", pa.int32(), "generation of the section: a pfn that came back is not the old page"),
    ("last_pid", pa.int32(), "of a free run: thread id of the last owner that was seen"),
    ("last_comm", pa.utf8(), "of a free run: its command name"),
    ("last_stack", pa.utf8(), "of a free run: stack of its allocation"),
    ("free_pid", pa.int32(), "of a free run: thread id of who freed it"),
    ("free_comm", pa.utf8(), "of a free run: its command name"),
    ("free_stack", pa.utf8(), "of a free run: stack of the free"),
    ("migrate_reason", pa.int8(), "MR_* of the last migration, from a dump"),
    ("free_ts_nsec", pa.int64(), "ns, page_owner's clock: the free before this allocation, from a dump"),
)

ABSENT_WHY: Final = "the page's section has no extension: not a page that was online"
"""Why nothing is said of a page that is absent."""

ROW_SCHEMA: Final = pa.schema([pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in ROW_FIELDS])


def rows_at(stream: Stream, at: Instant, *, pfns: Sequence[int] | None = None, everything: bool = False) -> pa.Table:
    """Return the runs of ``ROW_SCHEMA`` at an instant, by pfn.

    Parameters
    ----------
    pfns
        Only runs that hold one of these pages; a page of which nothing is known gets a row of its own, if its section is there.
    everything
        Free and unknown runs too; else owned ones, and those that the kernel thinks are.
    """
    found, texts = stream.rows_at(at, None if pfns is None else sorted(set(pfns)))
    runs, records = arrays(found)
    kernel = runs["kernel_view"] == 1
    stepped_over = kernel & (records["state"] == State.FREE)  # a stamp that no dump lists
    runs, records, kernel = taken(runs, ~stepped_over), taken(records, ~stepped_over), kernel[~stepped_over]
    found = found.filter(pa.array(~stepped_over))
    runs, records, kernel_row = _both_views(runs, records, kernel)
    if everything or pfns is not None:
        runs, records, kernel_row = _with_unknown(stream.facts, at, runs, records, kernel_row, pfns)
    doubts = stream.doubts_at(at)
    edges = np.unique(np.concatenate([doubts["pfn"], doubts["pfn"] + doubts["nr_pages"]]))
    pieces, parent = cut(runs, edges)
    rows = Rows(runs=runs, records=records, kernel_row=kernel_row).take(parent, pieces)
    judged = judge(rows.runs, rows.records, rows.kernel_row >= 0, at.ts, stream.facts, doubts)
    kernel_records = arrays(found)[1]
    rows, judged = joined(rows, kernel_records, judged, stream.facts.pages_per_section)
    table = to_table(rows.runs, rows.records, rows.kernel_row, kernel_records, judged, texts, stream.facts)
    if pfns is not None:
        return table.filter(pa.array(_holding(rows.runs, np.unique(np.asarray(pfns, np.int64)))))
    if everything:
        return table
    keep = (rows.records["state"] == State.OWNED) | (rows.kernel_row >= 0)
    return table.filter(pa.array(keep))


def _holding(runs: NDArray[np.void], pfns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each run holds one of *pfns* (sorted)."""
    first = np.searchsorted(pfns, runs["pfn"], side="left")
    return np.asarray(first < np.searchsorted(pfns, runs["pfn"] + runs["nr_pages"], side="left"))


def _both_views(
    runs: NDArray[np.void], records: NDArray[np.void], kernel: NDArray[np.bool_]
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Cut proven runs where the kernel's differing records begin and end; return them with the row of the kernel's, or -1."""
    proven, mine = taken(runs, ~kernel), taken(records, ~kernel)
    if not kernel.any():
        return proven, mine, np.full(proven.size, -1, np.int64)
    views = np.flatnonzero(kernel)
    edges = np.unique(np.concatenate([runs["pfn"][views], runs["pfn"][views] + runs["nr_pages"][views]]))
    pieces, parent = cut(proven, edges)
    first, cut_records = pieces["pfn"], taken(mine, parent)
    order = views[np.argsort(runs["pfn"][views], kind="stable")]
    view_start, view_stop = runs["pfn"][order], runs["pfn"][order] + runs["nr_pages"][order]
    where = np.searchsorted(view_start, first, side="right") - 1
    inside = (where >= 0) & (first < view_stop[np.maximum(where, 0)])
    kernel_row = np.where(inside, order[np.maximum(where, 0)], -1)
    return _add_lone_views(pieces, cut_records, kernel_row, runs, order)


def _add_lone_views(
    pieces: NDArray[np.void],
    cut_records: NDArray[np.void],
    kernel_row: NDArray[np.int64],
    runs: NDArray[np.void],
    views: NDArray[np.int64],
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Add a row of unknown state for pages of which only the kernel's view says something."""
    covered_pages = np.bincount(
        kernel_row[kernel_row >= 0], weights=pieces["nr_pages"][kernel_row >= 0], minlength=runs.size
    )
    lone = views[covered_pages[views] == 0]
    if not lone.size:
        return pieces, cut_records, kernel_row
    merged = concatenated([pieces, taken(runs, lone)])
    records = concatenated([cut_records, unknown_records(lone.size)])
    rows = np.concatenate([kernel_row, lone])
    order = np.argsort(merged["pfn"], kind="stable")
    return taken(merged, order), taken(records, order), rows[order]


def unknown_records(size: int) -> NDArray[np.void]:
    """Return records that say nothing."""
    records = np.zeros(size, RECORD_DTYPE)
    for name in records.dtype.names or ():
        if name in ("state", "evidence", "how", "pages", "unordered"):
            continue
        text = name.endswith(("comm", "stack"))
        records[name] = (
            -1 if text else {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[records.dtype[name].itemsize]
        )
    return records


def sections_at(facts: Facts, at: Instant) -> list[tuple[int, int]]:
    """Return (section_nr, generation) of the sections that have an extension at an instant."""
    key, value = ("ts", at.ts) if at.seq is None else ("seq", at.seq)
    found = {}
    for section in facts.sections:
        if getattr(section, f"begin_{key}") <= value < getattr(section, f"end_{key}"):
            found[section.section_nr] = section.generation
    return sorted(found.items())


def _with_unknown(
    facts: Facts,
    at: Instant,
    runs: NDArray[np.void],
    records: NDArray[np.void],
    kernel_row: NDArray[np.int64],
    pfns: Sequence[int] | None,
) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Add what no row covers of the sections that are there; only at *pfns*, where they are given."""
    pages = facts.pages_per_section
    missing: list[tuple[int, int, int]] = []
    starts = runs["pfn"]
    for section_nr, generation in sections_at(facts, at):
        low, high = section_nr * pages, (section_nr + 1) * pages
        inside = (starts >= low) & (starts < high)
        if pfns is None:
            at_pfn = low
            for start, count in zip(starts[inside].tolist(), runs["nr_pages"][inside].tolist(), strict=True):
                if start > at_pfn:
                    missing.append((at_pfn, start - at_pfn, generation))
                at_pfn = start + count
            if at_pfn < high:
                missing.append((at_pfn, high - at_pfn, generation))
        else:
            ends = starts + runs["nr_pages"]
            wanted = [p for p in set(pfns) if low <= p < high and not ((starts <= p) & (p < ends)).any()]
            missing += [(p, 1, generation) for p in wanted]
    extra = np.zeros(len(missing), RUN_DTYPE)
    for row, (pfn, count, generation) in zip(extra, missing, strict=True):
        row["pfn"], row["nr_pages"], row["generation"], row["end_ts"] = pfn, count, generation, OPEN_END
    merged = concatenated([runs, extra])
    all_records = concatenated([records, unknown_records(extra.size)])
    rows = np.concatenate([kernel_row, np.full(extra.size, -1)])
    order = np.argsort(merged["pfn"], kind="stable")
    return taken(merged, order), taken(all_records, order), rows[order]


def to_table(
    runs: NDArray[np.void],
    records: NDArray[np.void],
    kernel_row: NDArray[np.int64],
    kernel_records: NDArray[np.void],
    judged: Judgement,
    texts: Texts,
    facts: Facts,
) -> pa.Table:
    """Return judged runs as a table of ``ROW_SCHEMA``."""
    owned = records["state"] == State.OWNED
    free = records["state"] == State.FREE
    view = np.maximum(kernel_row, 0)
    said = kernel_records[view] if kernel_records.size else unknown_records(kernel_row.size)
    kernel = owner_columns(said, np.ones(said.size, np.bool_), texts, facts)
    owner = owner_columns(records, owned, texts, facts)
    # where page_owner stamped a page as early, it never stamped the allocation that the trace saw
    unstamped = (kernel_row >= 0) & (records["ts_nsec"] == ABSENT64)
    owner["ts_nsec"] = pc.if_else(pa.array(unstamped), pa.scalar(None, pa.int64()), owner["ts_nsec"])
    columns: dict[str, pa.Array] = {
        "pfn": pa.array(runs["pfn"]),
        "nr_pages": pa.array(runs["nr_pages"]),
        **owner,
        "evidence": words(records["evidence"], EVIDENCE_WORDS),
        "certain": pa.array(judged.certain),
        "uncertain": pa.array(judged.uncertain, pa.list_(pa.utf8())),
        "why": pa.array(judged.why, pa.utf8()),
        "kernel_says": pa.StructArray.from_arrays(
            [kernel[name] for name, _, _ in OWNER_FIELDS], fields=list(KERNEL_SAYS), mask=pa.array(kernel_row < 0)
        ),
        "stack_id": texts.stack_ids.take(_index(records["stack"], owned)),
        "block_pfn": _number(records["block_pfn"], owned | free),
        "alloc_ts": _number(records["alloc_ts"], owned | free),
        "evidence_ts": _number(records["evidence_ts"], owned | free),
        "begin_ts": _number(records["begin_ts"], owned | free),
        "begin_seq": _number(records["begin_seq"], owned | free),
        "cpu": _number(records["cpu"], owned | free),
        "how": words(records["how"], HOW_WORDS),
        "src_pfn": _number(records["src_pfn"], owned),
        "generation": pa.array(runs["generation"]),
        "last_pid": _number(records["pid"], free),
        "last_comm": texts.comms.take(_index(records["comm"], free)),
        "last_stack": texts.frames.take(_index(records["stack"], free)),
        "free_pid": _number(records["free_pid"], free),
        "free_comm": texts.comms.take(_index(records["free_comm"], free)),
        "free_stack": texts.frames.take(_index(records["free_stack"], free)),
        "migrate_reason": _number(records["migrate_reason"], owned),
        "free_ts_nsec": _number(records["free_ts_nsec"], owned),
    }
    return pa.table([columns[name] for name in ROW_SCHEMA.names], schema=ROW_SCHEMA)


def owner_columns(
    records: NDArray[np.void], owned: NDArray[np.bool_], texts: Texts, facts: Facts
) -> dict[str, pa.Array]:
    """Return ``OWNER_FIELDS`` of records; null where a page has no owner."""
    known = records["state"] != State.UNKNOWN
    return {
        "state": words(records["state"], STATE_WORDS),
        "order": _number(records["order"], known),
        "pid": _number(records["pid"], owned),
        "tgid": _number(records["tgid"], owned),
        "comm": texts.comms.take(_index(records["comm"], owned)),
        "gfp_mask": _number(records["gfp_mask"], owned),
        "migratetype": _number(records["migratetype"], owned),
        "ts_nsec": _number(owner_ts(records, owner_clock(facts.clocks)), owned),
        "stack": texts.frames.take(_index(records["stack"], owned)),
    }


def _number(column: NDArray[np.generic], where: NDArray[np.bool_]) -> pa.Array:
    smallest = {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[column.dtype.itemsize]
    return pa.array(np.ascontiguousarray(column), mask=~where | (column == smallest))


def _index(column: NDArray[np.int32], where: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.ascontiguousarray(column), mask=~where | (column < 0))


def words(column: NDArray[np.int8], named: Mapping[int, str]) -> pa.Array:
    """Return the word of each code of a column: text."""
    names = pa.array([named[code] for code in sorted(named)], pa.utf8())
    return names.take(pa.array(np.searchsorted(np.array(sorted(named)), column)))
