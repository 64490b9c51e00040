"""The model kernel as a source of recordings: fleets of hosts for load tests, each with its name, its boot and its seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.detail_rows import clock_row, detail_row
from pagetrail.producers.parsed import ReadAccount
from pagetrail.producers.recording_info import Recording, RecordingInfo
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Clock, Coverage
from tests.model.config import EVERYTHING, GFP_HIGHUSER_MOVABLE, GFP_KERNEL, ModelConfig
from tests.model.kernel import ModelKernel

FORMAT: Final = "workload-model"
BATCH_EVENTS: Final = 1 << 16

_SLOT_ORDERS: Final = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4], np.int64)
"""Blocks of one tile of memory, by order; larger ones first, each is aligned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHost:
    """One boot of one host of the model: the same values give the same recording."""

    host: str
    seed: int
    events: int
    boot_id: str | None = None

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that name the recording."""
        said = f"{self.host}\0{self.boot_id}\0{self.seed}\0{self.events}"
        return blake2b(said.encode(), digest_size=16).hexdigest()


class ModelRecording:
    """The full model: everything that can happen, at tens of thousands of events a second.

    Parameters
    ----------
    host
        ``events`` counts its steps: a step is one to a few events.
    """

    def __init__(self, host: ModelHost, *, config: ModelConfig | None = None) -> None:
        self.host, self.config = host, config
        self.account = ReadAccount()

    def batches(self) -> Iterator[EventBatch]:
        """Yield the whole history."""
        batch = ModelKernel(self.host.seed, config=self.config).run(self.host.events).events
        _count(self.account, batch)
        yield batch


class PlainLoad:
    """Allocations and frees alone, by the million: blocks that lie fixed in memory are allocated and freed in turn.

    Parameters
    ----------
    sections
        Sections of 32,768 pages that the load is spread over.
    processes
        Processes that allocate.
    rate
        Events a second of the trace's time.
    """

    def __init__(self, host: ModelHost, *, sections: int = 1, processes: int = 16, rate: int = 100_000) -> None:
        self.host, self.sections, self.processes, self.rate = host, sections, processes, rate
        self.account = ReadAccount()

    def batches(self) -> Iterator[EventBatch]:
        """Yield constants of the boot, then events in batches."""
        rng = np.random.default_rng(self.host.seed)
        now = 1_000_000_000
        yield from self._constants(now)
        pfn, order = _slots(self.sections << 15)
        owner = np.full(pfn.size, -1, np.int64)
        for start in range(0, self.host.events, BATCH_EVENTS):
            size = min(BATCH_EVENTS, self.host.events - start)
            batch = self._batch(rng, size, now, pfn, order, owner)
            _count(self.account, batch)
            now = int(batch.columns["trace_ts_nsec"][-1])
            yield batch

    def _constants(self, now: int) -> Iterator[EventBatch]:
        boot = Boot(
            release="6.1.0-model", arch="x86_64", section_size_bits=27, max_order=11, pageblock_order=9,
            memory_model="SPARSEMEM", page_ext_clients=("owner",), present=((0, self.sections << 15),),
        )  # fmt: skip
        yield detail_row(Kind.BOOT, now, boot)
        yield clock_row(now, Clock(ts_nsec=now, monotonic=now, realtime=1_700_000_000_000_000_000 + now, valid_from=0))
        yield detail_row(Kind.COVERAGE, now, Coverage(kinds=EVERYTHING, declared_by="the model"))

    def _batch(
        self,
        rng: np.random.Generator,
        size: int,
        now: int,
        pfn: NDArray[np.int64],
        order: NDArray[np.int64],
        owner: NDArray[np.int64],
    ) -> EventBatch:
        """Return *size* events; *owner*, by slot, -1 where free, moves on to their end."""
        slot = rng.integers(0, pfn.size, size)
        process = rng.integers(0, self.processes, size)
        by_slot = np.argsort(slot, kind="stable")
        sorted_slot = slot[by_slot]
        first = np.concatenate(([True], sorted_slot[1:] != sorted_slot[:-1]))
        begins = np.flatnonzero(first)
        nth = np.arange(size) - np.repeat(begins, np.diff(np.append(begins, size)))
        held = owner[sorted_slot] >= 0
        is_alloc = (nth % 2 == 0) ^ held
        mine = process[by_slot]
        before = np.where(first, owner[sorted_slot], np.concatenate(([-1], mine[:-1])))
        who = np.where(is_alloc, mine, before)
        last = np.append(begins[1:], size) - 1
        owner[sorted_slot[last]] = np.where(is_alloc[last], mine[last], -1)
        alloc, task = np.empty(size, np.bool_), np.empty(size, np.int64)
        alloc[by_slot], task[by_slot] = is_alloc, who
        return self._columns(rng, alloc, task, pfn[slot], order[slot], now)

    def _columns(
        self,
        rng: np.random.Generator,
        alloc: NDArray[np.bool_],
        task: NDArray[np.int64],
        pfn: NDArray[np.int64],
        order: NDArray[np.int64],
        now: int,
    ) -> EventBatch:
        size = alloc.size
        movable = task % 2 == 0
        gaps = rng.integers(1, 2_000_000_000 // self.rate, size)
        columns: dict[str, NDArray[np.generic]] = {
            "kind": np.where(alloc, Kind.ALLOC, Kind.FREE).astype(np.int8),
            "trace_ts_nsec": now + np.cumsum(gaps),
            "cpu": (task % 4).astype(np.int16),
            "pid": (1000 + task).astype(np.int32),
            "tgid": (1000 + task).astype(np.int32),
            "comm": task.astype(np.int32),
            "pfn": pfn,
            "order": order.astype(np.int8),
            "gfp_mask": np.where(alloc, np.where(movable, GFP_HIGHUSER_MOVABLE, GFP_KERNEL), np.iinfo(np.int64).min),
            "migratetype": np.where(alloc, movable, -128).astype(np.int8),
            "stack": np.where(alloc, task % 8, -1).astype(np.int32),
        }
        comms = [f"proc-{i}" for i in range(self.processes)]
        stacks = [f"__alloc_pages\nalloc_from_{i}\nmodel_load" for i in range(8)]
        return EventBatch(columns=columns, texts={"comm": comms, "stack": stacks})


def model_recording(parser: ModelRecording | PlainLoad) -> Recording:
    """Return a recording that ``ingest`` takes."""
    host = parser.host
    info = RecordingInfo(
        host=host.host, boot_id=host.boot_id, recording_id=host.identity, format=FORMAT, source=f"{FORMAT}-{host.seed}",
        trace_clock="local", options={"seed": str(host.seed), "model": type(parser).__name__},
    )  # fmt: skip
    return Recording(info=info, parser=parser)


def _slots(pages: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return blocks that fill *pages* pages, tile by tile: first page and order of each."""
    orders = np.sort(_SLOT_ORDERS)[::-1]
    sizes = np.int64(1) << orders
    tile = 1 << int(np.ceil(np.log2(sizes.sum())))
    starts = np.cumsum(sizes) - sizes
    tiles = np.arange(0, pages - tile + 1, tile)
    return (tiles[:, None] + starts[None, :]).ravel(), np.tile(orders, tiles.size)


def _count(account: ReadAccount, batch: EventBatch) -> None:
    kinds, counts = np.unique(batch.columns["kind"], return_counts=True)
    account.events.update({Kind(int(k)).name.lower(): int(n) for k, n in zip(kinds, counts, strict=True)})
