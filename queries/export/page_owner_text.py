"""The kernel's own text of page_owner at an instant: what ``cat /sys/kernel/debug/page_owner`` would have printed.

Source: mm/page_owner.c, print_page_owner and read_page_owner (Linux 6.1): one record for every page whose pfn is aligned to the
order of its owner's block; free pages have none. A recording does not have page flags and pageblock types: they are printed as 0
and as the page's own type.
"""

from collections.abc import Iterator

import numpy as np

from pagetrail.queries.core.filters import NO_FILTER, Filters, select, within
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.runs import heads
from pagetrail.queries.core.silence import unlisted
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.facts.clock import owner_clock, owner_ts
from pagetrail.replay.store.read import arrays
from pagetrail.schemas.linux.gfp import format_gfp, gfp_migratetype
from pagetrail.schemas.linux.migrate import migrate_reason_name
from pagetrail.schemas.linux.mmzone import PAGEBLOCK_ORDER
from pagetrail.schemas.owner import ABSENT8, ABSENT32, ABSENT64
from pagetrail.schemas.structs import taken


def page_owner_records(stream: Stream, at: Instant, filters: Filters = NO_FILTER) -> Iterator[str]:
    """Yield the records of the dump in the kernel's view, each with the empty line after it.

    *filters* select records by the page that each is printed for, and by what it says.
    """
    selected = select(filters, stream.facts)
    found, texts = stream.rows_at(at, sections=selected.sections, texts={"comms", "raw"} | selected.texts)
    runs, records = arrays(found)
    comms, raw = texts.comms.to_pylist(), texts.raw.to_pylist()
    clock = owner_clock(stream.facts.clocks)
    stamps = owner_ts(records, clock)
    names, rules = stream.facts.gfp_flags, stream.facts.rules
    shift = stream.facts.boot.pageblock_order if stream.facts.boot else None
    gfp_texts: dict[int, str] = {}
    pfns, rows = heads(runs, records)
    listed = selected.keeps(records, texts)[rows]
    proven = runs["kernel_view"][rows] == 0
    listed &= ~(proven & unlisted(pfns, taken(records, rows), at, stream.facts, stream.doubts_at(at)))
    if selected.ranges is not None:
        listed &= within(pfns, selected.ranges)
    for pfn, row in zip(pfns[listed].tolist(), rows[listed].tolist(), strict=True):
        r = records[row]
        gfp = int(r["gfp_mask"])
        known = gfp != ABSENT64
        mask = gfp if known else 0
        if mask not in gfp_texts:
            gfp_texts[mask] = format_gfp(mask, names) if mask else ""
        comm = comms[r["comm"]] if r["comm"] >= 0 else ""
        stamp = int(stamps[row]) if stamps[row] != ABSENT64 else int(r["alloc_ts"])
        kind = rules.migratetype_names[gfp_migratetype(mask)]
        who = f"pid {_or(r['pid'], -1)}, tgid {_or(r['tgid'], -1)} ({comm})"
        when = f"ts {max(stamp, 0)} ns, free_ts {_free_ts(r)} ns"
        lines = [
            f"Page allocated via order {r['order']}, mask {hex(mask)}({gfp_texts[mask]}), {who}, {when}",
            f"PFN {pfn} type {kind} Block {pfn >> (shift or PAGEBLOCK_ORDER)} type {kind} Flags 0x0()",
        ]
        if r["stack"] >= 0:
            lines += [f" {frame}" for frame in raw[r["stack"]].split("\n")]
        if r["migrate_reason"] != ABSENT8 and r["migrate_reason"] >= 0:
            reason = migrate_reason_name(int(r["migrate_reason"]), rules.migrate_reason_names)
            lines.append(f"Page has been migrated, last migrate reason: {reason}")
        yield "\n".join(lines) + "\n\n"


def _or(value: np.int32, default: int) -> int:
    return default if value == ABSENT32 else int(value)


def _free_ts(record: np.void) -> int:
    return 0 if record["free_ts_nsec"] == ABSENT64 else int(record["free_ts_nsec"])
