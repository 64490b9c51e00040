"""The columns of a row: what each means, and how it is made from judged runs. Only columns that are asked for are made."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.judgement import Judgement
from pagetrail.queries.core.runs import Rows
from pagetrail.queries.core.said import SaidOf
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.linux.gfp import format_gfp
from pagetrail.schemas.linux.migrate import migrate_reason_name
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    RECORD_DTYPE,
    Evidence,
    How,
    State,
)

STATE_WORDS: Final = {int(s): s.name.lower() for s in State}
EVIDENCE_WORDS: Final = {int(e): e.name.lower() for e in Evidence}
HOW_WORDS: Final = {int(h): h.name.lower().replace("_", " ") for h in How}


@dataclass(frozen=True, kw_only=True)
class JudgedRows:
    """n runs, how sure they are, and everything else that columns are made from.

    Attributes
    ----------
    kernel_records
        RECORD_DTYPE: the kernel's own records; ``rows.kernel_row`` has indexes into them.
    texts, facts
        What the ids and times of the records mean.
    said
        What dumps said of the owners' pages beside owners; nothing of any, where no column of ``SAID`` is asked for.
    """

    rows: Rows
    kernel_records: NDArray[np.void]
    judged: Judgement
    texts: Texts
    facts: Facts
    said: SaidOf

    def slice(self, first: int, stop: int) -> "JudgedRows":
        """Return the runs from *first* on, before *stop*."""
        if first == 0 and stop >= self.rows.runs.size:
            return self
        part = slice(first, stop)
        return replace(self, rows=self.rows.part(part), judged=self.judged.take(part), said=self.said.take(part))

    @property
    def records(self) -> NDArray[np.void]:
        """What is proven of each run: RECORD_DTYPE."""
        return self.rows.records

    @cached_property
    def owned(self) -> NDArray[np.bool_]:
        """Whether each run has an owner."""
        return np.asarray(self.records["state"] == State.OWNED)

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """Whether each run is free."""
        return np.asarray(self.records["state"] == State.FREE)

    @cached_property
    def proven(self) -> "View":
        """What is proven of each run."""
        return View(records=self.records, owned=self.owned, texts=self.texts, facts=self.facts)

    @property
    def kernel(self) -> "View":
        """The kernel's own record of each run; where there is none, any record."""
        row = np.maximum(self.rows.kernel_row, 0)
        records = self.kernel_records[row] if self.kernel_records.size else unknown_records(row.size)
        return View(records=records, owned=np.ones(row.size, np.bool_), texts=self.texts, facts=self.facts)

    def of_zone(self, name: str, kind: pa.DataType) -> pa.Array:
        """Return an attribute of the only zone that spans pages of each run, if it spans all of them; else null."""
        zones = self.facts.zones
        if not zones:
            return pa.nulls(self.rows.runs.size, kind)
        return pa.array([getattr(zone, name) for zone in zones], kind).take(self._zone)

    @cached_property
    def _zone(self) -> pa.Array:
        """Which of the zones of the facts spans each run; null: none does, or several have pages of it."""
        start, stop = self.rows.runs["pfn"], self.rows.runs["pfn"] + self.rows.runs["nr_pages"]
        which, touching = np.full(start.size, -1), np.zeros(start.size, np.int64)
        for index, zone in enumerate(self.facts.zones):
            touching += (start < zone.stop_pfn) & (zone.start_pfn < stop)
            which[(start >= zone.start_pfn) & (stop <= zone.stop_pfn)] = index
        return pa.array(which, mask=(which < 0) | (touching != 1))

    def number(self, name: str, where: NDArray[np.bool_]) -> pa.Array:
        """Return a number of the records; null where it is absent, and where *where* is false."""
        return _number(self.records[name], where)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of n runs: its records, and which of them have an owner."""

    records: NDArray[np.void]
    owned: NDArray[np.bool_]
    texts: Texts
    facts: Facts

    def number(self, name: str) -> pa.Array:
        """Return a number of the owners' records."""
        return _number(self.records[name], self.owned)


_Source = TypeVar("_Source", JudgedRows, View)


class Field(NamedTuple, Generic[_Source]):
    """A column: its name, type and meaning, how it is made, the arrays of ``Texts`` it needs; *said*: dumps tell of it."""

    name: str
    type: pa.DataType
    doc: str
    make: Callable[[_Source], pa.Array]
    texts: tuple[str, ...] = ()
    said: bool = False


def _order(view: View) -> pa.Array:
    return _number(view.records["order"], view.records["state"] != State.UNKNOWN)


def _ts_nsec(view: View) -> pa.Array:
    return _number(owner_ts(view.records, owner_clock(view.facts.clocks)), view.owned)


OWNER_FIELDS: Final[tuple[Field[View], ...]] = (
    Field("state", pa.utf8(), "owned, free or unknown", lambda v: words(v.records["state"], STATE_WORDS)),
    Field("order", pa.int8(), "the block is 2^order pages", _order),
    Field("pid", pa.int32(), "thread id of the owner", lambda v: v.number("pid")),
    Field(
        "tgid", pa.int32(), "process id of the owner; null where it was not recorded", lambda v: v.number("tgid")
    ),
    Field(
        "comm", pa.utf8(), "command name of the owner; advisory",
        lambda v: _text(v.texts.comms, v.records["comm"], v.owned), ("comms",),
    ),
    Field("gfp_mask", pa.int64(), "gfp_t of the allocation", lambda v: v.number("gfp_mask")),
    Field("migratetype", pa.int8(), "MIGRATE_* of the allocation", lambda v: v.number("migratetype")),
    Field("ts_nsec", pa.int64(), "ns, page_owner's clock: when the owner allocated", _ts_nsec),
    Field(
        "stack", pa.utf8(), "stack of the allocation, canonical: innermost first, a frame a line",
        lambda v: _text(v.texts.frames, v.records["stack"], v.owned), ("frames",),
    ),
)  # fmt: skip
"""The columns of each view."""

KERNEL_SAYS: Final = pa.struct([pa.field(field.name, field.type) for field in OWNER_FIELDS])


def _gfp_flags(rows: JudgedRows) -> pa.Array:
    names, where = rows.facts.gfp_names(), rows.facts.recording_at(rows.records["evidence_ts"])
    if not rows.owned.any():
        return pa.nulls(rows.owned.size, pa.utf8())
    masks = np.where(rows.owned, rows.records["gfp_mask"], ABSENT64)
    known, places = np.unique(masks, return_inverse=True)
    both, places = np.unique(places * len(names) + where, return_inverse=True)
    read = [(int(known[code // len(names)]), names[code % len(names)].flags) for code in both.tolist()]
    texts = [None if mask == ABSENT64 else format_gfp(mask, flags) or "none" for mask, flags in read]
    return pa.array(texts, pa.utf8()).take(pa.array(places))


def _proven_ts_nsec(rows: JudgedRows) -> pa.Array:
    """Return null where page_owner stamped a page as early: it never stamped the allocation that was recorded."""
    if not (rows.rows.kernel_row >= 0).any():
        return _ts_nsec(rows.proven)
    stamped_so = (rows.rows.kernel_row >= 0) & (rows.kernel.records["state"] != State.UNKNOWN)
    unstamped = stamped_so & (rows.records["ts_nsec"] == ABSENT64)
    return pc.if_else(pa.array(unstamped), pa.scalar(None, pa.int64()), _ts_nsec(rows.proven))


def _proven(field: Field[View]) -> Field[JudgedRows]:
    make = field.make
    own = _proven_ts_nsec if field.name == "ts_nsec" else lambda rows: make(rows.proven)
    return Field(field.name, field.type, field.doc, own, field.texts)


def _kernel_says(rows: JudgedRows) -> pa.Array:
    if not (rows.rows.kernel_row >= 0).any():
        return pa.nulls(rows.rows.runs.size, KERNEL_SAYS)
    kernel = rows.kernel
    columns = [field.make(kernel) for field in OWNER_FIELDS]
    return pa.StructArray.from_arrays(columns, fields=list(KERNEL_SAYS), mask=pa.array(rows.rows.kernel_row < 0))


def _known(name: str) -> Callable[[JudgedRows], pa.Array]:
    return lambda rows: rows.number(name, rows.owned | rows.free)


def _of_owned(name: str) -> Callable[[JudgedRows], pa.Array]:
    return lambda rows: rows.number(name, rows.owned)


def _of_free(name: str) -> Callable[[JudgedRows], pa.Array]:
    return lambda rows: rows.number(name, rows.free)


def _free_text(name: str, array: str) -> Callable[[JudgedRows], pa.Array]:
    return lambda rows: _text(getattr(rows.texts, array), rows.records[name], rows.free)


def _migrate_reason(rows: JudgedRows) -> pa.Array:
    """Return what the last dump says, or the record where no dump was later."""
    recorded = rows.number("migrate_reason", rows.owned)
    return pc.coalesce(rows.said.number("migrate_reason"), recorded) if rows.said.found.size else recorded


def _reason_names(reasons: pa.Array, names: Sequence[str]) -> pa.Array:
    if reasons.null_count == len(reasons):
        return pa.nulls(len(reasons), pa.utf8())
    known = pc.unique(reasons)
    words_of = [
        None if reason is None or reason < 0 else migrate_reason_name(reason, names) for reason in known.to_pylist()
    ]
    return pa.array(words_of, pa.utf8()).take(pc.index_in(reasons, known))


ROW_FIELDS: Final[tuple[Field[JudgedRows], ...]] = (
    Field("pfn", pa.int64(), "page frame number of the first page of the run", lambda r: pa.array(r.rows.runs["pfn"])),
    Field("nr_pages", pa.int64(), "pages in the run", lambda r: pa.array(r.rows.runs["nr_pages"])),
    *map(_proven, OWNER_FIELDS),
    Field(
        "evidence", pa.utf8(), "observed, baseline or inferred; none for unknown pages",
        lambda r: words(r.records["evidence"], EVIDENCE_WORDS),
    ),
    Field(
        "certain", pa.bool_(), "of state, order, pid, tgid (where recorded), gfp_mask, and ts_nsec within 20 ms",
        lambda r: pa.array(r.judged.certain),
    ),
    Field("uncertain", pa.list_(pa.utf8()), "which of those are not certain", lambda r: r.judged.uncertain()),
    Field("why", pa.utf8(), "why not; empty when certain", lambda r: r.judged.why()),
    Field(
        "kernel_says", KERNEL_SAYS,
        "the kernel's own record, where it is known to be wrong; of state unknown where it has none; else null",
        _kernel_says, ("comms", "frames"),
    ),
    Field(
        "stack_id", pa.int64(), "64-bit id of the stack, the same on every host",
        lambda r: _text(r.texts.stack_ids, r.records["stack"], r.owned), ("stack_ids",),
    ),
    Field("block_pfn", pa.int64(), "first page of the block", _known("block_pfn")),
    Field(
        "alloc_ts", pa.int64(), "ns, trace clock: when the owner allocated; null when only a dump told of it",
        _known("alloc_ts"),
    ),
    Field("evidence_ts", pa.int64(), "ns, trace clock: since when the evidence holds", _known("evidence_ts")),
    Field("begin_ts", pa.int64(), "ns, trace clock: when this state began", _known("begin_ts")),
    Field("begin_seq", pa.int64(), "event (stream_seq) with which this state began", _known("begin_seq")),
    Field("cpu", pa.int16(), "CPU of that event; null: no event of a CPU began it", _known("cpu")),
    Field(
        "how", pa.utf8(), "what began it: alloc, free, split, migrate, baseline, confirmed, ...",
        lambda r: words(r.records["how"], HOW_WORDS),
    ),
    Field("src_pfn", pa.int64(), "page frame number that the contents were migrated from", _of_owned("src_pfn")),
    Field(
        "generation", pa.int32(), "generation of the section: a pfn that came back is not the old page",
        lambda r: pa.array(r.rows.runs["generation"]),
    ),
    Field("last_pid", pa.int32(), "of a free run: thread id of the last owner that was seen", _of_free("pid")),
    Field("last_comm", pa.utf8(), "of a free run: its command name", _free_text("comm", "comms"), ("comms",)),
    Field("last_stack", pa.utf8(), "of a free run: stack of its allocation", _free_text("stack", "frames"), ("frames",)),
    Field("free_pid", pa.int32(), "of a free run: thread id of who freed it", _of_free("free_pid")),
    Field("free_comm", pa.utf8(), "of a free run: its command name", _free_text("free_comm", "comms"), ("comms",)),
    Field(
        "free_stack", pa.utf8(), "of a free run: stack of the free", _free_text("free_stack", "frames"), ("frames",)
    ),
    Field("migrate_reason", pa.int8(), "MR_* of the last migration, from a dump or a probe", _migrate_reason, said=True),
    Field(
        "free_ts_nsec", pa.int64(), "ns, page_owner's clock: the free before this allocation, from a dump",
        _of_owned("free_ts_nsec"),
    ),
    Field("gfp_flags", pa.utf8(), "gfp_mask by the names that the recorded kernel prints", _gfp_flags),
    Field(
        "zone", pa.utf8(), "the zone that spans the run, of those that the recording lists; null: none, or several",
        lambda r: r.of_zone("name", pa.utf8()),
    ),
    Field("node", pa.int32(), "the node of that zone", lambda r: r.of_zone("node", pa.int32())),
    Field(
        "dump_ts", pa.int64(),
        "ns, trace clock: end of the last dump that listed this allocation; what follows was so then, and may have changed since",
        lambda r: r.said.number("ts"), said=True,
    ),
    Field(
        "cgroup", pa.utf8(), "memory cgroup that the block was charged to, as that dump says",
        lambda r: r.said.text("cgroup"), said=True,
    ),
    Field(
        "memcg_flags", pa.int8(), "1 a slab page, 2 charged via objcg, 4 to an offline memcg; summed; as that dump says",
        lambda r: r.said.number("memcg_flags"), said=True,
    ),
    Field(
        "block_migratetype", pa.int8(), "MIGRATE_* of the pageblock of the block's first page, as that dump says",
        lambda r: r.said.number("block_migratetype"), said=True,
    ),
    Field(
        "block_type", pa.utf8(), "the name of that type: Movable, CMA, ...",
        lambda r: r.said.name("block_migratetype", r.facts.rules.migratetype_names), said=True,
    ),
    Field(
        "page_flags", pa.int64(), "flags of the block's first page, as that dump says; 64 bits as a signed number",
        lambda r: r.said.number("page_flags"), said=True,
    ),
    Field(
        "page_flag_names", pa.utf8(), "what that dump has in brackets behind them: lru, slab, node=0, ... joined by |",
        lambda r: r.said.text("page_flag_names"), said=True,
    ),
    Field(
        "migrate_reason_name", pa.utf8(), "the name of migrate_reason: compaction, ...",
        lambda r: _reason_names(_migrate_reason(r), r.facts.rules.migrate_reason_names), said=True,
    ),
)  # fmt: skip

SAID: Final = frozenset(field.name for field in ROW_FIELDS if field.said)
"""The columns that dumps tell of."""

_FIELD: Final[Mapping[str, Field[JudgedRows]]] = {field.name: field for field in ROW_FIELDS}

ROW_SCHEMA: Final = pa.schema([pa.field(f.name, f.type, metadata={"doc": f.doc}) for f in ROW_FIELDS])


def texts_of(columns: Collection[str]) -> frozenset[str]:
    """Return the arrays of ``Texts`` that *columns* of ``ROW_SCHEMA`` need."""
    return _texts_of(tuple(columns))


@lru_cache(16)
def _texts_of(columns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for column in columns for name in _FIELD[column].texts)


def to_table(rows: JudgedRows, columns: Sequence[str] = ROW_SCHEMA.names) -> pa.Table:
    """Return *columns* of ``ROW_SCHEMA``, of judged runs."""
    return pa.table([_FIELD[name].make(rows) for name in columns], schema=_schema(tuple(columns)))


@lru_cache(16)
def _schema(columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([ROW_SCHEMA.field(name) for name in columns])


def unknown_records(size: int) -> NDArray[np.void]:
    """Return records of unknown state, in which every value is absent."""
    records = np.zeros(size, RECORD_DTYPE)
    for name in records.dtype.names or ():
        if name in ("state", "evidence", "how", "pages", "unordered"):
            continue
        text = name.endswith(("comm", "stack"))
        records[name] = -1 if text else _absent_of(records.dtype[name])
    return records


def words(column: NDArray[np.int8], named: Mapping[int, str]) -> pa.Array:
    """Return the word of each code of a column: text."""
    if column.size == 1:
        return pa.array([named[int(column[0])]], pa.utf8())
    codes, names = _codes_and_names(tuple(named.items()))
    return names.take(pa.array(np.searchsorted(codes, column)))


@cache
def _codes_and_names(named: tuple[tuple[int, str], ...]) -> tuple[NDArray[np.int64], pa.Array]:
    return np.array([code for code, _ in sorted(named)]), pa.array([name for _, name in sorted(named)], pa.utf8())


def _number(column: NDArray[np.generic], where: NDArray[np.bool_]) -> pa.Array:
    if not where.any():
        return pa.nulls(where.size, pa.from_numpy_dtype(column.dtype))
    return pa.array(np.ascontiguousarray(column), mask=~where | (column == _absent_of(column.dtype)))


def _text(texts: pa.Array, ids: NDArray[np.int32], where: NDArray[np.bool_]) -> pa.Array:
    """Return the texts of some ids; null where there is none, and where *where* is false."""
    there = where & (ids >= 0)
    if not there.any() and texts.type != pa.null():
        return pa.nulls(ids.size, texts.type)
    return texts.take(pa.array(np.ascontiguousarray(ids), mask=~there))


def _absent_of(dtype: np.dtype[np.generic]) -> int:
    return {8: ABSENT64, 4: ABSENT32, 2: ABSENT16, 1: ABSENT8}[dtype.itemsize]
