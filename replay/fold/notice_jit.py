"""Counting anomalies, casting doubts, which migrations copy if they last, and quarantining impossible events.

Dimensions as in ``tables.py``; n = doubts, in order; p = stretches of pages between the borders of any of them.
"""

from pagetrail.replay.fold.records.record_jit import evidence_ts_of
from pagetrail.replay.fold.tables import (
    DOUBTS,
    MOVE_DOUBTED,
    MOVE_PAGES,
    MOVE_PFN,
    MOVE_SRC,
    MOVE_TS,
    MOVES,
    NO_EVENT,
    QUARANTINE,
)
from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import DOUBT_MIGRATED, OPEN_END, State

_OWNED = int(State.OWNED)
_YES, _NEXT = 1, 2
SILENCE, LOSS = 1, 2


@jit
def note(t, kind, pages, seq):
    """Count an anomaly of *kind* on *pages* pages, each event once; remember the seq of the first."""
    if t.anomalies[kind, 0] == 0:
        t.anomalies[kind, 2] = seq
    if t.anomalies[kind, 3] != seq + 1:
        t.anomalies[kind, 0] += 1
        t.anomalies[kind, 3] = seq + 1
    t.anomalies[kind, 1] += pages


@jit
def doubt(t, pfn, nr_pages, from_ts, ts, seq, reason):
    """Cast doubt on a run of pages from *from_ts*, its last evidence, until *ts*."""
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
    """Cast doubt on a run of pages from *from_ts*, its last evidence, until new evidence comes."""
    doubt(t, pfn, nr_pages, from_ts, ts, seq, reason)
    t.doubts[t.counts[DOUBTS] - 1]["to_ts"] = OPEN_END


@jit
def doubt_each(t, pfn, nr_pages, from_ts, ts, seq, reason):
    """Cast doubt on many runs of pages (n,), on evidence up to *from_ts* of each, until new evidence comes.

    There is room for so many, and for the doubts of pages that last.
    """
    for i in range(pfn.size):
        doubt_on(t, pfn[i], nr_pages[i], from_ts[i], ts, seq, reason)
        keep_doubt(t, pfn[i], nr_pages[i], from_ts[i])


@jit
def keep_doubt(t, pfn, nr_pages, until):
    """Remember that evidence of a run of pages from up to *until* is in doubt: a migration copies the doubt with the owner."""
    pages = t.owner.shape[1]
    stop = pfn + nr_pages
    for section_nr in range(pfn // pages, min((stop + pages - 1) // pages, t.slot.size)):
        slot = t.slot[section_nr]
        if slot < 0:
            continue
        base = section_nr * pages
        row = t.doubted[slot]
        for i in range(max(pfn - base, 0), min(stop - base, pages)):
            row[i] = max(row[i], until)


@inner
def is_doubted(t, slot, i):
    """Whether the owner of a page is in a doubt that lasts."""
    if t.doubted.shape[0] == 0 or t.doubted[slot, i] == NO_EVENT or t.owner[slot, i] < 0:
        return False
    handle = t.owner[slot, i]
    return t.records[handle]["state"] == _OWNED and evidence_ts_of(t, handle) <= t.doubted[slot, i]


@inner
def doubt_copy(t, slot, i, nr, pfn, seq, ts, unsure):
    """Replace the doubts of pages [i, i + nr) that a migration has just written by that of the old page, if it was *unsure*.

    A doubt that concerns evidence up to now or later stays.
    """
    if t.doubted.shape[0] == 0:
        return
    row = t.doubted[slot]
    for j in range(i, i + nr):
        if row[j] < ts:
            row[j] = ts if unsure else NO_EVENT
    if unsure:
        doubt_on(t, pfn, nr, ts, ts, seq, DOUBT_MIGRATED)


@jit
def doubt_moves(t, pfn, nr_pages, since, ts, seq):
    """Doubt what migrations from *since* on copied from a run of pages, and what others copied from there: a loss came before.

    Each migration is put in doubt once. Return whether earlier ones, since *since*, are no longer remembered.
    """
    rows, last = t.moves.shape[0], t.counts[MOVES]
    first = last
    while first > max(last - rows, 0) and t.moves[(first - 1) % rows, MOVE_TS] >= since:
        first -= 1
    for n in range(first, last):
        m = t.moves[n % rows]
        if m[MOVE_DOUBTED] == _YES or (m[MOVE_DOUBTED] != _NEXT and not pfn <= m[MOVE_SRC] < pfn + nr_pages):
            continue
        m[MOVE_DOUBTED] = _YES
        doubt_on(t, m[MOVE_PFN], m[MOVE_PAGES], m[MOVE_TS], ts, seq, DOUBT_MIGRATED)
        keep_doubt(t, m[MOVE_PFN], m[MOVE_PAGES], m[MOVE_TS])
        for k in range(n + 1, last):
            after = t.moves[k % rows]
            if after[MOVE_DOUBTED] == 0 and m[MOVE_PFN] <= after[MOVE_SRC] < m[MOVE_PFN] + m[MOVE_PAGES]:
                after[MOVE_DOUBTED] = _NEXT
    return last >= rows and first == last - rows


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


@jit
def mark_nameable(first, stop, until, kind, latest, kept):
    """Mark in *kept* (n,) the doubts of stretches [first, stop), and of evidence up to *until*, that can still be named.

    Of the doubts that concern a page, the last one is: a later one hides a doubt of evidence that is no later. But only others of
    their *kind* hide the SILENCE of a whole dump, which says more, and a LOSS, which reaches further when the skew of the clocks
    turns out to be larger. *latest* is (3, p), without times.
    """
    for i in range(first.size - 1, -1, -1):
        for page in range(first[i], stop[i]):
            if kind[i] != LOSS and until[i] > latest[0, page]:
                kept[i] = True
            if kind[i] != 0 and until[i] > latest[kind[i], page]:
                latest[kind[i], page] = until[i]
                kept[i] = True
            latest[0, page] = max(latest[0, page], until[i])
