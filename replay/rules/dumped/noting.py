"""Noting what a page_owner dump says of pages beside their owners, once the dump has been applied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import StackTable, TextTable
from pagetrail.replay.fold.records.held import held
from pagetrail.replay.fold.tables import Tables
from pagetrail.replay.rules.dumped.attribution import ATTRIBUTED_BY, head_of, is_of_the_same_allocation
from pagetrail.replay.rules.dumped.said import Said, SaidRows, distinct_rows, interned, kept, latest, no_values
from pagetrail.replay.rules.dumps.page_set import PageSet
from pagetrail.replay.rules.page_owner_baseline import handles_of
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import absent
from pagetrail.schemas.owner import ABSENT64, STAMP_DTYPE

_ROWS_AT_ONCE: Final = 1 << 16
"""Pages that are looked up at once: on the way, each takes a hundred bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """A dump: its records, the stream_seq and time (trace clock, ns) of its end, and when its reading began."""

    batch: EventBatch
    seq: int
    ts: int
    window_begin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The pages of a stream and the texts behind their ids."""

    tables: Tables
    comms: TextTable
    stacks: StackTable


def said_by(dump: Dump, pages: PageSet, known: Known, own: TextTable) -> Said:
    """Return what *dump* says of *pages*: those whose record in it is the one that their owner had at its end.

    Its texts are taken into *own*. A page that the dump lists twice is left out. What the span of a page says too is not said
    again.
    """
    rows = _listed_once(dump.batch.column("pfn").astype(np.int64), pages)
    pfn = np.asarray(dump.batch.column("pfn")[rows], np.int64)
    values = no_values(rows.size)
    values["seq"], values["ts"], values["window_begin"] = dump.seq, dump.ts, dump.window_begin
    for name in ("page_flags", "memcg_flags", "block_migratetype", "migrate_reason"):
        values[name] = dump.batch.column(name)[rows]
    for name in ("cgroup", "page_flag_names"):
        values[name] = _own(dump.batch, name, rows, own)
    handle = _record_of(known.tables, pfn)
    t, none = known.tables, handle < 0
    tgid = dump.batch.column("tgid")[rows]
    values["tgid"] = np.where(none | (held(t, "tgid", handle) != tgid), tgid, absent("tgid"))
    for name, table, same in (("comm", known.comms, known.comms.texts), ("stack", known.stacks, known.stacks.raw)):
        texts, column = dump.batch.texts.get(name, ()), dump.batch.column(name)[rows]
        there = ~none & (held(t, name, handle) == interned(table, texts, column))
        there &= _is_the_form(texts, column, table, same)
        values[name] = interned(own, texts, np.where(there, -1, column))
    distinct, index = distinct_rows(values)
    return Said(SaidRows(pfn, index), distinct, _stamps(dump, rows, handle, t), own)


def without_ended(said: Said, tables: Tables) -> Said:
    """Return what is said of pages that still have the owner whom the last dump saw: what a later segment needs."""
    said = kept(said, latest(said))
    rows = range(0, said.rows.pfn.size, _ROWS_AT_ONCE)
    lasting = [_lasts(said, slice(start, start + _ROWS_AT_ONCE), tables) for start in rows]
    return kept(said, np.concatenate([np.zeros(0, np.bool_), *lasting]))


def _lasts(said: Said, some: slice, tables: Tables) -> NDArray[np.bool_]:
    """Return which of some rows are of pages that still have the owner whom their dump saw."""
    pfn, which = said.rows.pfn[some], said.rows.said[some]
    seq, since = said.values["seq"][which], said.values["window_begin"][which]
    lasting = np.zeros(pfn.size, np.bool_)
    for view in (tables.owner, tables.kernel):
        handle = handles_of(tables, view, pfn)
        there = np.flatnonzero(handle >= 0)
        records = {name: held(tables, name, handle[there]) for name in (*ATTRIBUTED_BY, "order")}
        same = is_of_the_same_allocation(records, seq[there], since[there])
        lasting[there] |= same & (head_of(pfn[there], records["order"]) == pfn[there])
    return lasting


def _listed_once(listed: NDArray[np.int64], pages: PageSet) -> NDArray[np.int64]:
    """Return the rows of *pages* in the order of their pfn, without those that are listed twice."""
    order = np.argsort(listed, kind="stable")
    again = listed[order][1:] == listed[order][:-1]
    once = ~(np.append(again, False) | np.append(False, again)) if order.size else np.zeros(0, np.bool_)
    rows = order[once]
    return np.asarray(rows[pages.has(listed[rows])])


def _record_of(t: Tables, pfn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the handle of the record that the kernel has of each page; -1: none."""
    kernel = handles_of(t, t.kernel, pfn)
    return np.where(kernel >= 0, kernel, handles_of(t, t.owner, pfn))


def _own(batch: EventBatch, name: str, rows: NDArray[np.int64], texts: TextTable) -> NDArray[np.int32]:
    return interned(texts, batch.texts.get(name, ()), batch.column(name)[rows])


def _is_the_form(
    texts: Sequence[str], column: NDArray[np.generic], table: TextTable | StackTable, forms: Sequence[str]
) -> NDArray[np.bool_]:
    """Return whether each text is the form that *table* keeps of it: stacks with the same functions have one."""
    same = np.ones(len(texts) + 1, np.bool_)
    for index in np.unique(column).tolist():
        same[index] = index < 0 or forms[table.intern(texts[index])] == texts[index]
    return np.asarray(same[column])


def _stamps(dump: Dump, rows: NDArray[np.int64], handle: NDArray[np.int64], t: Tables) -> NDArray[np.void]:
    """Return the times of those *rows* whose record has others."""
    names = ("ts_nsec", "free_ts_nsec")
    own = {name: dump.batch.column(name)[rows] for name in names}
    other = (handle < 0) | np.any([held(t, name, handle) != own[name] for name in names], axis=0)
    said = np.flatnonzero(other & ((own["ts_nsec"] != ABSENT64) | (own["free_ts_nsec"] != ABSENT64)))
    stamps = np.zeros(said.size, STAMP_DTYPE)
    stamps["pfn"], stamps["seq"] = dump.batch.column("pfn")[rows[said]], dump.seq
    for name in names:
        stamps[name] = own[name][said]
    return stamps
