"""/proc/kpageflags: one u64 a page frame. Its BUDDY bit is the only proof that a page is free."""

from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux.page_flags import KPF_BUDDY, KPF_HWPOISON, KPF_NOPAGE, KPF_OFFLINE

KEPT_BITS: Final = KPF_BUDDY | KPF_HWPOISON | KPF_NOPAGE | KPF_OFFLINE
"""What is stored: the other bits change from page to page, and say nothing about its owner."""

MOST_PAGES: Final = 1 << 34
"""No machine has more page frames: 64 TiB. What follows them in a file is not read."""

_STEP_BYTES: Final = 1 << 20
_U64: Final = 8


class KPageFlags:
    """The runs of pages with equal flags (of ``KEPT_BITS``, at least one set) in a file that is read in steps.

    Source: fs/proc/page.c, kpageflags_read and stable_page_flags (Linux 6.1): little-endian on x86.

    Attributes
    ----------
    cut
        At the end: whether the file is cut in a u64, or has more than ``MOST_PAGES``.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.cut = False

    def batches(self) -> Iterator[EventBatch]:
        """Yield the runs, each once, in their order: ends of steps do not part them."""
        pfn, held, rest = 0, np.zeros((3, 0), np.int64), b""
        while data := rest + self._stream.read(_STEP_BYTES):
            count = min(len(data) // _U64, MOST_PAGES - pfn)
            flags, rest = np.frombuffer(data, "<u8", count) & np.uint64(KEPT_BITS), data[_U64 * count :]
            if not flags.size:
                self.cut = True
                break
            runs = _joined(held, _runs_of(flags, pfn))
            pfn += flags.size
            held = runs[:, -1:]
            if runs.shape[1] > 1:
                yield _rows(runs[:, :-1])
        yield _rows(held)


def _runs_of(flags: NDArray[np.uint64], pfn: int) -> NDArray[np.int64]:
    """Return the runs of equal *flags*, the first of which are those of *pfn*: (3, n) first page, pages, flags."""
    starts = np.flatnonzero(np.concatenate(([True], flags[1:] != flags[:-1])))
    return np.stack([starts + pfn, np.diff(np.append(starts, flags.size)), flags[starts].astype(np.int64)])


def _joined(held: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the run *held*, if there is one, and those that follow it, as one if they are."""
    if held.shape[1] and held[2, 0] == runs[2, 0]:
        runs[0, 0], runs[1, 0] = held[0, 0], held[1, 0] + runs[1, 0]
        return runs
    return np.concatenate([held, runs], axis=1)


def _rows(runs: NDArray[np.int64]) -> EventBatch:
    pfn, nr_pages, flags = runs[:, (runs[2] & (KEPT_BITS & ~KPF_NOPAGE)) != 0]
    kind = np.full(pfn.size, Kind.BASELINE_ENTRY, np.int8)
    return EventBatch(columns={"kind": kind, "pfn": pfn, "nr_pages": nr_pages, "page_flags": flags})
