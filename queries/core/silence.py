"""Pages that an event proved to be owned, and that a later whole dump does not list: there the kernel has no record."""

import numpy as np
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instant
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import DOUBT_BASELINE, OPEN_END, State


def unlisted(
    pfn: NDArray[np.int64], records: NDArray[np.void], at: Instant, facts: Facts, doubts: NDArray[np.void]
) -> NDArray[np.bool_]:
    """Return which pages (sorted) have no record in the kernel's view at an instant, although *records* prove an owner.

    A whole dump lists every page that page_owner knows: its silence casts an open doubt on what is proven. It holds until an event
    or a dump says something new of the page.

    Source: mm/page_owner.c, read_page_owner (Linux 6.1).
    """
    found = np.zeros(pfn.size, np.bool_)
    whole = [audit.seq for audit in facts.audits if audit.whole]
    if not whole or not doubts.size:
        return found
    known = doubts["noticed_ts"] <= at.ts if at.seq is None else doubts["seq"] <= at.seq
    silent = (doubts["reason"] == DOUBT_BASELINE) & (doubts["to_ts"] == OPEN_END) & np.isin(doubts["seq"], whole)
    silent = doubts[silent & known]
    first = np.searchsorted(pfn, silent["pfn"], side="left")
    last = np.searchsorted(pfn, silent["pfn"] + silent["nr_pages"], side="left")
    owned, since = records["state"] == State.OWNED, records["evidence_ts"]
    for start, stop, until in zip(first.tolist(), last.tolist(), silent["from_ts"].tolist(), strict=True):
        found[start:stop] |= owned[start:stop] & (since[start:stop] <= until)
    return found
