"""/proc/kpageflags: one u64 a page frame. Its BUDDY bit is the only proof that a page is free."""

from typing import BinaryIO, Final

import numpy as np

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux.page_flags import KPF_BUDDY, KPF_HWPOISON, KPF_NOPAGE, KPF_OFFLINE

KEPT_BITS: Final = KPF_BUDDY | KPF_HWPOISON | KPF_NOPAGE | KPF_OFFLINE
"""What is stored: the other bits change from page to page, and say nothing about its owner."""


def read_kpageflags(stream: BinaryIO) -> tuple[EventBatch, bool]:
    """Return the runs of pages with equal flags (of ``KEPT_BITS``, at least one set), and whether the file is cut in a u64.

    Source: fs/proc/page.c, kpageflags_read and stable_page_flags (Linux 6.1): little-endian on x86.
    """
    data = stream.read()
    flags = np.frombuffer(data, dtype="<u8", count=len(data) // 8) & np.uint64(KEPT_BITS)
    starts = np.flatnonzero(np.concatenate(([True], flags[1:] != flags[:-1]))) if flags.size else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, flags.size))
    kept = (flags[starts] & np.uint64(KEPT_BITS & ~KPF_NOPAGE)) != 0
    rows = EventBatch(
        columns={
            "kind": np.full(int(kept.sum()), Kind.BASELINE_ENTRY, np.int8),
            "pfn": starts[kept].astype(np.int64),
            "nr_pages": lengths[kept].astype(np.int64),
            "page_flags": flags[starts][kept].astype(np.int64),
        }
    )
    return rows, len(data) % 8 != 0
