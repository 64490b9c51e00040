"""Decide what an event is by its name: it is known, it says nothing of ownership, or it is a loss."""

from typing import Final

from pagetrail.producers.meaning import EVENTS
from pagetrail.schemas.linux.other_events import TELLING_WORDS, says_nothing_new

_FAMILY: Final = "mm_page"
_PAGE_FIELD: Final = "pfn="


def may_tell_of_pages(name: str, payload: str = "") -> bool:
    """Return whether events *name* (without its group), which are none that are read, may tell of a page's owner.

    Parameters
    ----------
    payload
        What the first event of that name prints: a field pfn names a page.
    """
    small = name.lower()
    if any(small == known or _differ_by_one(small, known) for known in EVENTS):
        return True
    if says_nothing_new(name):
        return False
    return _FAMILY in small or any(word in small for word in TELLING_WORDS) or _PAGE_FIELD in payload


def _differ_by_one(left: str, right: str) -> bool:
    """Return whether one letter changed, added, removed or exchanged with the next makes *right* of *left*."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    ahead, behind = left[same:], right[same:]
    swapped = ahead[:2] == behind[1::-1] and ahead[2:] == behind[2:]
    return swapped or ahead[1:] == behind[1:] or ahead[1:] == behind or ahead == behind[1:]
