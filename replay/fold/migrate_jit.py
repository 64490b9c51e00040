"""Migration: the owner of a page is copied to another page, as mm/page_owner.c does (Linux 5.10 to 7.2).

Dimensions as in ``tables.py``.
"""

import numpy as np

from pagetrail.replay.fold.end_jit import used_unseen
from pagetrail.replay.fold.notice_jit import doubt_copy, is_doubted, note
from pagetrail.replay.fold.options import OPT_MIGRATION_WRITES_TAILS, OPT_SKEW
from pagetrail.replay.fold.records.record_jit import (
    begin_now,
    begin_seq_of,
    blank,
    block_pfn_of,
    close,
    copy_record,
    draft_of,
    forget_kernel_view,
    open_owner,
    release,
    run_length,
    take_record,
)
from pagetrail.replay.fold.skew_jit import races
from pagetrail.schemas.jit import inner
from pagetrail.schemas.linux.releases import Either
from pagetrail.schemas.owner import ABSENT8, Anomaly, Evidence, How, State

_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_OBSERVED, _INFERRED = int(Evidence.OBSERVED), int(Evidence.INFERRED)
_H_MIGRATE, _H_REASON = int(How.MIGRATE), int(How.MIGRATE_REASON)
_A_SOURCE = int(Anomaly.MIGRATE_FROM_UNKNOWN)
_NO, _YES = int(Either.NO), int(Either.YES)


@inner
def migrate_head(t, o, slot, i, pfn, generation, src_slot, src_i, src_pfn, seq, ts, cpu):
    """Copy the owner of the old block to the new one: to its head page, whose tails keep the migrator's record, or to all pages.

    Source: mm/page_owner.c, __folio_copy_owner (Linux 6.1: the head; 6.12: every page of the block) copies pid, tgid, comm, ts,
    gfp_mask, order and the stack. Of a kernel between the two, the tails are not certain. A doubt of the old page that lasts is
    copied too. Return how many pages may have been written.
    """
    source = t.owner[src_slot, src_i]
    doubted = is_doubted(t, src_slot, src_i)
    row = t.owner[slot]
    nr = new_pages(t, o, row, i, pfn)
    unordered = races(t, o, row, i, i + nr, ts, cpu) or races(t, o, t.owner[src_slot], src_i, src_i + 1, ts, cpu)
    unordered = unordered or (nr > 1 and o[OPT_SKEW] > 0)  # only copies of a single page can be rechecked: see skew_jit
    if source < 0 or t.records[source]["state"] != _OWNED:
        note(t, _A_SOURCE, 1, seq)
    elif row[i] >= 0 and t.records[row[i]]["state"] == _FREED:
        stop = min(i + (np.int64(1) << np.int64(max(t.records[source]["order"], 0))), row.size)
        j = i + 1  # if the head of the new block is in use, so are its tails
        while j < stop:
            length = run_length(row, j, stop)
            if row[j] >= 0 and t.records[row[j]]["state"] == _FREED:
                used_unseen(t, row, j, length, pfn - i, generation, seq, ts)
            j += length
    forget_kernel_view(t, slot, i, i + nr, pfn - i, generation, _H_MIGRATE)
    surely = nr if o[OPT_MIGRATION_WRITES_TAILS] == _YES else np.int64(1)
    if t.kernel[src_slot, src_i] >= 0:
        copy_owner(
            t,
            t.kernel[src_slot],
            src_i,
            t.kernel[slot],
            i,
            surely,
            pfn,
            src_pfn,
            generation,
            seq,
            ts,
            cpu,
            unordered,
            1,
            True,
        )
        note_reason(t, t.kernel[slot], i, pfn - i, ABSENT8)
    sure = nr == 1 or source < 0 or np.int64(1) << np.int64(max(t.records[source]["order"], 0)) == nr
    copy_owner(t, t.owner[src_slot], src_i, row, i, nr, pfn, src_pfn, generation, seq, ts, cpu, unordered, 0, sure)
    if nr > surely:
        tails = take_record(t)
        copy_record(t, tails, row[i], pfn)
        t.records[tails]["evidence"] = _INFERRED
        t.records[tails]["pages"] = nr - surely
        t.records[row[i]]["pages"] = surely
        row[i + surely : i + nr] = tails
    # the old block's is of an earlier migration: the kernel writes this one's afterwards
    note_reason(t, row, i, pfn - i, ABSENT8)
    doubt_copy(t, slot, i, nr, pfn, seq, ts, doubted)
    return nr


@inner
def set_reason(t, o, slot, i, base, generation, seq, ts, cpu, reason):
    """Begin a span in which the owner of a page has the reason of its migration; a page without an owner stays as it is.

    Source: mm/page_owner.c, __set_page_owner_migrate_reason (Linux 5.10 to 6.12; 7.2: __folio_set_owner_migrate_reason) writes it
    for the first page of a block alone, whether or not the page is allocated: mm/migrate.c, migrate_folio_move (6.1;
    5.10: unmap_and_move) calls it after the reference to the new page was dropped, so the page may be free again.
    __set_page_owner clears it on all pages of a block.
    """
    for view in range(2):
        row = t.owner[slot] if view == 0 else t.kernel[slot]
        handle = row[i]
        if handle < 0 or t.records[handle]["state"] != _OWNED or t.records[handle]["migrate_reason"] == reason:
            continue
        if begin_seq_of(t, handle) == seq:  # the same event copied the owner
            note_reason(t, row, i, base, reason)
            continue
        unordered = races(t, o, row, i, i + 1, ts, cpu)
        target = take_record(t)
        copy_record(t, target, handle, base + i)
        close(t, handle, base + i, 1, generation, _H_REASON, view)
        open_owner(t, target)
        begin_now(t, target, seq, ts)
        r = t.records[target]
        r["pages"] = 1
        r["how"] = _H_REASON
        r["migrate_reason"] = reason
        r["cpu"] = cpu
        if unordered:
            r["unordered"] = 1
        row[i] = target


@inner
def note_reason(t, row, i, base, reason):
    """Set the reason of one page, whose record the present event began, and whose neighbours keep theirs."""
    handle = row[i]
    if t.records[handle]["migrate_reason"] == reason:
        return
    if t.records[handle]["pages"] > 1:
        target = take_record(t)
        copy_record(t, target, handle, base + i)
        t.records[target]["pages"] = 1
        release(t, handle, 1)
        row[i] = target
    open_owner(t, row[i])
    t.records[row[i]]["migrate_reason"] = reason


@inner
def new_pages(t, o, row, i, pfn):
    """Return how many pages of the new block a migration may write: 1, or all of the block that was allocated for it."""
    if o[OPT_MIGRATION_WRITES_TAILS] == _NO or row[i] < 0:
        return np.int64(1)
    r = t.records[row[i]]
    if r["state"] != _OWNED or r["order"] <= 0 or block_pfn_of(t, row[i], pfn) != pfn:
        return np.int64(1)
    return min(np.int64(1) << np.int64(r["order"]), row.size - i)


@inner
def copy_owner(t, from_row, from_i, row, i, nr, block_pfn, src_pfn, generation, seq, ts, cpu, unordered, view, sure):
    """Give pages [i, i + nr) the record of another page, with the time of its allocation; *sure*: they certainly have it."""
    source = from_row[from_i]
    base = block_pfn // row.size * row.size
    target = take_record(t)
    proven = False
    if (
        source >= 0 and t.records[source]["state"] == _OWNED
    ):  # the last owner of a free page is not the one that migrates
        proven = sure and t.records[source]["evidence"] != _INFERRED
        copy_record(t, target, source, src_pfn)
    else:
        blank(t, target)
        t.records[target]["order"] = 0
        draft_of(t, target)["evidence_ts"] = ts
    r, d = t.records[target], draft_of(t, target)
    r["pages"] = nr
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED if proven else _INFERRED
    r["how"] = _H_MIGRATE
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    d["block_pfn"] = block_pfn
    d["src_pfn"] = src_pfn
    d["free_ts_nsec"] = d["ts_nsec"]
    begin_now(t, target, seq, ts)
    j = i
    while j < i + nr:
        length = run_length(row, j, i + nr)
        if view == 0 and row[j] >= 0 and t.records[row[j]]["state"] == _FREED:
            used_unseen(t, row, j, length, base, generation, seq, ts)
        if row[j] >= 0:
            close(t, row[j], base + j, length, generation, _H_MIGRATE, view)
        row[j : j + length] = target
        j += length
