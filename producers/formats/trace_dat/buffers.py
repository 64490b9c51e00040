"""Which buffers of a file are read: all that hold events of pages, and each of these events once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.trace_dat import events_jit as ej
from pagetrail.producers.formats.trace_dat import pages_jit as pj
from pagetrail.producers.formats.trace_dat.layouts import RecordLayouts
from pagetrail.producers.formats.trace_dat.parts import Buffer, FileHeader
from pagetrail.producers.formats.trace_dat.streams import Streams
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.meaning import EVENTS


@dataclass(slots=True, kw_only=True)
class Choice:
    """The buffers that are read; the *notes* say which are not, and why.

    Attributes
    ----------
    elsewhere
        Names of events of pages that a buffer holds and the top one does not, or has fewer of.
    """

    buffers: list[Buffer]
    notes: list[str] = field(default_factory=list)
    elsewhere: frozenset[str] = frozenset()

    @property
    def clock(self) -> str:
        """The clock of the buffers; empty: the file does not say."""
        return self.buffers[0].clock if self.buffers else ""


CLOCK_OF_TOP: Final = (
    "the clock of {} is what trace-cmd says of it ({}), and trace-cmd may say that of the top buffer for every one: compare its "
    "times with those of other recordings if the instance had the same clock"
)


def chosen(file: FileHeader, read: ReadAt, size: int, layouts: RecordLayouts, pages: NDArray[np.int64]) -> Choice:
    """Return the buffers of a file that are read. What two hold was written twice: the one with more events counts."""
    found = _chosen(file, read, size, layouts, pages)
    instances = [_named(buffer) for buffer in found.buffers if buffer.name]
    if instances and found.clock:
        found.notes.append(CLOCK_OF_TOP.format(", ".join(instances), found.clock))
    return found


def _chosen(file: FileHeader, read: ReadAt, size: int, layouts: RecordLayouts, pages: NDArray[np.int64]) -> Choice:
    having = [buffer for buffer in file.buffers if any(data.size for data in buffer.cpus)]
    if not any(buffer.name for buffer in having):
        return Choice(buffers=having)
    found = Choice(buffers=[])
    taken: dict[str, Buffer] = {}
    counted = [(buffer, _events(file, buffer, read, size, layouts, pages)) for buffer in having]
    for buffer, events in sorted(counted, key=lambda one: -sum(one[1].values())):
        if not events:
            found.notes.append(f"{_named(buffer)} is not read: it holds no event of pages")
        elif twice := sorted(taken.keys() & events.keys()):
            more = _named(taken[twice[0]])
            found.notes.append(f"{_named(buffer)} is not read: {more} has its {', '.join(twice)}, too, and more events")
        elif found.buffers and buffer.clock != found.buffers[0].clock:
            found.notes.append(f"{_named(buffer)} is not read: its clock is another one ({buffer.clock})")
        else:
            found.buffers.append(buffer)
            taken |= dict.fromkeys(events, buffer)
    found.elsewhere = frozenset(
        name for _, events in counted for name in events if name not in taken or taken[name].name
    )
    if not found.buffers:
        return Choice(buffers=having[:1])
    found.buffers.sort(key=having.index)
    return found


def _named(buffer: Buffer) -> str:
    return f"the buffer {buffer.name}" if buffer.name else "the top buffer"


def _events(
    file: FileHeader, buffer: Buffer, read: ReadAt, size: int, layouts: RecordLayouts, pages: NDArray[np.int64]
) -> dict[str, int]:
    """Return how many events of pages a buffer holds, by their names."""
    streams = Streams(file, [buffer], read, size)
    counts = np.zeros(len(layouts.array), np.int64)
    for _ in _stops(streams, pages, layouts, counts):
        pass
    return {
        one.name: int(count)
        for one, count in zip(layouts.formats, counts.tolist(), strict=False)
        if count and one.name in EVENTS
    }


def losses(file: FileHeader, read: ReadAt, size: int) -> dict[int, int | None]:
    """Return by CPU how many events the pages of the top buffer say were lost; null where one gives no number."""
    layouts, pages = RecordLayouts(file.formats, file.address_bytes), ring_pages(file)
    buffers = chosen(file, read, size, layouts, pages).buffers
    streams = Streams(file, [buffer for buffer in buffers if not buffer.name], read, size)
    found: dict[int, int | None] = {}
    for stream in _stops(streams, pages, layouts, np.zeros(len(layouts.array), np.int64)):
        cpu, missed = int(streams.cpus[stream]), int(streams.array[stream, pj.C_MISSED])
        before = found.get(cpu, 0)
        found[cpu] = None if before is None or missed < 0 else before + missed
    return found


def clock_of(file: FileHeader, read: ReadAt, size: int) -> str:
    """Return the clock of the buffers that are read; empty: the file does not say."""
    clocks = {buffer.clock for buffer in file.buffers if any(data.size for data in buffer.cpus)}
    if len(clocks) < 2:
        return next(iter(clocks), file.clock)
    layouts, pages = RecordLayouts(file.formats, file.address_bytes), ring_pages(file)
    return chosen(file, read, size, layouts, pages).clock


def elsewhere(file: FileHeader, read: ReadAt, size: int) -> frozenset[str]:
    """Return the names of events of pages that are in another buffer than the top one, of which alone ring_stats.txt speaks."""
    layouts, pages = RecordLayouts(file.formats, file.address_bytes), ring_pages(file)
    return chosen(file, read, size, layouts, pages).elsewhere


def _stops(
    streams: Streams, pages: NDArray[np.int64], layouts: RecordLayouts, counts: NDArray[np.int64]
) -> Iterator[int]:
    """Count all records by their layouts; yield a stream whenever a page of it says that events were lost."""
    for stream in range(len(streams)):
        while (reason := ej.count(streams.arena, streams.array[stream], pages, layouts.by_type, counts)) != pj.DONE:
            if reason == pj.NEED_PAGES:
                streams.more(stream)
            elif reason == pj.LOSS:
                yield stream


def ring_pages(file: FileHeader) -> NDArray[np.int64]:
    """Return how the pages of a file are laid out, as jit functions want it."""
    factor, shift = file.to_nsec or (0, 0)
    page = file.page
    return np.array([page.commit, page.commit_bytes, page.data, factor, shift], np.int64)
