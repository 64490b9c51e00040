"""The fold: ensure room in every table for each event, quarantine it if it is impossible, else call the function of its kind.

Dimensions: n = events of the batch; the rest as in ``tables.py``. A block lies within one section: it is aligned to its order
and no order is larger than a section.
"""

import numpy as np

from pagetrail.replay.fold.block_jit import alloc_block, free_block, split_block
from pagetrail.replay.fold.ghost_jit import step_over_ghosts
from pagetrail.replay.fold.migrate_jit import migrate_head, set_reason
from pagetrail.replay.fold.notice_jit import doubt, quarantine
from pagetrail.replay.fold.options import (
    OPT_CEILING,
    OPT_EVENTS_A_LIVE,
    OPT_FLOOR,
    OPT_MAX_PFN,
    OPT_REFILL_COVERED,
    OPT_SKEW,
)
from pagetrail.replay.fold.records.event_jit import settled
from pagetrail.replay.fold.room_jit import has_room, reach
from pagetrail.replay.fold.skew_jit import recheck_moves, remember_move
from pagetrail.replay.fold.tables import EVENTS, LAST_SEQ, LAST_TS, LIVE, NO_EVENT
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.jit import inner, jit, prefetch
from pagetrail.schemas.owner import ABSENT8, Anomaly, How

# Why ``fold`` stopped before the batch ended.
DONE, RARE, ROOM, SECTION, SEAL = range(5)

_ALLOC, _FREE, _SPLIT = int(Kind.ALLOC), int(Kind.FREE), int(Kind.SPLIT)
_MIGRATE, _ISOLATE, _DRAIN = int(Kind.MIGRATE), int(Kind.ISOLATE), int(Kind.DRAIN)
_REFILL = int(Kind.REFILL)
_POISON, _UNGUARD = int(Kind.POISON), int(Kind.UNGUARD)
_H_ALLOC, _H_FREE, _H_DRAIN = int(How.ALLOC), int(How.FREE), int(How.DRAIN)
_H_ISOLATE, _H_REFILL = int(How.ISOLATE), int(How.REFILL)
_A_UNALIGNED, _A_BEYOND, _A_ORDER = int(Anomaly.UNALIGNED), int(Anomaly.BEYOND_MACHINE), int(Anomaly.BAD_ORDER)

_FAR, _NEAR = 24, 12
"""So many events ahead, a page's record number is requested, and its record: each takes about as long as ten events."""


def is_rare(kind):
    """Return whether events of a kind are not folded here, but by the rules in Python."""
    return kind < _ALLOC or (kind > _REFILL and not _POISON <= kind <= _UNGUARD)


_is_rare = inner(is_rare)


@jit
def fold(t, o, e, base_seq, start, room_pages):
    """Fold rows [start, n) of a batch; return (row, why): where and why it stopped before the end, or (n, DONE).

    ``room_pages`` (1,) receives the number of pages to make room for, or the section_nr that is missing.
    """
    pages = t.owner.shape[1]
    shift = 0
    while np.int64(1) << shift < pages:
        shift += 1
    n = e.kind.size
    for i in range(start, n):
        look_ahead(t, e, i, shift)
        ts = e.ts[i]
        rises = ts > t.counts[LAST_TS] and t.counts[LAST_TS] != NO_EVENT
        if rises and is_full(t, o):
            return i, SEAL
        kind = e.kind[i]
        if _is_rare(kind):
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
        elif kind >= _POISON and order == ABSENT8:  # a range; the four kinds concern page_ext's other clients
            order, nr = np.int64(0), e.nr_pages[i]
        bad = impossible(pfn, order, nr, pages, o[OPT_MAX_PFN])
        if kind == _MIGRATE and bad == 0:
            bad = impossible(e.src_pfn[i], order, nr, pages, o[OPT_MAX_PFN])
        need = np.int64(1)
        if bad == 0:
            section_nr = pfn >> shift
            if section_nr >= t.slot.size or t.slot[section_nr] < 0:
                room_pages[0] = section_nr
                return i, SECTION
            if kind == _MIGRATE:
                src_section = e.src_pfn[i] >> shift
                if src_section >= t.slot.size or t.slot[src_section] < 0:
                    room_pages[0] = src_section
                    return i, SECTION
                need = reach(t, t.slot[src_section], e.src_pfn[i] - src_section * pages, nr)
            need += reach(t, t.slot[section_nr], pfn - section_nr * pages, nr)
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
        if kind in (_ALLOC, _ISOLATE):
            alloc_block(
                t, o, slot, base, generation, first, nr, seq, ts, e.cpu[i], order, e.pid[i], e.tgid[i], e.comm[i],
                e.gfp_mask[i], e.migratetype[i], e.stack[i], _H_ALLOC if kind == _ALLOC else _H_ISOLATE,
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
            src, written = e.src_pfn[i], np.int64(0)
            reason = e.migrate_reason[i]
            if src != pfn or reason == ABSENT8:
                written = migrate_head(
                    t, o, slot, first, pfn, generation, t.slot[src_section], src - src_section * pages, src, seq, ts, e.cpu[i]
                )  # fmt: skip
            if reason != ABSENT8:
                set_reason(t, o, slot, first, base, generation, seq, ts, e.cpu[i], reason)
        only_says_why = kind == _MIGRATE and e.src_pfn[i] == pfn and e.migrate_reason[i] != ABSENT8
        if o[OPT_SKEW] > 0 and kind <= _REFILL and not only_says_why:
            recheck_moves(t, o, pfn, nr, seq, ts, e.cpu[i])
        if kind == _MIGRATE and not only_says_why:
            remember_move(t, o, seq, ts, e.cpu[i], e.src_pfn[i], pfn, written)
        settled(t, seq, ts)
    return n, DONE


@inner
def look_ahead(t, e, i, shift):
    """Request what the events after row *i* will read: pages that they name have no order, so each read would wait for memory."""
    far, near = i + _FAR, i + _NEAR
    within = (np.int64(1) << shift) - 1
    if far < e.kind.size:
        pfn = e.pfn[far]
        section_nr = pfn >> shift
        if 0 <= section_nr < t.slot.size and t.slot[section_nr] >= 0:
            slot = t.slot[section_nr]
            prefetch(t.owner[slot], pfn & within)
            prefetch(t.kernel[slot], pfn & within)
    if near < e.kind.size:
        pfn = e.pfn[near]
        section_nr = pfn >> shift
        if 0 <= section_nr < t.slot.size and t.slot[section_nr] >= 0:
            handle = t.owner[t.slot[section_nr], pfn & within]
            if handle >= 0:
                prefetch(t.records, handle)


@jit
def is_full(t, o):
    """Return whether a segment ends where the time rises: its events are many, or several times the spans that are open."""
    return t.counts[EVENTS] > max(o[OPT_FLOOR], min(o[OPT_EVENTS_A_LIVE] * t.counts[LIVE], o[OPT_CEILING]))


@inner
def impossible(pfn, order, nr, pages_per_section, max_pfn):
    """Return why a block is impossible, or 0. *pages_per_section* is a power of two."""
    if order < 0 or nr < 1 or nr > pages_per_section:
        return _A_ORDER
    if pfn < 0 or pfn > max_pfn - nr:
        return _A_BEYOND
    if pfn & (nr - 1) and (nr & (nr - 1)) == 0:
        return _A_UNALIGNED
    if (pfn ^ (pfn + nr - 1)) >= pages_per_section:
        return _A_UNALIGNED
    return 0
