"""What a kernel said of its own memory, read independently of pagetrail's own readers, page by page."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log.contract import MAX_READ_BYTES

KPF_BUDDY: Final = 10
"""On every page of a free block. Source: include/uapi/linux/kernel-page-flags.h and fs/proc/page.c (Linux 6.1)."""

KPF_IN_USE: Final = {"lru": 5, "slab": 7, "mmap": 11, "anon": 12, "huge": 17, "pgtable": 26}
"""Flags that no free page has."""

SAME_TS: Final = 20_000_000
ATTRIBUTES: Final = ("state", "order", "pid", "tgid", "gfp_mask", "ts_nsec")

NOT_TOLD: Final = -(1 << 62)
"""What a dump of Linux 5.10 does not say: pid, tgid and time of an allocation."""

_RECORD = re.compile(
    rb"Page allocated via order (\d+), mask (0x[0-9a-f]+)\([^\n]*?\)"
    rb"(?:, pid (-?\d+), tgid (-?\d+) \([^\n]*\), ts (\d+) ns(?:, free_ts \d+ ns)?)?\nPFN (0x[0-9a-f]+|\d+) "
)


@dataclass(frozen=True, slots=True)
class Dump:
    """The records of a page_owner text, by pfn; int64 each."""

    pfn: NDArray[np.int64]
    order: NDArray[np.int64]
    pid: NDArray[np.int64]
    tgid: NDArray[np.int64]
    gfp_mask: NDArray[np.int64]
    ts_nsec: NDArray[np.int64]


def read_dump(text: bytes) -> Dump:
    """Return every record of a page_owner text."""
    found = _RECORD.findall(text)
    assert len(found) == text.count(b"Page allocated via"), "a record of another form than Linux 5.10's to 7.2's"
    rows = np.array(
        [[int(f[5], 0), int(f[0]), _told(f[2]), _told(f[3]), int(f[1], 16), _told(f[4])] for f in found], np.int64
    )
    rows = rows.reshape(-1, 6)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return Dump(*(np.ascontiguousarray(column) for column in rows.T))


@lru_cache(maxsize=32)
def read_dump_of(path: Path) -> Dump:
    """Return every record of the page_owner text in a file that does not change."""
    return read_dump(path.read_bytes())


def _told(number: bytes) -> int:
    return int(number) if number else NOT_TOLD


def agreeing(kernel: Dump, ours: Dump) -> int:
    """Return how many of the kernel's records another text states exactly: pfn, order, pid, gfp; ts within 20 ms."""
    where = np.minimum(np.searchsorted(ours.pfn, kernel.pfn), ours.pfn.size - 1)
    agree = ours.pfn[where] == kernel.pfn
    for name in ("order", "pid", "gfp_mask"):
        agree &= getattr(ours, name)[where] == getattr(kernel, name)
    return int((agree & (np.abs(ours.ts_nsec[where] - kernel.ts_nsec) <= SAME_TS)).sum())


def read_kpageflags(snapshot: Path) -> NDArray[np.uint64]:
    """Return /proc/kpageflags of a snapshot: one u64 a pfn."""
    with (snapshot / "kpageflags.bin.zst").open("rb") as packed:
        raw = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed).read()
    return np.frombuffer(raw, np.uint64)


class Touched:
    """Which pages the recording's events name between two instants: of these, a view read meanwhile proves nothing."""

    def __init__(self, trail: Path) -> None:
        columns: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ("ts", "pfn", "nr_pages", "source")}
        with SqliteLogReader(trail) as reader:
            for partition in reader.partitions():
                offset = reader.low_watermark(partition)
                while records := reader.read(partition, offset, MAX_READ_BYTES):
                    for record in records:
                        _, batch = decode_frame(record.payload, "the log")
                        self._add(columns, {name: batch.column(name) for name in _NEEDED})
                    offset = records[-1].offset + 1
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        self._ts, self._pfn = joined["ts"], joined["pfn"]
        self._nr_pages, self._source = joined["nr_pages"], joined["source"]

    @staticmethod
    def _add(columns: dict[str, list[NDArray[np.int64]]], found: dict[str, NDArray[np.generic]]) -> None:
        kind = found["kind"]
        rows = np.isin(kind, [Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.HOTPLUG])
        counted = (kind == Kind.SPLIT) | (kind == Kind.HOTPLUG)
        order = np.clip(found["order"].astype(np.int64), 0, 20)
        pages = np.where(kind == Kind.MIGRATE, 1, np.where(counted, found["nr_pages"], np.int64(1) << order))
        source = np.where(kind == Kind.MIGRATE, found["src_pfn"], -1)
        values = {"ts": found["trace_ts_nsec"], "pfn": found["pfn"], "nr_pages": pages, "source": source}
        for name, column in values.items():
            columns[name].append(column[rows].astype(np.int64))

    def between(self, begin: int, end: int, pages: int) -> NDArray[np.bool_]:
        """Return for each pfn below *pages* whether an event in [begin, end] (trace clock, ns) names it."""
        rows = np.flatnonzero((self._ts >= begin) & (self._ts <= end))
        named = [(self._pfn[rows], self._nr_pages[rows]), (self._source[rows], np.ones_like(rows))]
        first, count = (np.concatenate(parts) for parts in zip(*named, strict=True))
        there = (first >= 0) & (count > 0)
        begins, ends = (np.minimum(edge[there], pages) for edge in (first, first + count))
        # On each page: how many of these ranges began up to it, less how many ended.
        open_ranges = np.bincount(begins, minlength=pages + 1) - np.bincount(ends, minlength=pages + 1)
        return np.cumsum(open_ranges)[:pages] > 0


_NEEDED: Final = ("kind", "trace_ts_nsec", "pfn", "order", "nr_pages", "src_pfn")
