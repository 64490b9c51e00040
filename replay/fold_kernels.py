"""The rules of the fold, page by page: what alloc, free, drain, split, migrate and isolate do to page_ext.

Dimensions: n = events of the batch; the rest as in ``tables.py``. A block lies within one section: it is aligned to its order
and no order is larger than a section. Rules follow mm/page_owner.c and mm/page_alloc.c of Linux 6.1.
"""

import numpy as np

from pagetrail.replay.jit import inner, jit
from pagetrail.replay.tables import DOUBTS, EVENTS, LAST_SEQ, LAST_TS, LIVE, MOVES, NO_EVENT, QUARANTINE, RUNS, SPARE
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    DOUBT_ORDER,
    GFP_MOVABLE,
    OPEN_END,
    Anomaly,
    Evidence,
    How,
    State,
)

# Why ``fold`` stopped before the batch ended.
DONE, RARE, ROOM, SECTION, SEAL = range(5)

_ALLOC, _FREE, _SPLIT = int(Kind.ALLOC), int(Kind.FREE), int(Kind.SPLIT)
_MIGRATE, _ISOLATE, _DRAIN, _REFILL = int(Kind.MIGRATE), int(Kind.ISOLATE), int(Kind.DRAIN), int(Kind.REFILL)
_POISON, _UNGUARD = int(Kind.POISON), int(Kind.UNGUARD)
_OWNED, _FREED = int(State.OWNED), int(State.FREE)
_OBSERVED, _INFERRED = int(Evidence.OBSERVED), int(Evidence.INFERRED)
_H_ALLOC, _H_FREE, _H_DRAIN, _H_SPLIT = int(How.ALLOC), int(How.FREE), int(How.DRAIN), int(How.SPLIT)
_H_IMPLIED, _H_MIGRATE, _H_ISOLATE = int(How.SPLIT_IMPLIED), int(How.MIGRATE), int(How.ISOLATE)
_H_LOST_FREE, _H_LOST_ALLOC, _H_REFILL = int(How.LOST_FREE), int(How.LOST_ALLOC), int(How.REFILL)
_H_UNORDERED = int(How.UNORDERED)
_A_BOOT, _A_ONLINING, _A_LOSS = (
    int(Anomaly.FREE_UNSEEN_BOOT),
    int(Anomaly.FREE_UNSEEN_ONLINING),
    int(Anomaly.FREE_UNSEEN_LOSS),
)
_A_FREE_OF_FREE, _A_PARTIAL = int(Anomaly.FREE_OF_FREE), int(Anomaly.PARTIAL_FREE)
_A_OVER_OWNED, _A_DRAIN = int(Anomaly.ALLOC_OVER_OWNED), int(Anomaly.DRAIN_OF_OWNED)
_A_REFILL = int(Anomaly.REFILL_OF_OWNED)
_A_SOURCE, _A_USE = int(Anomaly.MIGRATE_FROM_UNKNOWN), int(Anomaly.USE_OF_FREE)
_A_UNALIGNED, _A_BEYOND, _A_ORDER = int(Anomaly.UNALIGNED), int(Anomaly.BEYOND_MACHINE), int(Anomaly.BAD_ORDER)

# Options of a fold, as an int64 array.
(
    OPT_SPLIT_COVERED,
    OPT_LOSS,
    OPT_ONLINING_START,
    OPT_ONLINING_STOP,
    OPT_FLOOR,
    OPT_MAX_PFN,
    OPT_SKEW,
    OPT_REFILL_COVERED,
) = range(8)
OPTIONS = 8


@jit
def note(t, kind, pages, seq):
    """Count an anomaly of *kind* on *pages* pages, each event once; remember where the first one was."""
    if t.anomalies[kind, 0] == 0:
        t.anomalies[kind, 2] = seq
    if t.anomalies[kind, 3] != seq + 1:
        t.anomalies[kind, 0] += 1
        t.anomalies[kind, 3] = seq + 1
    t.anomalies[kind, 1] += pages


@jit
def doubt(t, pfn, nr_pages, from_ts, ts, seq, reason):
    """Cast doubt on a run of pages from its last evidence until now."""
    i = t.counts[DOUBTS]
    t.doubts[i]["pfn"] = pfn
    t.doubts[i]["nr_pages"] = nr_pages
    t.doubts[i]["from_ts"] = from_ts
    t.doubts[i]["to_ts"] = ts
    t.doubts[i]["noticed_ts"] = ts
    t.doubts[i]["seq"] = seq
    t.doubts[i]["reason"] = reason
    t.counts[DOUBTS] = i + 1


@jit
def doubt_on(t, pfn, nr_pages, from_ts, ts, seq, reason):
    """Cast doubt on a run of pages from its last evidence until other evidence comes."""
    doubt(t, pfn, nr_pages, from_ts, ts, seq, reason)
    t.doubts[t.counts[DOUBTS] - 1]["to_ts"] = OPEN_END


@jit
def quarantine(t, seq, pfn, order, kind):
    """Set a structurally impossible event aside, with its reason."""
    i = t.counts[QUARANTINE]
    t.quarantine[i, 0] = seq
    t.quarantine[i, 1] = pfn
    t.quarantine[i, 2] = order
    t.quarantine[i, 3] = kind
    t.counts[QUARANTINE] = i + 1
    note(t, kind, 1, seq)


@inner
def take_record(t):
    """Return an unused record."""
    t.counts[SPARE] -= 1
    t.counts[LIVE] += 1
    handle = t.spare[t.counts[SPARE]]
    t.records[handle]["pages"] = 0
    return handle


@inner
def release(t, handle, pages):
    """Let *pages* pages no longer refer to a record; the last one gives it back."""
    t.records[handle]["pages"] -= pages
    if t.records[handle]["pages"] == 0:
        t.spare[t.counts[SPARE]] = handle
        t.counts[SPARE] += 1
        t.counts[LIVE] -= 1


@inner
def close(t, handle, pfn, nr_pages, generation, seq, ts, how, kernel_view):
    """Write the end of the span that *handle* had on a run of pages, and let go of them."""
    i = t.counts[RUNS]
    t.closed[i] = t.records[handle]
    t.runs[i]["pfn"] = pfn
    t.runs[i]["nr_pages"] = nr_pages
    t.runs[i]["end_seq"] = seq
    t.runs[i]["end_ts"] = ts
    t.runs[i]["generation"] = generation
    t.runs[i]["end_how"] = how
    t.runs[i]["kernel_view"] = kernel_view
    t.counts[RUNS] = i + 1
    release(t, handle, nr_pages)


@inner
def run_length(row, first, stop):
    """Return how many pages from *first*, before *stop*, have the same record."""
    handle = row[first]
    i = first + 1
    while i < stop and row[i] == handle:
        i += 1
    return i - first


@inner
def races(t, o, row, first, stop, ts, cpu):
    """Whether an event of *cpu* may have come before what pages [first, stop) say, as the clocks of two CPUs may differ so much.

    What an event says that may not have been the last one is no more sure than which of the two it was: alternation does not
    tell, as of two allocations with a free between them either may be the later.
    """
    if o[OPT_SKEW] <= 0:
        return False
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        if row[i] >= 0:
            r = t.records[row[i]]
            if ts - r["begin_ts"] <= o[OPT_SKEW] and (cpu < 0 or r["cpu"] != cpu or r["unordered"] != 0):
                return True
        i += length
    return False


@inner
def forget_kernel_view(t, slot, first, stop, base, generation, seq, ts, how):
    """End the kernel's differing records on pages [first, stop) of a section: the event made both views one."""
    row = t.kernel[slot]
    i = first
    while i < stop:
        if row[i] < 0:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, row[i], base + i, length, generation, seq, ts, how, 1)
        row[i : i + length] = -1
        i += length


@inner
def move(t, row, first, stop, base, generation, source, target, seq, ts, how):
    """Give every page of [first, stop) that *source* has to *target*, run by run."""
    i = first
    while i < stop:
        if row[i] != source:
            i += 1
            continue
        length = run_length(row, i, stop)
        close(t, source, base + i, length, generation, seq, ts, how, 0)
        row[i : i + length] = target
        t.records[target]["pages"] += length
        i += length


@inner
def imply_split(t, row, handle, lo, hi, base, generation, seq, ts, cpu):
    """What stays of a block of which a part in [lo, hi) was freed: it had been split, as a block is freed as a whole.

    Source: mm/page_alloc.c, free_pages_exact and split_page (Linux 6.1): split_page_owner sets order 0 on every page.
    """
    first = t.records[handle]["block_pfn"] - base
    stop = first + (np.int64(1) << np.int64(t.records[handle]["order"]))
    target = take_record(t)
    t.records[target] = t.records[handle]
    t.records[target]["pages"] = 0
    t.records[target]["order"] = 0
    # what was inferred as a whole stays so: an implied split takes away the order alone
    known = t.records[handle]["evidence"] != _INFERRED or t.records[handle]["how"] == _H_IMPLIED
    t.records[target]["evidence"] = _INFERRED
    t.records[target]["how"] = _H_IMPLIED if known else _H_SPLIT
    t.records[target]["cpu"] = cpu
    t.records[target]["begin_seq"] = seq
    t.records[target]["begin_ts"] = ts
    move(t, row, first, lo, base, generation, handle, target, seq, ts, _H_IMPLIED)
    move(t, row, hi, stop, base, generation, handle, target, seq, ts, _H_IMPLIED)


@inner
def end_owner(t, o, row, i, length, lo, hi, base, generation, seq, ts, cpu, how):
    """End the ownership of a run in [lo, hi), which ends as a whole; when other pages of its block stay, it had been split."""
    handle = row[i]
    rest = t.records[handle]["pages"] - length
    whole = t.records[handle]["order"] > 0
    close(t, handle, base + i, length, generation, seq, ts, how, 0)
    row[i : i + length] = -1
    if rest > 0 and whole and o[OPT_SPLIT_COVERED] == 0:
        for j in range(i + length, hi):
            if row[j] == handle:
                rest -= 1
        if rest > 0:
            note(t, _A_PARTIAL, rest, seq)
            imply_split(t, row, handle, lo, hi, base, generation, seq, ts, cpu)


@inner
def new_free(t, last, seq, ts, cpu, pfn, order, pid, tgid, comm, stack, how):
    """Return the record of a block that becomes free; *last* is who owned it, or -1."""
    handle = take_record(t)
    if last >= 0:
        t.records[handle] = t.closed[last]
        t.records[handle]["pages"] = 0
    else:
        blank(t, handle)
    r = t.records[handle]
    r["block_pfn"] = pfn
    r["order"] = order
    r["state"] = _FREED
    r["evidence"] = _OBSERVED
    r["how"] = how
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    r["evidence_ts"] = ts
    r["src_pfn"] = ABSENT64
    r["free_ts_nsec"] = ABSENT64
    r["cpu"] = cpu
    r["unordered"] = 0
    r["free_pid"] = pid
    r["free_tgid"] = tgid
    r["free_comm"] = comm
    r["free_stack"] = stack
    return handle


@inner
def blank(t, handle):
    """Set everything of a record to absent."""
    r = t.records[handle]
    r["evidence_ts"] = ABSENT64
    r["alloc_ts"] = ABSENT64
    r["ts_nsec"] = ABSENT64
    r["free_ts_nsec"] = ABSENT64
    r["src_pfn"] = ABSENT64
    r["gfp_mask"] = ABSENT64
    r["pid"] = ABSENT32
    r["tgid"] = ABSENT32
    r["comm"] = -1
    r["stack"] = -1
    r["free_pid"] = ABSENT32
    r["free_tgid"] = ABSENT32
    r["free_comm"] = -1
    r["free_stack"] = -1
    r["pages"] = 0
    r["cpu"] = ABSENT16
    r["unordered"] = 0
    r["migratetype"] = ABSENT8
    r["migrate_reason"] = ABSENT8


@inner
def is_early_stamp(r):
    """Whether a record is page_owner's own stamp of what was there before it started (init_pages_in_zone)."""
    return r["gfp_mask"] == 0 and r["order"] == 0 and r["pid"] == 1 and r["alloc_ts"] == ABSENT64


@inner
def keep_ghost(t, slot, i, length, handle, seq, ts):
    """Leave a ghost's stamp in the kernel's view of a run that is proven free, where the kernel had no other record."""
    row = t.kernel[slot]
    ghost = np.int32(-1)
    for j in range(i, i + length):
        if row[j] >= 0:
            continue
        if ghost < 0:
            ghost = take_record(t)
            t.records[ghost] = t.records[handle]
            t.records[ghost]["pages"] = 0
            t.records[ghost]["begin_seq"] = seq
            t.records[ghost]["begin_ts"] = ts
        t.records[ghost]["pages"] += 1
        row[j] = ghost


@inner
def free_block(t, o, slot, base, generation, first, nr, seq, ts, cpu, order, pid, tgid, comm, stack, how):
    """A free, drain or refill clears its whole range, whatever was known of it.

    Source: mm/page_owner.c, __reset_page_owner; mm/page_alloc.c, free_pcppages_bulk (Linux 6.1): a drained page is not
    allocated, whoever was thought to own it, and neither is one that __rmqueue_smallest took for a per-cpu list; but neither
    touches page_ext, so a page that page_owner stamped as early while it lay on a per-cpu list (a ghost) keeps that stamp in the
    kernel's view.
    """
    row = t.owner[slot]
    drain = how != _H_FREE
    if not drain:
        forget_kernel_view(t, slot, first, first + nr, base, generation, seq, ts, _H_FREE)
    stop = first + nr
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        unordered = races(t, o, row, i, i + length, ts, cpu)
        last = np.int64(-1)
        if handle < 0:
            if not drain:
                kind = _A_BOOT
                if o[OPT_ONLINING_START] <= base + i < o[OPT_ONLINING_STOP]:
                    kind = _A_ONLINING
                elif o[OPT_LOSS] > 0:
                    kind = _A_LOSS
                note(t, kind, length, seq)
        elif t.records[handle]["state"] == _OWNED:
            last = t.counts[RUNS]
            if drain:
                why = _A_DRAIN if how == _H_DRAIN else _A_REFILL
                note(t, why, length, seq)
                doubt(t, base + i, length, t.records[handle]["evidence_ts"], ts, seq, why)
                if is_early_stamp(t.records[handle]):
                    keep_ghost(t, slot, i, length, handle, seq, ts)
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_LOST_FREE)
            else:
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_FREE)
        elif drain:
            i += length
            continue
        else:
            note(t, _A_FREE_OF_FREE, length, seq)
            doubt(t, base + i, length, t.records[handle]["evidence_ts"], ts, seq, _A_FREE_OF_FREE)
            close(t, handle, base + i, length, generation, seq, ts, _H_LOST_ALLOC, 0)
        freed = new_free(t, last, seq, ts, cpu, base + first, order, pid, tgid, comm, stack, how)
        t.records[freed]["unordered"] = unordered
        t.records[freed]["pages"] = length
        row[i : i + length] = freed
        i += length


@inner
def step_over_ghosts(t, slot, first, nr, base, generation, seq, ts, cpu, how):
    """A dump steps over what lies in the buddy allocator, ghosts too, and lists those that come back to a per-cpu list.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1): it skips the whole block where PageBuddy is set. A record of the kernel's
    view with state FREE is a stamp that is there and is not listed.
    """
    row = t.kernel[slot]
    state = _FREED if how == _H_DRAIN else _OWNED
    i = first
    while i < first + nr:
        length = run_length(row, i, first + nr)
        handle = row[i]
        if handle >= 0 and t.records[handle]["state"] != state:
            target = take_record(t)
            t.records[target] = t.records[handle]
            close(t, handle, base + i, length, generation, seq, ts, how, 1)
            r = t.records[target]
            r["pages"] = length
            r["state"] = state
            r["begin_seq"] = seq
            r["begin_ts"] = ts
            r["cpu"] = cpu
            row[i : i + length] = target
        i += length


@inner
def clear_for_owner(t, o, slot, base, generation, first, nr, seq, ts, cpu, how, quiet):
    """End whatever was on a range that gets a new owner; *quiet* is the owner whose event is of the same act, or -1."""
    row = t.owner[slot]
    forget_kernel_view(t, slot, first, first + nr, base, generation, seq, ts, how)
    stop = first + nr
    i = first
    while i < stop:
        length = run_length(row, i, stop)
        handle = row[i]
        if handle >= 0:
            if t.records[handle]["state"] == _FREED or handle == quiet:
                close(t, handle, base + i, length, generation, seq, ts, how, 0)
                row[i : i + length] = -1
            else:
                note(t, _A_OVER_OWNED, length, seq)
                doubt(t, base + i, length, t.records[handle]["evidence_ts"], ts, seq, _A_OVER_OWNED)
                end_owner(t, o, row, i, length, first, stop, base, generation, seq, ts, cpu, _H_LOST_FREE)
        i += length


@inner
def alloc_block(
    t, o, slot, base, generation, first, nr, seq, ts, cpu, order, pid, tgid, comm, gfp, migratetype, stack, how
):
    """An allocation sets the owner on every page of the block.

    Source: mm/page_owner.c, __set_page_owner_handle (Linux 6.1). A probe on __set_page_owner sees an allocation with gfp 0x8
    a moment before its mm_page_alloc: the second of the two is no contradiction.
    """
    row = t.owner[slot]
    there = row[first]
    quiet = np.int32(-2)
    if how == _H_ALLOC and gfp == GFP_MOVABLE and there >= 0:
        r = t.records[there]
        if r["how"] == _H_ISOLATE and r["block_pfn"] == base + first and r["order"] == order and r["pid"] == pid:
            quiet = there
    unordered = races(t, o, row, first, first + nr, ts, cpu)
    clear_for_owner(t, o, slot, base, generation, first, nr, seq, ts, cpu, how, quiet)
    handle = take_record(t)
    blank(t, handle)
    r = t.records[handle]
    r["block_pfn"] = base + first
    r["order"] = order
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED
    r["how"] = how
    r["alloc_ts"] = ts
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    r["evidence_ts"] = ts
    r["pid"] = pid
    r["tgid"] = tgid
    r["comm"] = comm
    r["gfp_mask"] = gfp
    r["migratetype"] = migratetype
    r["stack"] = stack
    r["cpu"] = cpu
    r["unordered"] = unordered
    r["pages"] = nr
    row[first : first + nr] = handle


@inner
def used_unseen(t, row, i, length, base, generation, seq, ts):
    """Pages that are known free are used: an allocation was not seen, so what was said of them is in doubt."""
    handle = row[i]
    note(t, _A_USE, length, seq)
    doubt(t, base + i, length, t.records[handle]["evidence_ts"], ts, seq, _A_USE)
    close(t, handle, base + i, length, generation, seq, ts, _H_LOST_ALLOC, 0)
    row[i : i + length] = -1


@inner
def split_block(t, o, slot, base, generation, first, nr, seq, ts, cpu, order):
    """A split sets a new order on the pages of a range, and shows that they are owned, by whomever.

    Source: mm/page_owner.c, __split_page_owner (Linux 6.1: always order 0). Newer kernels split to other orders: each new
    block is one of its own.
    """
    size = np.int64(1) << order
    for view in range(2):
        row = t.owner[slot] if view == 0 else t.kernel[slot]
        i = first
        while i < first + nr:
            length = run_length(row, i, first + nr)
            if order > 0:
                length = min(length, size - (i & (size - 1)))
            handle = row[i]
            unordered = races(t, o, row, i, i + length, ts, cpu)
            if view == 0 and handle >= 0 and t.records[handle]["state"] == _FREED:
                used_unseen(t, row, i, length, base, generation, seq, ts)
                handle = row[i]
            if handle >= 0 and t.records[handle]["state"] == _OWNED and t.records[handle]["order"] != order:
                target = take_record(t)
                t.records[target] = t.records[handle]
                t.records[target]["how"] = _H_SPLIT
                close(t, handle, base + i, length, generation, seq, ts, _H_SPLIT, view)
                begin_at(t, target, base + i, length, order, seq, ts, cpu, unordered)
                row[i : i + length] = target
            elif handle < 0 and view == 0:
                target = take_record(t)
                blank(t, target)
                t.records[target]["block_pfn"] = base + i
                t.records[target]["state"] = _OWNED
                t.records[target]["evidence"] = _INFERRED
                t.records[target]["evidence_ts"] = ts
                t.records[target]["how"] = _H_SPLIT
                begin_at(t, target, base + i, length, order, seq, ts, cpu, unordered)
                row[i : i + length] = target
            i += length


@inner
def begin_at(t, handle, pfn, pages, order, seq, ts, cpu, unordered):
    """Let a record begin here, on so many pages, with this order; what was not sure before is not sure now."""
    r = t.records[handle]
    r["pages"] = pages
    r["order"] = order
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    if order > 0:
        r["block_pfn"] = pfn - (pfn & ((np.int64(1) << order) - 1))


@inner
def copy_head(t, from_row, from_i, row, i, pfn, src_pfn, generation, seq, ts, cpu, unordered, view):
    """Give one page the record of another, with the time of its allocation."""
    source = from_row[from_i]
    target = take_record(t)
    proven = False
    if source >= 0 and t.records[source]["state"] == _OWNED:  # of a free page, the last owner is not who migrates
        proven = t.records[source]["evidence"] != _INFERRED
        t.records[target] = t.records[source]
    else:
        blank(t, target)
        t.records[target]["order"] = 0
        t.records[target]["evidence_ts"] = ts
    r = t.records[target]
    r["pages"] = 1
    r["state"] = _OWNED
    r["evidence"] = _OBSERVED if proven else _INFERRED
    r["how"] = _H_MIGRATE
    r["block_pfn"] = pfn
    r["src_pfn"] = src_pfn
    r["cpu"] = cpu
    if unordered:
        r["unordered"] = 1
    r["free_ts_nsec"] = r["ts_nsec"]
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    if view == 0 and row[i] >= 0 and t.records[row[i]]["state"] == _FREED:
        used_unseen(t, row, i, 1, pfn - i, generation, seq, ts)
    if row[i] >= 0:
        close(t, row[i], pfn, 1, generation, seq, ts, _H_MIGRATE, view)
    row[i] = target


@inner
def migrate_head(t, o, slot, i, pfn, generation, src_slot, src_i, src_pfn, seq, ts, cpu):
    """A migration copies the owner of the old block to the head page of the new one; its tails keep the migrator's.

    Source: mm/page_owner.c, __folio_copy_owner (Linux 6.1): pid, tgid, comm, ts, gfp_mask, order and the stack are the old ones.
    """
    source = t.owner[src_slot, src_i]
    row = t.owner[slot]
    unordered = races(t, o, row, i, i + 1, ts, cpu) or races(t, o, t.owner[src_slot], src_i, src_i + 1, ts, cpu)
    if source < 0 or t.records[source]["state"] != _OWNED:
        note(t, _A_SOURCE, 1, seq)
    elif row[i] >= 0 and t.records[row[i]]["state"] == _FREED:
        stop = min(i + (np.int64(1) << np.int64(max(t.records[source]["order"], 0))), row.size)
        j = i + 1  # the tails of the new block are as little free as its head
        while j < stop:
            length = run_length(row, j, stop)
            if row[j] >= 0 and t.records[row[j]]["state"] == _FREED:
                used_unseen(t, row, j, length, pfn - i, generation, seq, ts)
            j += length
    forget_kernel_view(t, slot, i, i + 1, pfn - i, generation, seq, ts, _H_MIGRATE)
    if t.kernel[src_slot, src_i] >= 0:
        copy_head(t, t.kernel[src_slot], src_i, t.kernel[slot], i, pfn, src_pfn, generation, seq, ts, cpu, unordered, 1)
    copy_head(t, t.owner[src_slot], src_i, t.owner[slot], i, pfn, src_pfn, generation, seq, ts, cpu, unordered, 0)


@inner
def remember_move(t, o, seq, ts, cpu, src_pfn, pfn):
    """Remember a migration for as long as an earlier event may still come; what is crowded out before is not sure any more."""
    rows = t.moves.shape[0]
    i = t.counts[MOVES] % rows
    if t.counts[MOVES] >= rows and ts - t.moves[i, 0] <= o[OPT_SKEW]:
        unsure_copy(t, t.moves[i], seq, ts)
    t.moves[i, 0] = ts
    t.moves[i, 1] = cpu
    t.moves[i, 2] = src_pfn
    t.moves[i, 3] = pfn
    t.moves[i, 4] = 0
    t.counts[MOVES] += 1


@inner
def unsure_copy(t, move, seq, ts):
    """Of a page that got another's owner by migration: which owner the other had then is not sure, if it still has it."""
    pages = t.owner.shape[1]
    pfn = move[3]
    section_nr = pfn // pages
    slot = t.slot[section_nr]
    handle = t.owner[slot, pfn % pages] if slot >= 0 else np.int32(-1)
    if handle < 0 or t.records[handle]["src_pfn"] == ABSENT64 or t.records[handle]["unordered"] != 0:
        return
    doubt(t, pfn, 1, move[0], ts, seq, DOUBT_ORDER)
    target = take_record(t)
    t.records[target] = t.records[handle]
    close(t, handle, pfn, 1, t.generation[section_nr], seq, ts, _H_UNORDERED, 0)
    r = t.records[target]
    r["pages"] = 1
    r["how"] = _H_UNORDERED
    r["unordered"] = 1
    r["begin_seq"] = seq
    r["begin_ts"] = ts
    t.owner[slot, pfn % pages] = target


@inner
def recheck_moves(t, o, pfn, nr, seq, ts, cpu):
    """After an event on pages: it may have come before a migration from them that another CPU's clock put before it."""
    rows = t.moves.shape[0]
    first = t.counts[MOVES]
    while first > max(t.counts[MOVES] - rows, 0) and ts - t.moves[(first - 1) % rows, 0] <= o[OPT_SKEW]:
        first -= 1
    for n in range(first, t.counts[MOVES]):
        m = t.moves[n % rows]
        unsure = pfn <= m[2] < pfn + nr and (cpu < 0 or m[1] != cpu)
        for k in range(first, n):  # what it copied on may be as unsure
            before = t.moves[k % rows]
            unsure = unsure or (before[4] != 0 and before[3] == m[2])
        if unsure:
            m[4] = 1
            unsure_copy(t, m, seq, ts)


@inner
def impossible(pfn, order, nr, pages_per_section, max_pfn):
    """Return why a block cannot be, or 0."""
    if order < 0 or nr < 1 or nr > pages_per_section:
        return _A_ORDER
    if pfn < 0 or pfn > max_pfn - nr:
        return _A_BEYOND
    if pfn & (nr - 1) and (nr & (nr - 1)) == 0:
        return _A_UNALIGNED
    if pfn // pages_per_section != (pfn + nr - 1) // pages_per_section:
        return _A_UNALIGNED
    return 0


@inner
def reach(t, slot, first, nr):
    """Return how many pages an event on a range may touch: a block that sticks out of it may turn out to be split."""
    row = t.owner[slot]
    most = nr
    i = first
    while i < first + nr:
        if row[i] >= 0:
            order = np.int64(t.records[row[i]]["order"])  # absent where a page is free by kpageflags
            most = max(most, np.int64(1) << max(order, np.int64(0)))
        i += run_length(row, i, first + nr)
    return most


@inner
def has_room(t, nr):
    """Whether an event on *nr* pages fits into what is left of every table."""
    need = 2 * nr + 8
    c = t.counts
    return (
        c[SPARE] >= need
        and t.runs.shape[0] - c[RUNS] >= need
        and t.doubts.shape[0] - c[DOUBTS] >= need
        and t.quarantine.shape[0] - c[QUARANTINE] >= 2
    )


@jit
def fold(t, o, e, base_seq, start, room_pages):
    """Fold rows [start, n) of a batch; return (row, why): where it stopped, and why, when it could not go on alone.

    ``room_pages`` (1,) receives the pages of the event that needs room, or the section_nr that is missing.
    """
    pages = t.owner.shape[1]
    n = e.kind.size
    for i in range(start, n):
        ts = e.ts[i]
        rises = ts > t.counts[LAST_TS] and t.counts[LAST_TS] != NO_EVENT
        if rises and t.counts[EVENTS] > max(o[OPT_FLOOR], t.counts[LIVE]):
            return i, SEAL
        kind = e.kind[i]
        if kind < _ALLOC or (kind > _REFILL and not _POISON <= kind <= _UNGUARD):
            return i, RARE
        seq = base_seq + e.seq[i]
        pfn = e.pfn[i]
        order = np.int64(e.order[i])
        nr = np.int64(1) << order if 0 <= order < 40 else np.int64(0)
        if kind == _SPLIT:
            order = order if 0 < nr <= pages else np.int64(-1)
            nr = e.nr_pages[i]
        elif kind == _MIGRATE:
            order, nr = np.int64(0), np.int64(1)
        elif kind >= _POISON and order == ABSENT8:  # a range; what the four kinds say is for page_ext's other clients
            order, nr = np.int64(0), e.nr_pages[i]
        bad = impossible(pfn, order, nr, pages, o[OPT_MAX_PFN])
        if kind == _MIGRATE and bad == 0:
            bad = impossible(e.src_pfn[i], order, nr, pages, o[OPT_MAX_PFN])
        need = np.int64(1)
        if bad == 0:
            section_nr = pfn // pages
            if section_nr >= t.slot.size or t.slot[section_nr] < 0:
                room_pages[0] = section_nr
                return i, SECTION
            if kind == _MIGRATE:
                src_section = e.src_pfn[i] // pages
                if src_section >= t.slot.size or t.slot[src_section] < 0:
                    room_pages[0] = src_section
                    return i, SECTION
                source = t.owner[t.slot[src_section], e.src_pfn[i] - src_section * pages]
                tails = np.int64(1) << np.int64(max(t.records[source]["order"], 0)) if source >= 0 else np.int64(1)
                if not has_room(t, min(tails, pages)):
                    room_pages[0] = min(tails, pages)
                    return i, ROOM
            need = reach(t, t.slot[section_nr], pfn - section_nr * pages, nr)
        if o[OPT_SKEW] > 0:
            need += t.moves.shape[0]
        if not has_room(t, need):
            room_pages[0] = need
            return i, ROOM
        t.counts[EVENTS] += 1
        t.counts[LAST_TS] = ts
        t.counts[LAST_SEQ] = seq
        if bad != 0:
            quarantine(t, seq, pfn, np.int64(e.order[i]), bad)
            if 0 <= pfn < o[OPT_MAX_PFN]:
                doubt(t, pfn, min(max(nr, 1), o[OPT_MAX_PFN] - pfn), NO_EVENT + 1, ts, seq, bad)
            if kind == _MIGRATE and 0 <= e.src_pfn[i] < o[OPT_MAX_PFN]:
                doubt(t, e.src_pfn[i], 1, NO_EVENT + 1, ts, seq, bad)
            continue
        slot = t.slot[section_nr]
        base = section_nr * pages
        first = pfn - base
        generation = t.generation[section_nr]
        if kind == _ALLOC:
            alloc_block(
                t, o, slot, base, generation, first, nr, seq, ts, e.cpu[i], order, e.pid[i], e.tgid[i], e.comm[i],
                e.gfp_mask[i], e.migratetype[i], e.stack[i], _H_ALLOC,
            )  # fmt: skip
        elif kind in (_FREE, _DRAIN, _REFILL):
            how = _H_FREE if kind == _FREE else _H_DRAIN if kind == _DRAIN else _H_REFILL
            free_block(
                t, o, slot, base, generation, first, nr, seq, ts, e.cpu[i], order, e.pid[i], e.tgid[i], e.comm[i],
                e.stack[i], how,
            )  # fmt: skip
            if kind != _FREE and o[OPT_REFILL_COVERED] != 0:
                step_over_ghosts(t, slot, first, nr, base, generation, seq, ts, e.cpu[i], how)
        elif kind == _SPLIT:
            split_block(t, o, slot, base, generation, first, nr, seq, ts, e.cpu[i], order)
        elif kind == _MIGRATE:
            src = e.src_pfn[i]
            migrate_head(
                t, o, slot, first, pfn, generation, t.slot[src_section], src - src_section * pages, src, seq, ts, e.cpu[i]
            )  # fmt: skip
        elif kind == _ISOLATE:
            alloc_block(
                t, o, slot, base, generation, first, nr, seq, ts, e.cpu[i], order, e.pid[i], e.tgid[i], e.comm[i],
                e.gfp_mask[i], e.migratetype[i], e.stack[i], _H_ISOLATE,
            )  # fmt: skip
        if o[OPT_SKEW] > 0 and kind <= _REFILL:
            recheck_moves(t, o, pfn, nr, seq, ts, e.cpu[i])
            if kind == _MIGRATE:
                remember_move(t, o, seq, ts, e.cpu[i], e.src_pfn[i], pfn)
    return n, DONE
