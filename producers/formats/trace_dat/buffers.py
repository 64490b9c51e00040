"""Which buffers of a file are read: all that hold events of pages, and each of these events once."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.trace_dat import events_jit as ej
from pagetrail.producers.formats.trace_dat import pages_jit as pj
from pagetrail.producers.formats.trace_dat.layouts import Layouts
from pagetrail.producers.formats.trace_dat.parts import Buffer, TraceFile
from pagetrail.producers.formats.trace_dat.streams import Streams
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.meaning import EVENTS


@dataclass(slots=True, kw_only=True)
class Choice:
    """The buffers that are read; the *notes* say which are not, and why."""

    buffers: list[Buffer]
    notes: list[str] = field(default_factory=list)


def chosen(file: TraceFile, read: ReadAt, size: int, layouts: Layouts, pages: NDArray[np.int64]) -> Choice:
    """Return the buffers of a file that are read. What two hold was written twice: the one with more events counts."""
    having = [buffer for buffer in file.buffers if any(data.size for data in buffer.cpus)]
    if len(having) < 2:
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
    if not found.buffers:
        return Choice(buffers=having[:1])
    found.buffers.sort(key=having.index)
    return found


def _named(buffer: Buffer) -> str:
    return f"the buffer {buffer.name}" if buffer.name else "the top buffer"


def _events(
    file: TraceFile, buffer: Buffer, read: ReadAt, size: int, layouts: Layouts, pages: NDArray[np.int64]
) -> dict[str, int]:
    """Return how many events of pages a buffer holds, by their names."""
    streams = Streams(file, [buffer], read, size)
    counts = np.zeros(len(layouts.array), np.int64)
    for stream in range(len(streams)):
        while (reason := ej.count(streams.arena, streams.array[stream], pages, layouts.by_type, counts)) != pj.DONE:
            if reason == pj.NEED_PAGES:
                streams.more(stream)
    return {
        one.name: int(count)
        for one, count in zip(layouts.formats, counts.tolist(), strict=False)
        if count and one.name in EVENTS
    }
