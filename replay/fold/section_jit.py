"""How hotplug, and the kernel's own files, change the pages of a section.

Dimensions as in ``tables.py``; m = entries of a baseline.
"""

import numpy as np

from pagetrail.replay.fold.ghost_jit import is_early_stamp, keep_ghost
from pagetrail.replay.fold.notice_jit import doubt
from pagetrail.replay.fold.options import OPT_GFP_COMP
from pagetrail.replay.fold.records.record_jit import (
    begin_now,
    begin_seq_of,
    begin_ts_of,
    blank,
    close,
    copy_record,
    draft_of,
    evidence_ts_of,
    open_owner,
    run_length,
    take_record,
)
from pagetrail.replay.fold.room_jit import has_room
from pagetrail.replay.fold.tables import LIVE, SPARE
from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT8, ABSENT16, ABSENT64, DOUBT_BASELINE, Evidence, How, State

# What to do with one entry of a baseline.
LEAVE, CONFIRM, SET, KERNEL_VIEW = range(4)

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_BASELINE, _INFERRED = int(Evidence.BASELINE), int(Evidence.INFERRED)
_H_BASELINE, _H_CONFIRMED, _H_CORRECTED = int(How.BASELINE), int(How.CONFIRMED), int(How.CORRECTED)
_H_EARLY, _H_UNLISTED = int(How.EARLY), int(How.UNLISTED)
_OBSERVED = int(Evidence.OBSERVED)


@jit
def place_runs(t, pfn, nr_pages, kernel_view, handle):
    """Let runs of pages (n,), each within a section that is there, refer to records in a view."""
    pages = t.owner.shape[1]
    for i in range(pfn.size):
        section_nr = pfn[i] // pages
        slot = t.slot[section_nr]
        row = t.owner[slot] if kernel_view[i] == 0 else t.kernel[slot]
        first = pfn[i] - section_nr * pages
        row[first : first + nr_pages[i]] = handle[i]
        t.records[handle[i]]["pages"] += nr_pages[i]


@jit
def close_section(t, slot, base, generation, how):
    """End every span of a section whose extension ends.

    Source: mm/page_ext.c, offline_page_ext (Linux 6.1).
    """
    for view in range(2):
        row = t.owner[slot] if view == 0 else t.kernel[slot]
        i = 0
        while i < row.size:
            if row[i] < 0:
                i += 1
                continue
            length = run_length(row, i, row.size)
            close(t, row[i], base + i, length, generation, how, view)
            row[i : i + length] = -1
            i += length


@jit
def apply_baseline(t, o, b, action, early, seq, ts, window_begin, since, start):
    """Apply entries [start, m) of a page_owner dump; return the entry at which room ran out, or m.

    CONFIRM renews the span that is there, SET gives the block the dump's owner, KERNEL_VIEW keeps the proven state and puts
    the dump's record beside it. Pages touched at or after *since* are left alone: their entries in the dump prove nothing. The
    evidence of a dump is as old as *window_begin*, when its reading began.
    """
    pages = t.owner.shape[1]
    for i in range(start, b.pfn.size):
        if action[i] == LEAVE:
            continue
        nr = min(np.int64(1) << np.int64(b.order[i]), np.int64(pages))  # of a larger block, this section's part
        section_nr = b.pfn[i] // pages
        first = b.pfn[i] - section_nr * pages
        stop = min(first + nr, pages)
        if not has_room(t, nr):
            return i
        slot = t.slot[section_nr]
        generation = t.generation[section_nr]
        base = section_nr * pages
        row = t.owner[slot]
        if action[i] == CONFIRM:
            confirm(t, o, b, i, row, first, stop, base, generation, seq, ts, window_begin)
        elif action[i] == KERNEL_VIEW:
            kernel_row = t.kernel[slot]
            j = first
            while j < stop:
                length = run_length(kernel_row, j, stop)
                if kernel_row[j] >= 0:
                    close(t, kernel_row[j], base + j, length, generation, _H_CORRECTED, 1)
                    kernel_row[j : j + length] = -1
                j += length
            handle = from_entry(t, b, i, seq, ts, window_begin, _H_EARLY)
            t.records[handle]["pages"] = stop - first
            kernel_row[first:stop] = handle
        else:
            set_owner(
                t,
                o,
                b,
                i,
                row,
                t.kernel[slot],
                first,
                stop,
                base,
                generation,
                seq,
                ts,
                window_begin,
                since,
                early[i],
            )
    return b.pfn.size


@inner
def confirm(t, o, b, i, row, first, stop, base, generation, seq, ts, window_begin):
    """Renew the span of a block where the dump agrees: its evidence is now the dump, which was read from window_begin on."""
    handle = row[first]
    if (b.gfp_mask[i] & o[OPT_GFP_COMP]) == 0 or b.migrate_reason[i] >= 0:
        stop = first + 1  # a dump lists heads only: it does not confirm these tails
    target = take_record(t)
    copy_record(t, target, handle, base + first)
    open_owner(t, target)
    begin_now(t, target, seq, ts)
    r, d = t.records[target], draft_of(t, target)
    r["how"] = _H_CONFIRMED
    if r["evidence"] == _INFERRED:
        r["evidence"] = _BASELINE
    r["cpu"] = ABSENT16
    r["unordered"] = 0
    r["migrate_reason"] = b.migrate_reason[i]
    d["evidence_ts"] = window_begin
    if b.ts_nsec[i] != ABSENT64:
        d["ts_nsec"] = b.ts_nsec[i]
    d["free_ts_nsec"] = b.free_ts_nsec[i]
    if b.tgid[i] >= 0:
        d["tgid"] = b.tgid[i]
    if b.comm[i] >= 0:
        d["comm"] = b.comm[i]
    if d["stack"] < 0:
        d["stack"] = b.stack[i]
    j = first
    while j < stop:
        length = run_length(row, j, stop)
        if row[j] == handle:
            close(t, handle, base + j, length, generation, _H_CONFIRMED, 0)
            row[j : j + length] = target
            r["pages"] += length
        j += length


@inner
def from_entry(t, b, i, seq, ts, window_begin, how):
    """Return a record with the fields of entry *i* of the dump."""
    handle = take_record(t)
    blank(t, handle)
    begin_now(t, handle, seq, ts)
    r, d = t.records[handle], draft_of(t, handle)
    r["order"] = b.order[i]
    r["state"] = _OWNED
    r["evidence"] = _BASELINE
    r["how"] = how
    r["migrate_reason"] = b.migrate_reason[i]
    d["block_pfn"] = b.pfn[i] & -(np.int64(1) << np.int64(b.order[i]))
    d["evidence_ts"] = window_begin
    d["pid"] = b.pid[i]
    d["tgid"] = b.tgid[i]
    d["comm"] = b.comm[i]
    d["gfp_mask"] = b.gfp_mask[i]
    d["migratetype"] = b.migratetype[i]
    d["stack"] = b.stack[i]
    d["ts_nsec"] = b.ts_nsec[i]
    d["free_ts_nsec"] = b.free_ts_nsec[i]
    return handle


@inner
def set_owner(t, o, b, i, row, kernel_row, first, stop, base, generation, seq, ts, window_begin, since, early):
    """Give the dump's owner to every page of a block that was not touched while the dump was read.

    A dump lists heads only. The tails certainly have the head's owner only in a compound block that was not migrated: those of a
    migrated huge page keep the migrator's record, and a non-compound block may be freed in part (mm/page_alloc.c, __free_pages).
    Pages of the block that have an entry of their own in the dump are left to that entry.
    """
    handle = from_entry(t, b, i, seq, ts, window_begin, _H_EARLY if early else _H_BASELINE)
    if early and row[first] >= 0 and t.records[row[first]]["state"] == _FREED:
        t.records[handle]["evidence"] = (
            _INFERRED  # a ghost, or allocated in bulk without an event before page_owner started
        )
    whole = (b.gfp_mask[i] & o[OPT_GFP_COMP]) != 0 and b.migrate_reason[i] < 0
    tails = handle
    if stop - first > 1 and not whole:
        tails = from_entry(t, b, i, seq, ts, window_begin, _H_BASELINE)
        t.records[tails]["evidence"] = _INFERRED
    j = first
    listed = i + 1
    while j < stop:
        while listed < b.pfn.size and b.pfn[listed] < base + j:
            listed += 1
        if listed < b.pfn.size and b.pfn[listed] == base + j and j > first:
            j += np.int64(1) << np.int64(b.order[listed])
            continue
        border = stop
        if listed < b.pfn.size and b.pfn[listed] > base + j:
            border = min(stop, b.pfn[listed] - base)
        length = 1 if j == first and tails != handle else run_length(row, j, border)
        mine = handle if j == first else tails
        there = row[j]
        if there >= 0 and begin_ts_of(t, there) >= since:
            j += length
            continue
        if there >= 0:
            doubt(t, base + j, length, evidence_ts_of(t, there), ts, seq, DOUBT_BASELINE)
            close(t, there, base + j, length, generation, _H_CORRECTED, 0)
        for k in range(j, j + length):
            if kernel_row[k] >= 0:
                close(t, kernel_row[k], base + k, 1, generation, _H_CORRECTED, 1)
                kernel_row[k] = -1
        row[j : j + length] = mine
        t.records[mine]["pages"] += length
        j += length
    if tails != handle and t.records[tails]["pages"] == 0:
        release_unused(t, tails)
    if t.records[handle]["pages"] == 0:
        release_unused(t, handle)


@inner
def release_unused(t, handle):
    """Give back a record that no page uses."""
    t.records[handle]["pages"] = 0
    t.spare[t.counts[SPARE]] = handle
    t.counts[SPARE] += 1
    t.counts[LIVE] -= 1


@inner
def rests_on_a_dump(record):
    """Whether a block is owned because a dump listed it, and no event of it was seen since."""
    how = record["how"]
    by_dump = how in (_H_BASELINE, _H_EARLY, _H_CONFIRMED)
    return record["state"] == _OWNED and record["evidence"] != _OBSERVED and by_dump


@jit
def apply_silence(t, slot, base, generation, listed, seq, ts):
    """End what rests on an earlier dump, where a whole dump is silent: the pages are unknown from now on.

    *listed* (pages,), bool: the pages of the blocks that the dump lists, tails included: it lists heads only.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    for view in range(2):
        row = t.owner[slot] if view == 0 else t.kernel[slot]
        i = np.int64(0)
        while i < row.size:
            length = run_length(row, i, row.size)
            handle = row[i]
            if handle < 0 or begin_seq_of(t, handle) == seq or not rests_on_a_dump(t.records[handle]):
                i += length
                continue
            stop = i + 1
            while stop < i + length and listed[stop] == listed[i]:
                stop += 1
            if not listed[i]:
                if view == 0:
                    doubt(t, base + i, stop - i, evidence_ts_of(t, handle), ts, seq, DOUBT_BASELINE)
                close(t, handle, base + i, stop - i, generation, _H_UNLISTED, view)
                row[i:stop] = -1
            i = stop


@jit
def apply_free(t, o, slot, base, generation, first, stop, seq, ts, window_begin, since, renew_before):
    """Make pages [first, stop) of a section free, as kpageflags shows them, where they were not touched meanwhile."""
    row = t.owner[slot]
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        free = handle >= 0 and t.records[handle]["state"] == _FREED
        touched = handle >= 0 and begin_ts_of(t, handle) >= since
        sure = free and t.records[handle]["unordered"] == 0
        if touched or (sure and evidence_ts_of(t, handle) >= renew_before):
            i += length
            continue
        how = _H_BASELINE
        if handle >= 0:
            how = _H_CONFIRMED if free else _H_CORRECTED
            if not free:
                doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, DOUBT_BASELINE)
                if is_early_stamp(t, o, handle):
                    keep_ghost(t, slot, base, i, length, handle, seq, ts)
        target = take_record(t)
        if handle >= 0:
            copy_record(t, target, handle, base + i)
            close(t, handle, base + i, length, generation, how, 0)
        else:
            blank(t, target)
            t.records[target]["order"] = ABSENT8
            draft_of(t, target)["block_pfn"] = base + i
        r = t.records[target]
        r["pages"] = length
        r["state"] = _FREED
        r["how"] = _H_CONFIRMED if free else _H_BASELINE
        if not free:
            r["evidence"] = _BASELINE
            r["order"] = ABSENT8
        r["cpu"] = ABSENT16
        r["unordered"] = 0
        begin_now(t, target, seq, ts)
        draft_of(t, target)["evidence_ts"] = window_begin
        row[i : i + length] = target
        i += length


@jit
def apply_split(t, slot, base, generation, first, stop, seq, ts, how):
    """Set order 0 on the owned pages of a block that is known to have been split: inferred, not observed."""
    row = t.owner[slot]
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        if handle >= 0 and t.records[handle]["state"] == _OWNED and t.records[handle]["order"] > 0:
            target = take_record(t)
            copy_record(t, target, handle, base + i)
            begin_now(t, target, seq, ts)
            r = t.records[target]
            r["pages"] = length
            r["order"] = 0
            r["evidence"] = _INFERRED
            r["how"] = how
            r["cpu"] = ABSENT16
            close(t, handle, base + i, length, generation, how, 0)
            row[i : i + length] = target
        i += length
