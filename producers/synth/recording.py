"""A host's events as a recording: what an ingest of its text would store, without the text."""

from collections.abc import Iterator
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.detail_rows import clock_row, detail_row
from pagetrail.producers.parsed import ReadAccount
from pagetrail.producers.recording_info import Recording, RecordingInfo
from pagetrail.producers.synth.blocks_jit import NO_MASK
from pagetrail.producers.synth.events import CHUNK_EVENTS, FIRST_PFN, Chunk, chunks
from pagetrail.producers.synth.load import LoadHost
from pagetrail.producers.synth.tasks import MASKS, RELEASE, tasks
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import Boot, Clock, Coverage, Covered, Zone
from pagetrail.schemas.linux.kmem_events import MM_PAGE_ALLOC, MM_PAGE_FREE
from pagetrail.schemas.linux.mmzone import MAX_ORDER, PAGE_SHIFT, PAGEBLOCK_ORDER
from pagetrail.schemas.linux.releases import gfp_of

FORMAT: Final = "synth"
_BOOTED_NSEC: Final = 1_767_225_600 * 10**9
"""Wall time at which each host booted: 2026-01-01, UTC."""
COVERS: Final[tuple[Covered, ...]] = get_args(Covered)
"""All kinds: what does not happen is seen completely."""


def open_load(host: LoadHost, chunk_events: int = CHUNK_EVENTS) -> Recording:
    """Return a host of a load as a recording; its frames do not depend on *chunk_events*."""
    gfp = gfp_of(RELEASE)
    info = RecordingInfo(
        host=host.name, boot_id=host.boot_id, recording_id=host.recording_id, format=FORMAT, source=host.name,
        trace_clock="local", gfp_read_for=gfp.read_for, gfp_known=gfp.known,
    )  # fmt: skip
    return Recording(info=info, parser=LoadParser(host, chunk_events))


class LoadParser:
    """The events of a host as a ``parsed.Parser``."""

    def __init__(self, host: LoadHost, chunk_events: int) -> None:
        self._host, self._chunk_events = host, chunk_events
        self.account = ReadAccount()

    def batches(self) -> Iterator[EventBatch]:
        """Yield what is declared of the host, and its events."""
        make = _Batches()
        begun = False
        for chunk in chunks(self._host, self._chunk_events):
            if not begun:
                yield from _declared(int(chunk.ts[0]), self._host.load.pages)
                begun = True
            allocs = int(np.count_nonzero(chunk.mask != NO_MASK))
            self.account.events[MM_PAGE_ALLOC] += allocs
            self.account.events[MM_PAGE_FREE] += chunk.ts.size - allocs
            yield make.batch(chunk)


def _declared(ts: int, pages: int) -> Iterator[EventBatch]:
    """Yield what a capture of a host with so many *pages* says before its first event."""
    first, stop = FIRST_PFN, FIRST_PFN + pages
    boot = Boot(
        release=RELEASE, arch="x86_64", page_shift=PAGE_SHIFT, section_size_bits=27, memory_block_bytes=1 << 27,
        pageblock_order=PAGEBLOCK_ORDER, max_order=MAX_ORDER, memory_model="SPARSEMEM", nodes=(0,),
        zones=(Zone(node=0, name="Normal", start_pfn=first, stop_pfn=stop),), present=((first, stop),),
    )  # fmt: skip
    yield detail_row(Kind.BOOT, ts, boot)
    yield clock_row(ts, Clock(ts_nsec=ts, monotonic=ts, boottime=ts, realtime=_BOOTED_NSEC + ts, source=FORMAT))
    yield detail_row(Kind.COVERAGE, ts, Coverage(kinds=COVERS, declared_by=FORMAT))


class _Batches:
    """Makes batches of chunks: tables that give the columns of tasks and masks."""

    def __init__(self) -> None:
        named = tasks()
        comms = [task.comm for task in named]
        self._texts = list(dict.fromkeys(comms))
        self._pid = np.array([task.pid for task in named], np.int32)
        self._comm = np.array([self._texts.index(comm) for comm in comms], np.int32)
        # a free is the last row
        self._gfp_mask = np.array([*(mask.bits for mask in MASKS), absent("gfp_mask")], np.int64)
        self._migratetype = np.array([*(mask.migratetype for mask in MASKS), absent("migratetype")], np.int8)
        self._kind = np.array([Kind.ALLOC] * len(MASKS) + [Kind.FREE], np.int8)

    def batch(self, chunk: Chunk) -> EventBatch:
        columns: dict[str, NDArray[np.generic]] = {
            "kind": self._kind[chunk.mask],
            "trace_ts_nsec": chunk.ts,
            "cpu": chunk.cpu,
            "pid": self._pid[chunk.task],
            "comm": self._comm[chunk.task],
            "pfn": chunk.pfn,
            "order": chunk.order,
            "gfp_mask": self._gfp_mask[chunk.mask],
            "migratetype": self._migratetype[chunk.mask],
        }
        return EventBatch(columns=columns, texts={"comm": self._texts})
