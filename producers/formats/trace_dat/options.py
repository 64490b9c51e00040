"""The options of a trace.dat: what it says of the recording and of the machine, each with its number and its length."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pagetrail.producers.formats.trace_dat.parts import MAX_CPUS, MOST_BUFFERS, Buffer, CpuData, FileHeader
from pagetrail.producers.formats.tracepoints.tracing_data import Cursor, Damaged

DONE: Final = 0
_BUFFER: Final = 3
HEADER_INFO: Final = 16
FTRACE_EVENTS: Final = 17
EVENT_FORMATS: Final = 18
KALLSYMS: Final = 19
CMDLINES: Final = 21
SECTIONS: Final = frozenset({HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS, KALLSYMS, CMDLINES})
"""Options of version 7 that say where a section is."""

_MOST_OPTIONS: Final = 1 << 16
_CHOSEN: Final = re.compile(r"\[([\w-]{1,32})\]")
_NUMBER: Final = re.compile(r"\s*([-+]?)(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})")


def options(part: Cursor) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, place and content of each option; the last one is ``DONE``, which has a content in version 7 only.

    Raises
    ------
    Damaged
        They are not whole.
    """
    for _ in range(_MOST_OPTIONS):
        number = part.number(2)
        if number == DONE:
            yield number, part.at, b""
            return
        at = part.at
        yield number, at, part.sized(4, f"option {number}")
    raise Damaged(f"more than {_MOST_OPTIONS} options")


def take_option(number: int, at: int, data: bytes, found: FileHeader) -> None:
    """Take an option of any version into *found*; one that is not known says nothing of the events.

    Raises
    ------
    Damaged
        It is not what it is to be.
    """
    if number in _TAKEN:
        try:
            _TAKEN[number](data, found)
        except (ValueError, IndexError) as error:
            raise Damaged(f"option {number} of {len(data)} bytes, at byte {at}") from error


def buffer_of(data: bytes, at: int) -> Buffer:
    """Return the buffer that an option of version 7 describes; its offset is where its section begins.

    Raises
    ------
    Damaged
        It is not whole, or has more CPUs than any machine.
    """
    part = Cursor(lambda place, size: data[place : place + size])
    try:
        part.number(8)
        name, clock, page_size, count = part.text("a name"), part.text("a clock"), part.number(4), part.number(4)
        if count > MAX_CPUS:
            raise Damaged(f"{count} CPUs")
        cpus = [CpuData(cpu=part.number(4), offset=part.number(8), size=part.number(8)) for _ in range(count)]
        if wild := [data.cpu for data in cpus if data.cpu >= MAX_CPUS]:
            raise Damaged(f"CPU {wild[0]}, of at most {MAX_CPUS}")
    except Damaged as damaged:
        raise Damaged(f"a buffer with {damaged}, in the option at byte {at}") from damaged
    return Buffer(name=name, clock=clock, page_size=page_size, cpus=tuple(cpus))


def instances(found: list[tuple[int, bytes]]) -> list[tuple[str, int]]:
    """Return name and offset of each buffer that options of version 6 name.

    Raises
    ------
    Damaged
        They are more than anybody records.
    """
    if len(found) > MOST_BUFFERS:
        raise Damaged(f"{len(found)} buffers")
    return [(_text(data[8:]), int.from_bytes(data[:8], "little")) for _, data in found]


def is_buffer(number: int) -> bool:
    """Return whether an option describes a buffer."""
    return number == _BUFFER


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "backslashreplace")


def _clock(data: bytes, found: FileHeader) -> None:
    """Source: trace-cmd, lib/trace-cmd/trace-input.c, tracecmd_parse_trace_clock."""
    chosen = _CHOSEN.search(_text(data))
    if chosen:
        found.clock = chosen[1]


def _uname(data: bytes, found: FileHeader) -> None:
    """Take what trace-cmd composes of uname(2): sysname, nodename, release, machine."""
    words = _text(data).split()
    if len(words) >= 3:
        found.hostname, found.release = words[1] if words[1] != "(none)" else None, words[2]


def _stats(data: bytes, found: FileHeader) -> None:
    found.stats.append(_text(data))


def _date(data: bytes, found: FileHeader) -> None:
    found.offset += 1000 * _number(data)


def _offset(data: bytes, found: FileHeader) -> None:
    found.offset += _number(data)


def _number(data: bytes) -> int:
    said = _NUMBER.match(_text(data))
    if said is None:
        raise ValueError(data)
    return int(said[1] + said[2], 0 if "x" in said[2].lower() else 10)


def _cpu_count(data: bytes, found: FileHeader) -> None:
    count = int.from_bytes(data[:4], "little")
    if not 0 < count <= MAX_CPUS or len(data) < 4:
        raise ValueError(data)
    found.cpu_count = count


def _to_nsec(data: bytes, found: FileHeader) -> None:
    """Take factor and shift of a clock that counts; of version 6, too."""
    factor, shift = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    if len(data) < 16 or shift > 63:
        raise ValueError(data)
    if factor:
        found.to_nsec = factor, shift


_TAKEN: Final[Mapping[int, Callable[[bytes, FileHeader], None]]] = {
    1: _date, 2: _stats, 4: _clock, 5: _uname, 7: _offset, 8: _cpu_count, 14: _to_nsec,
}  # fmt: skip
