"""Which evidence a doubt concerns, and the order of doubts."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import DOUBT_HOTPLUG, DOUBT_LOST, DOUBT_RANGE, QUARANTINED

DOUBT_ALL: Final = frozenset({DOUBT_HOTPLUG, DOUBT_RANGE, *(int(kind) for kind in QUARANTINED)})
"""Doubts about all evidence of their pages during a time; other doubts contradict one piece of evidence."""

_ORDER: Final = ("seq", "pfn", "from_ts", "reason", "nr_pages", "to_ts", "noticed_ts")


def order_of(doubts: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the order of doubts (DOUBT_DTYPE) in answers, as indexes: of those that concern a page, the last is named."""
    return np.lexsort([doubts[name] for name in reversed(_ORDER)])


def evidence_until(doubts: NDArray[np.void], skew: int) -> NDArray[np.int64]:
    """Return up to which time evidence must have begun to be in each doubt (DOUBT_DTYPE); trace clock, ns.

    A loss reaches further by the *skew* of the CPUs' clocks, in both directions: see ``losses``.
    """
    reason = doubts["reason"]
    contradicted = np.where(reason == DOUBT_LOST, doubts["noticed_ts"] + skew, doubts["from_ts"])
    return np.asarray(np.where(np.isin(reason, sorted(DOUBT_ALL)), doubts["to_ts"], contradicted))
