"""The events of one host of a load, in chunks of any size: the same events, and bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.synth import blocks_jit as g
from pagetrail.producers.synth.load import Load, LoadHost
from pagetrail.producers.synth.tasks import mask_by_draw, task_by_rank

CHUNK_EVENTS: Final = 1 << 16
FIRST_PFN: Final = 1 << 12
"""A multiple of the largest block."""
_BEGIN_NSEC: Final = 10 * 10**9
"""Trace clock before the first event."""
_BAND: Final = 64
"""The live pages may fall below their ceiling by one of so many parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """n events in order of time.

    Attributes
    ----------
    ts
        Trace clock, ns; shape (n,), as the others.
    cpu, pfn, order
        As events have them.
    task
        Index into ``tasks.tasks()``.
    mask
        Index into ``tasks.MASKS``; NO_MASK for a free.
    """

    ts: NDArray[np.int64]
    cpu: NDArray[np.int16]
    task: NDArray[np.int32]
    pfn: NDArray[np.int64]
    order: NDArray[np.int8]
    mask: NDArray[np.int8]


def chunks(host: LoadHost, chunk_events: int = CHUNK_EVENTS) -> Iterator[Chunk]:
    """Yield all events of a host, *chunk_events* at a time. It takes 4 bytes a page and 5 bytes a live page."""
    load = host.load
    free, free_start, free_count = _free_blocks(load)
    live, live_order = np.empty(load.live, np.int32), np.empty(load.live, np.int8)
    ranks, draws = task_by_rank(), mask_by_draw()
    running = ranks[np.arange(g.CPUS) * ranks.size // g.CPUS]
    state, settings = np.zeros(g.STATE, np.int64), _settings(load)
    state[g.RANDOM], state[g.CLOCK] = host.first_state, _BEGIN_NSEC
    for start in range(0, load.events, chunk_events):
        n = min(chunk_events, load.events - start)
        ts, cpu, task = np.empty(n, np.int64), np.empty(n, np.int16), np.empty(n, np.int32)
        page, order, mask = np.empty(n, np.int32), np.empty(n, np.int8), np.empty(n, np.int8)
        g.generate(
            state, settings, free, free_start, free_count, live, live_order, running, ranks, draws,
            ts, cpu, task, page, order, mask,
        )  # fmt: skip
        yield Chunk(ts=ts, cpu=cpu, task=task, pfn=page + np.int64(FIRST_PFN), order=order, mask=mask)


def _settings(load: Load) -> NDArray[np.int64]:
    settings = np.zeros(g.SETTINGS, np.int64)
    settings[g.FLOOR] = load.live - load.live // _BAND
    settings[g.CEILING] = load.live
    settings[g.STEP_SPAN] = 2 * (10**9 // load.rate - g.LEAST_STEP) + 1
    settings[g.MAX_BLOCK_ORDER] = load.max_order
    return settings


def _free_blocks(load: Load) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return all blocks of all orders, where those of an order begin, and how many they are.

    Each order has a stretch of memory of its own, a quarter of the one below; the largest comes first, so each is aligned.
    """
    stretches: dict[int, NDArray[np.int32]] = {}
    begin = 0
    for order in range(load.max_order, 0, -1):
        end = begin + (load.pages >> 2 * order >> order << order)
        stretches[order] = np.arange(begin, end, 1 << order, dtype=np.int32)
        begin = end
    stretches[0] = np.arange(begin, load.pages, dtype=np.int32)
    by_order = [stretches[order] for order in range(load.max_order + 1)]
    counts = np.array([blocks.size for blocks in by_order], np.int64)
    return np.concatenate(by_order), np.cumsum(counts) - counts, counts
