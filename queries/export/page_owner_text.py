"""The kernel's own text of page_owner at an instant: what ``cat /sys/kernel/debug/page_owner`` would have printed.

Source: mm/page_owner.c, print_page_owner and read_page_owner (Linux 5.10, 6.1, 6.12, 7.2): one record for every page whose pfn is
aligned to the order of its owner's block; free pages have none. The stream's release chooses the form. Where a dump listed the
allocation, the record is that of the dump. Elsewhere page flags and pageblock types are not known: they are printed as 0 and as the
page's own type.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.queries.core.doubts import doubts_at
from pagetrail.queries.core.filters import NO_FILTER, Filters, Selection, select, touching, within
from pagetrail.queries.core.instant import Instant, Instants
from pagetrail.queries.core.rows import parts_of
from pagetrail.queries.core.runs import heads, unlisted
from pagetrail.queries.core.said import SaidOf, said_at, said_of, said_texts
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.core.texts import Texts
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.linux.gfp import format_gfp, gfp_migratetype
from pagetrail.schemas.linux.migrate import migrate_reason_name
from pagetrail.schemas.linux.page_owner import memcg_lines
from pagetrail.schemas.owner import ABSENT64
from pagetrail.schemas.structs import taken

_BATCH: Final = 1 << 14
"""Records in memory as Python objects at once."""


def page_owner_records(stream: Stream, at: Instant, filters: Filters = NO_FILTER) -> Iterator[str]:
    """Yield the records of the dump in the kernel's view, each with the empty line after it.

    *filters* select records by the page that each is printed for, and by what it says.
    """
    selected = select(filters, stream.facts)
    doubts, said_words = doubts_at(stream, at), said_texts(stream, at)
    printer, texts = _Printer(stream.facts), None
    for sections in parts_of(stream, at, selected.sections):
        wanted = {"comms", "raw"} | selected.texts if texts is None else ()
        runs, records, read = stream.rows_at(at, sections=sections, texts=wanted)
        texts = read if texts is None else texts
        near = doubts if sections is None else doubts[touching(doubts, sections)]
        pfns, rows = _with_records(stream, at, selected, texts, runs, records, near)
        said = said_of(said_at(stream, at, runs, records, said_words), pfns, taken(records, rows))
        yield from _printed(printer, selected, _Listed(pfns=pfns, records=records, rows=rows, said=said, texts=texts))


def _with_records(
    stream: Stream,
    at: Instant,
    selected: Selection,
    texts: Texts,
    runs: NDArray[np.void],
    records: NDArray[np.void],
    doubts: NDArray[np.void],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (pfn, row) of every page that has a record and is selected, by pfn."""
    pfns, rows = heads(runs, records)
    kept = selected.keeps(records, texts)[rows]
    proven = runs["kernel_view"][rows] == 0
    kept &= ~(proven & unlisted(pfns, taken(records, rows), Instants.of([at] * pfns.size), stream.facts_at(at), doubts))
    if selected.ranges is not None:
        kept &= within(pfns, selected.ranges)
    return pfns[kept], rows[kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """The pages that have a record, the index of each in *records*, and what dumps said of it."""

    pfns: NDArray[np.int64]
    records: NDArray[np.void]
    rows: NDArray[np.int64]
    said: SaidOf
    texts: Texts


def _printed(printer: "_Printer", selected: Selection, listed: _Listed) -> Iterator[str]:
    for first in range(0, listed.pfns.size, _BATCH):
        which = np.arange(first, min(first + _BATCH, listed.pfns.size))
        said = listed.said.take(which)
        if selected.asks_dumps:
            which = which[selected.keeps_said(said.text("cgroup"), said.number("block_migratetype"))]
            said = listed.said.take(which)
        fields = _fields(printer.facts, taken(listed.records, listed.rows[which]), said, listed.texts)
        for pfn, row in zip(listed.pfns[which].tolist(), pa.table(fields).to_pylist(), strict=True):
            yield printer.record(pfn, row)


def _fields(facts: Facts, records: NDArray[np.void], said: SaidOf, texts: Texts) -> dict[str, pa.Array]:
    """Return the fields of each record: as the dump has them, else as replay has them."""

    def known(name: str) -> pa.Array:
        column = np.ascontiguousarray(records[name])
        return pa.array(column, mask=column == np.iinfo(column.dtype).min)

    def text(name: str, of: pa.Array) -> pa.Array:
        column = np.ascontiguousarray(records[name])
        return said.text(name).fill_null(of.take(pa.array(column, mask=column < 0))) if len(of) else said.text(name)

    listed = said.index >= 0
    said_ts = said.number("ts").fill_null(0).to_numpy().astype(np.int64)
    stamps = owner_ts(records, owner_clock(facts.clocks))
    stamps = np.where(stamps != ABSENT64, stamps, records["alloc_ts"])
    return {
        "listed": pa.array(listed),
        "recording": pa.array(facts.recording_at(np.where(listed, said_ts, records["evidence_ts"]))),
        "order": known("order"), "pid": known("pid"), "gfp_mask": known("gfp_mask"),
        "tgid": said.number("tgid").fill_null(known("tgid")),
        "ts_nsec": said.number("ts_nsec").fill_null(pa.array(stamps, mask=stamps == ABSENT64)),
        "free_ts_nsec": said.number("free_ts_nsec").fill_null(known("free_ts_nsec")),
        "migrate_reason": said.number("migrate_reason").fill_null(known("migrate_reason")),
        "comm": text("comm", texts.comms), "stack": text("stack", texts.raw),
        "block_migratetype": said.number("block_migratetype"), "page_flags": said.number("page_flags"),
        "page_flag_names": said.text("page_flag_names"), "memcg_flags": said.number("memcg_flags"),
        "cgroup": said.text("cgroup"),
    }  # fmt: skip


class _Printer:
    """Prints records as one kernel does."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._names, self._rules = [names.flags for names in facts.gfp_names()], facts.rules
        self._shift = facts.pageblock_order
        self._gfp_texts: dict[tuple[int, int], str] = {}

    def record(self, pfn: int, row: dict[str, Any]) -> str:
        """Return a record, with the empty line after it."""
        lines = [self._header(row), self._page(pfn, row)]
        if row["stack"] is not None:
            lines += [f" {frame}" for frame in row["stack"].split("\n")]
        reason = row["migrate_reason"]
        if reason is not None and reason >= 0:
            name = migrate_reason_name(reason, self._rules.migrate_reason_names)
            lines.append(f"Page has been migrated, last migrate reason: {name}")
        lines += memcg_lines(row["memcg_flags"] or 0, row["cgroup"])
        return "\n".join(lines) + "\n\n"

    def _header(self, row: dict[str, Any]) -> str:
        """Return the first line: of a record that a dump has, the fields that it has there."""
        mask = row["gfp_mask"] or 0
        parts = [
            f"Page allocated via order {row['order']}, mask {hex(mask)}({self._gfp_names(mask, row['recording'])})"
        ]
        if not self._rules.page_owner_has_times:
            return parts[0]
        listed = row["listed"]
        if not listed or row["pid"] is not None:
            parts.append(f"pid {_or(row['pid'], -1)}")
            if not listed or row["tgid"] is not None:
                parts[-1] += f", tgid {_or(row['tgid'], -1)} ({row['comm'] or ''})"
        if not listed or row["ts_nsec"] is not None:
            parts.append(f"ts {max(_or(row['ts_nsec'], 0), 0)} ns")
        if row["free_ts_nsec"] is not None if listed else self._rules.page_owner_has_free_ts:
            parts.append(f"free_ts {_or(row['free_ts_nsec'], 0)} ns")
        return ", ".join(parts)

    def _gfp_names(self, mask: int, recording: int) -> str:
        """Return the names of a mask's flags, as the kernel of the recording that has the mask prints them."""
        key = mask, recording
        if key not in self._gfp_texts:
            self._gfp_texts[key] = format_gfp(mask, self._names[recording])
        return self._gfp_texts[key]

    def _page(self, pfn: int, row: dict[str, Any]) -> str:
        names = self._rules.migratetype_names
        kind, block = names[gfp_migratetype(row["gfp_mask"] or 0)], row["block_migratetype"]
        of_block = names[block] if block is not None and 0 <= block < len(names) else kind
        flags = _or(row["page_flags"], 0) & ((1 << 64) - 1)
        number = hex(pfn) if self._rules.page_owner_has_hex_pfn else str(pfn)
        return (
            f"PFN {number} type {kind} Block {pfn >> self._shift} type {of_block} "
            f"Flags {hex(flags)}({row['page_flag_names'] or ''})"
        )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
