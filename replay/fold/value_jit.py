"""How events change the values that page_ext's clients hold for each page.

Dimensions: f = fields of the needed clients, s = slots, p = pages a section, k = closed spans, n = events.
"""

from typing import NamedTuple

import numpy as np

from pagetrail.replay.fold.fold_jit import impossible
from pagetrail.replay.fold.tables import Array
from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT64, Evidence

_OBSERVED = int(Evidence.OBSERVED)


class Values(NamedTuple):
    """Each page's value of each field, the event that reported it, and the spans that ended in this stretch."""

    value: Array  # int64 (f, s, p); ABSENT64: unknown
    begin_seq: Array  # int64 (f, s, p)
    begin_ts: Array  # int64 (f, s, p)
    evidence: Array  # int8 (f, s, p)
    closed: Array  # void (k,) VALUE_DTYPE
    counts: Array  # int64 (1,) number of closed spans


class FieldEvents(NamedTuple):
    """n events as the clients interpret them: range, field and value."""

    pfn: Array  # int64
    order: Array  # int64
    nr_pages: Array  # int64
    field: Array  # int16; -1: nothing
    value: Array  # int64
    seq: Array  # int64
    ts: Array  # int64


@inner
def end_values(v, field, slot, first, stop, base, generation, seq, ts):
    """End the known values of a field on pages [first, stop) of a section, run by run."""
    value, begin = v.value[field, slot], v.begin_seq[field, slot]
    i = first
    while i < stop:
        j = i + 1
        while j < stop and value[j] == value[i] and begin[j] == begin[i]:
            j += 1
        if value[i] != ABSENT64 and begin[i] < seq:
            k = v.counts[0]
            v.closed[k]["pfn"] = base + i
            v.closed[k]["nr_pages"] = j - i
            v.closed[k]["value"] = value[i]
            v.closed[k]["begin_seq"] = begin[i]
            v.closed[k]["begin_ts"] = v.begin_ts[field, slot, i]
            v.closed[k]["end_seq"] = seq
            v.closed[k]["end_ts"] = ts
            v.closed[k]["generation"] = generation
            v.closed[k]["field"] = field
            v.closed[k]["evidence"] = v.evidence[field, slot, i]
            v.counts[0] = k + 1
        i = j


@jit
def set_values(v, slots, generations, max_pfn, events, start):
    """Set the values of events [start, n); return the event at which room ran out, or n.

    Impossible events, which the fold quarantines, and events in absent sections change nothing.
    """
    pages = v.value.shape[2]
    for i in range(start, events.pfn.size):
        field, pfn, nr = np.int64(events.field[i]), events.pfn[i], events.nr_pages[i]
        if field < 0 or impossible(pfn, events.order[i], nr, pages, max_pfn) != 0:
            continue
        section_nr = pfn // pages
        if section_nr >= slots.size or slots[section_nr] < 0:
            continue
        if v.closed.shape[0] - v.counts[0] < nr:
            return i
        slot, base = slots[section_nr], section_nr * pages
        first = pfn - base
        end_values(v, field, slot, first, first + nr, base, generations[section_nr], events.seq[i], events.ts[i])
        v.value[field, slot, first : first + nr] = events.value[i]
        v.begin_seq[field, slot, first : first + nr] = events.seq[i]
        v.begin_ts[field, slot, first : first + nr] = events.ts[i]
        v.evidence[field, slot, first : first + nr] = _OBSERVED
    return events.pfn.size


@jit
def end_section(v, slot, base, generation, seq, ts):
    """End every value of a section whose extension ends."""
    for field in range(v.value.shape[0]):
        end_values(v, field, slot, 0, v.value.shape[2], base, generation, seq, ts)
        v.value[field, slot, :] = ABSENT64
