"""Doubts that last until there is other evidence: each file has those of the files before it.

There are at most some for each page that was ever in one, however many were cast.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.doubts import evidence_until, order_of
from pagetrail.replay.facts.doubts_aside import DoubtsAside
from pagetrail.replay.fold.notice_jit import LOSS, SILENCE, mark_nameable
from pagetrail.schemas.owner import ABSENT64, DOUBT_BASELINE, DOUBT_DTYPE, DOUBT_LOST, OPEN_END
from pagetrail.schemas.structs import taken


def lasting_after(
    before: NDArray[np.void],
    cast: NDArray[np.void],
    aside: DoubtsAside,
    *,
    skew: int,
    dumps: Collection[int],
    oldest: int,
) -> NDArray[np.void]:
    """Return the doubts that last beyond a segment and that can still be named: DOUBT_DTYPE, in the order of answers.

    Parameters
    ----------
    before
        Those that lasted into it.
    cast, aside
        Those that were cast in it.
    skew
        Of the CPUs' clocks, ns.
    dumps
        The stream_seq of each whole dump.
    oldest
        The time of the oldest evidence of a live span (trace clock, ns): no later answer rests on earlier evidence.
    """
    parts = [before, cast[cast["to_ts"] == OPEN_END]]
    if aside.lasting:
        parts += [rows[rows["to_ts"] == OPEN_END] for (rows,) in aside.rows.pieces()]
    doubts = np.concatenate([np.zeros(0, DOUBT_DTYPE), *parts])
    del parts  # there may be a doubt of every page
    if not doubts.size:
        return doubts
    order = order_of(doubts)
    for name in DOUBT_DTYPE.names or ():
        doubts[name] = doubts[name][order]
    until = evidence_until(doubts, skew)
    lost = doubts["reason"] == DOUBT_LOST
    silent = (doubts["reason"] == DOUBT_BASELINE) & np.isin(doubts["seq"], list(dumps))
    stop = doubts["pfn"] + doubts["nr_pages"]
    borders = np.unique(np.concatenate([doubts["pfn"], stop]))
    first, last = np.searchsorted(borders, doubts["pfn"]), np.searchsorted(borders, stop)
    kept, latest = np.zeros(doubts.size, np.bool_), np.full((3, borders.size), ABSENT64)
    mark_nameable(first, last, until, np.where(lost, LOSS, np.where(silent, SILENCE, 0)), latest, kept)
    kept &= lost | (until >= oldest)
    return doubts if kept.all() else taken(doubts, np.flatnonzero(kept))
