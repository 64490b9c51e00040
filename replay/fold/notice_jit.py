"""Counting anomalies, casting doubts, and quarantining impossible events.

Dimensions as in ``tables.py``.
"""

from pagetrail.replay.fold.tables import DOUBTS, QUARANTINE
from pagetrail.schemas.jit import jit
from pagetrail.schemas.owner import OPEN_END


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
    """Cast doubt on many runs of pages (n,), of each until new evidence comes: there is room for so many."""
    for i in range(pfn.size):
        doubt_on(t, pfn[i], nr_pages[i], from_ts[i], ts, seq, reason)


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
