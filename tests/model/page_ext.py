"""The model kernel's page_ext: what every page's record says, after each event; and beside it what is really true.

Source of every rule: mm/page_owner.c and mm/page_ext.c (Linux 6.1; 6.12 where a call has more
arguments). The two views part only where page_owner starts late: it stamps what it finds allocated then, and what lies on per-cpu
lists, as its own.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import ABSENT8, ABSENT64


class PageState(enum.IntEnum):
    """What page_ext says of a page."""

    ABSENT = 0
    """Its section has no extension."""
    UNSET = 1
    """There is an extension, and no event ever touched the page."""
    FREE = 2
    OWNED = 3


# One page; ABSENT values where nothing was set.
PAGE_DTYPE: Final = np.dtype(
    [
        ("state", np.int8),
        ("order", np.int8),
        ("migratetype", np.int8),
        ("migrate_reason", np.int8),
        ("in_buddy", np.bool_),  # it went to the buddy allocator, where a dump steps over it
        ("early", np.bool_),  # page_owner's own stamp of what was there before it
        ("poison", np.bool_),
        ("guard", np.bool_),
        ("generation", np.int32),  # how many extensions the section has had
        ("pid", np.int32),
        ("tgid", np.int32),
        ("comm", np.int32),
        ("stack", np.int32),
        ("event", np.int64),  # row of the event that last touched the page; -1: none that was traced
        ("gfp_mask", np.int64),
        ("ts_nsec", np.int64),  # page_owner's clock
        ("free_ts_nsec", np.int64),
    ],
    align=True,
)

Pages = NDArray[np.void]

_OWNER: Final = [
    "order",
    "gfp_mask",
    "pid",
    "tgid",
    "comm",
    "stack",
    "ts_nsec",
    "migratetype",
    "migrate_reason",
    "early",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What page_owner writes on every page of an allocation."""

    order: int
    gfp_mask: int
    pid: int
    tgid: int
    comm: int
    stack: int
    ts_nsec: int
    migratetype: int = 0
    early: bool = False


class PageExt:
    """The records of all pages: one view of them."""

    def __init__(self, nr_pages: int) -> None:
        self.pages: Pages = np.zeros(nr_pages, PAGE_DTYPE)

    def online(self, event: int, start: int, stop: int) -> None:
        """Give the sections of a range an extension (MEM_GOING_ONLINE), one generation more."""
        generation = self.pages["generation"][start:stop] + 1
        self._blank(start, stop, PageState.UNSET)
        self.pages["generation"][start:stop] = generation

    def offline(self, event: int, start: int, stop: int) -> None:
        """Take it away (MEM_OFFLINE, MEM_CANCEL_ONLINE)."""
        generation = self.pages["generation"][start:stop].copy()
        self._blank(start, stop, PageState.ABSENT)
        self.pages["generation"][start:stop] = generation

    def _blank(self, start: int, stop: int, state: PageState) -> None:
        rows = self.pages[start:stop]
        rows[:] = np.zeros(1, PAGE_DTYPE)[0]
        rows["state"] = state
        rows["event"] = -1
        rows["migratetype"] = rows["migrate_reason"] = ABSENT8
        rows["ts_nsec"] = rows["free_ts_nsec"] = ABSENT64

    def set_owner(self, event: int, pfn: int, nr_pages: int, stamp: Stamp) -> None:
        """Stamp every page of a block (__set_page_owner)."""
        rows = self.pages[pfn : pfn + nr_pages]
        for name in ("order", "gfp_mask", "pid", "tgid", "comm", "stack", "ts_nsec", "migratetype", "early"):
            rows[name] = getattr(stamp, name)
        rows["migrate_reason"] = ABSENT8
        rows["in_buddy"] = False
        rows["state"] = PageState.OWNED
        rows["event"] = event

    def bulk_owner(self, event: int, pfn: int, stamp: Stamp) -> None:
        """Stamp a page without an event of its own."""
        self.set_owner(-1, pfn, 1, stamp)

    def reset_owner(self, event: int, pfn: int, nr_pages: int, ts_nsec: int) -> None:
        """Every page of a range is free (__reset_page_owner); who had it stays."""
        rows = self.pages[pfn : pfn + nr_pages]
        rows["state"] = PageState.FREE
        rows["free_ts_nsec"] = ts_nsec
        rows["event"] = event

    def split_owner(self, event: int, pfn: int, nr_pages: int, order: int = 0) -> None:
        """Set a new order on every page of a block (__split_page_owner)."""
        rows = self.pages[pfn : pfn + nr_pages]
        rows["order"] = order
        rows["event"] = event

    def copy_owner(self, event: int, pfn: int, src_pfn: int, nr_pages: int = 1) -> None:
        """Copy the record of one page to the head of another block, or to all of its pages (__folio_copy_owner)."""
        rows = self.pages[pfn : pfn + nr_pages]
        for name in _OWNER:
            rows[name] = self.pages[name][src_pfn]
        rows["free_ts_nsec"] = self.pages["ts_nsec"][src_pfn]
        rows["state"] = PageState.OWNED
        rows["event"] = event

    def migrated(self, event: int, pfn: int, reason: int) -> None:
        """Write why a page was migrated (__set_page_owner_migrate_reason)."""
        self.pages["migrate_reason"][pfn] = reason

    def set_flag(self, event: int, pfn: int, nr_pages: int, flag: str, on: bool) -> None:
        """Set or clear a flag of the debug client."""
        self.pages[flag][pfn : pfn + nr_pages] = on

    def drained(self, event: int, pfn: int, nr_pages: int) -> None:
        """See pages leave a per-cpu list for the buddy allocator: whatever was not known of them, they are free."""
        self._not_allocated(event, pfn, nr_pages)
        self.pages["in_buddy"][pfn : pfn + nr_pages] = True

    def refilled(self, event: int, pfn: int, nr_pages: int) -> None:
        """See pages come from the buddy allocator to a per-cpu list."""
        self._not_allocated(event, pfn, nr_pages)
        self.pages["in_buddy"][pfn : pfn + nr_pages] = False

    def _not_allocated(self, event: int, pfn: int, nr_pages: int) -> None:
        rows = self.pages[pfn : pfn + nr_pages]
        rows["state"][rows["state"] == PageState.UNSET] = PageState.FREE
        rows["event"] = event

    def early(self, event: int, pfns: Sequence[int], stamp: Stamp) -> None:
        """Stamp pages found when page_owner starts (init_pages_in_zone), unless they have a record already."""
        for pfn in pfns:
            if self.pages["state"][pfn] == PageState.UNSET:
                self.set_owner(-1, pfn, 1, stamp)


# Operations that only one of the views knows.
_ACTUAL_ONLY: Final = frozenset({"drained", "refilled"})
_KERNEL_ONLY: Final = frozenset({"early"})
_ALWAYS: Final = frozenset({"online", "offline"})


class Truth:
    """Both views, moved together.

    Attributes
    ----------
    kernel
        What the kernel's page_ext holds. Nothing is written into it before page_owner has started.
    actual
        Who really owns each page.
    """

    def __init__(self, nr_pages: int) -> None:
        self.kernel, self.actual = PageExt(nr_pages), PageExt(nr_pages)
        self.started = False

    def apply(self, event: int, op: str, arguments: Sequence[Any]) -> None:
        """Apply one operation, named as the method of ``PageExt``; ``start`` starts page_owner."""
        if op == "start":
            self.started = True
            return
        if op not in _KERNEL_ONLY:
            getattr(self.actual, op)(event, *arguments)
        if op in _ALWAYS or (self.started and op not in _ACTUAL_ONLY):
            getattr(self.kernel, op)(event, *arguments)


@dataclass(slots=True)
class Journal:
    """Every operation on page_ext, with the row of the event that it belongs to: the truth of any instant."""

    nr_pages: int
    entries: list[tuple[int, str, Sequence[Any]]] = field(default_factory=list)

    def truths(self, rows: Sequence[int]) -> Iterator[Truth]:
        """Yield the truth just after each of *rows*, which rise. It is one object that moves on: read it at once."""
        truth, done = Truth(self.nr_pages), 0
        for row in rows:
            while done < len(self.entries) and self.entries[done][0] <= row:
                truth.apply(*self.entries[done])
                done += 1
            yield truth

    def truth_at(self, row: int) -> Truth:
        """Return the truth just after event *row*."""
        return next(self.truths([row]))
