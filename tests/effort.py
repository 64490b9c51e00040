"""How much the tests try: a little at each change (``make test``), as much as a night gives in ``make nightly``."""

import os
from typing import TypeVar

T = TypeVar("T")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def effort(usual: T, nightly: T) -> T:
    """Return the size of what is tried: *usual*, or *nightly* in a long search."""
    return nightly if NIGHTLY else usual
