"""The header of a trace.dat, of version 6, which is one sequence, and of version 7, whose options say where sections are."""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Final

import zstandard

from pagetrail.producers.formats.trace_dat import options as op
from pagetrail.producers.formats.trace_dat.parts import (
    LEAST_PAGE,
    MAX_CPUS,
    MOST_BUFFERS,
    MOST_PAGE,
    Buffer,
    CpuData,
    Decompress,
    FileHeader,
    RingPage,
    refuse,
)
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.formats.tracepoints.tracing_data import (
    MAGIC,
    MOST_BYTES,
    Cursor,
    Damaged,
    event_formats,
    ftrace_formats,
    page_formats,
)
from pagetrail.schemas.errors import InputError

_MOST_KALLSYMS: Final = 1 << 28
_MOST_SECTIONS: Final = 1 << 10
_MOST_OPTIONS: Final = 1 << 26
_MOST_WINDOWS: Final = 1 << 29
"""Bytes of two pages of each ring, which are held in memory together."""
_SECTION: Final = struct.Struct("<HHIQ")
_PACKED: Final = 1
_UNPACKER: Final = zstandard.ZstdDecompressor(max_window_size=MOST_BYTES)
_FIELD: Final = re.compile(rb"field:[^;]*?(commit|data)(?:\[[^\]]*\])?;\s*offset:(\d{1,4});\s*size:(\d{1,8});")
_COMM: Final = re.compile(rb"^(\d{1,10}) ([^\n]{1,64})$", re.MULTILINE)


def read_file(source: str, read: ReadAt, size: int) -> FileHeader:
    """Return what a trace.dat of *size* bytes says before its pages.

    Raises
    ------
    InputError
        It is damaged, of another version, or holds no pages; with the byte at which this was found.
    """
    part = Cursor(read)
    try:
        part.take(len(MAGIC), "the magic")
        version = part.text("the version")
        if part.take(1, "the byte order")[0]:
            raise InputError(
                f"{source}: expected a trace.dat of a little-endian machine, found one of a big-endian machine; run 'trace-cmd "
                "report' on it, and give the output"
            )
        part.take(1, "the size of a long")
        page_size = _page_size(part.number(4))
        if version == "6":
            found = _version_6(source, part, read, page_size)
        elif version == "7":
            found = _version_7(part, read, size, page_size)
        else:
            refuse(source, len(MAGIC), f"version {version[:20]!r}, neither 6 nor 7")
        if not any(buffer.cpus for buffer in found.buffers):
            raise Damaged(f"no CPU's data{f' ({found.cut})' if found.cut else ''}")
        _check(found)
    except Damaged as damaged:
        refuse(source, part.at, str(damaged))
    _note_cut(found, size)
    return found


def _page_size(size: int) -> int:
    if not LEAST_PAGE <= size <= MOST_PAGE or size & (size - 1):
        raise Damaged(f"pages of {size} bytes")
    return size


def _check(found: FileHeader) -> None:
    """Check that the data of CPUs do not overlap, and that two pages of each fit into memory."""
    places = sorted((data.offset, data.size, data.cpu) for one in found.buffers for data in one.cpus if data.size)
    for (at, size, cpu), (behind, _, other) in pairwise(places):
        if at + size > behind:
            raise Damaged(
                f"data of CPU {cpu} that end at byte {at + size}, behind byte {behind}, where those of CPU {other} begin"
            )
    held = sum(2 * one.page_size * sum(bool(data.size) for data in one.cpus) for one in found.buffers)
    if held > _MOST_WINDOWS:
        raise Damaged(
            f"{len(places)} rings, two pages of each of which have {held:,} bytes, more than {_MOST_WINDOWS:,}"
        )


def _note_cut(found: FileHeader, size: int) -> None:
    for buffer in found.buffers:
        for data in buffer.cpus:
            if data.size and data.offset + data.size > size and found.cut is None:
                found.cut = (
                    f"data of CPU {data.cpu} end at byte {data.offset + data.size}, as the header says, and the file does at byte "
                    f"{size}"
                )


def _ring_page(text: bytes) -> RingPage:
    """Return what header_page says of a page of the ring; what it does not say is as on 64-bit kernels."""
    told = {name: (int(at), int(size)) for name, at, size in _FIELD.findall(text)}
    at, size = told.get(b"commit", (8, 8))
    data = told.get(b"data", (at + size, 0))[0]
    if size not in (4, 8) or not 8 <= at <= data - size or data > 64:
        raise Damaged(f"a page whose commit has {size} bytes at {at} and whose data are at {data}")
    return RingPage(commit=at, commit_bytes=size, data=data)


def _comms(text: bytes) -> dict[int, bytes]:
    return {int(pid): name for pid, name in _COMM.findall(text)}


# -- version 6 -------------------------------------------------------------------------------------------------------------------


def _version_6(source: str, part: Cursor, read: ReadAt, page_size: int) -> FileHeader:
    found = FileHeader(page=_ring_page(page_formats(part)), page_size=page_size)
    ftrace_formats(part, found.formats)
    event_formats(part, found.formats)
    kallsyms = part.number(4)
    _within(kallsyms, "kallsyms")
    at = part.at
    found.kallsyms = lambda: read(at, kallsyms)
    part.at += kallsyms
    part.sized(4, "the texts of trace_printk")
    found.comms = _comms(part.sized(8, "the names of threads"))
    cpus = _cpus(part.number(4))
    offsets: list[tuple[int, bytes]] = []
    main = _flyrecord(source, part, found, cpus, offsets)
    for name, place in op.instances(offsets):
        other = Cursor(read, place)
        try:
            of_it = FileHeader(page=found.page, page_size=page_size)  # of its options, the clock alone is its own
            cpus_of_it = _flyrecord(source, other, of_it, found.cpu_count or cpus, [])
        except Damaged as damaged:
            found.cut = found.missing = f"the buffer {name} is not there: {damaged}"
            continue
        found.buffers.append(Buffer(name=name, cpus=cpus_of_it, page_size=page_size, clock=of_it.clock or found.clock))
    found.buffers.insert(0, Buffer(name="", cpus=main, page_size=page_size, clock=found.clock))
    return found


def _flyrecord(
    source: str, part: Cursor, found: FileHeader, cpus: int, buffers: list[tuple[int, bytes]]
) -> tuple[CpuData, ...]:
    """Take the options of a buffer and where the data of its CPUs are."""
    kind = part.take(10, "the kind of data").rstrip(b" \0")
    if kind == b"options":
        for number, at, data in op.options(part):
            if op.is_buffer(number):
                buffers.append((at, data))
            else:
                op.take_option(number, at, data, found)
        kind = part.take(10, "the kind of data").rstrip(b" \0")
    if kind == b"latency":
        _refuse_latency(source, part.at)
    if kind != b"flyrecord":
        raise Damaged(f"{kind!r} in place of the CPUs' data")
    count = found.cpu_count or cpus
    return tuple(CpuData(cpu=cpu, offset=part.number(8), size=part.number(8)) for cpu in range(count))


def _cpus(count: int) -> int:
    if not 0 < count <= MAX_CPUS:
        raise Damaged(f"{count} CPUs, of at most {MAX_CPUS}")
    return count


def _within(size: int, what: str) -> None:
    if size > _MOST_KALLSYMS:
        raise Damaged(f"{what} of {size} bytes")


def _refuse_latency(source: str, at: int) -> None:
    raise InputError(
        f"{source}: expected events as the ring holds them, found the text of a latency tracer, at byte {at}: give what 'trace-cmd "
        "report' prints of it"
    )


# -- version 7 -------------------------------------------------------------------------------------------------------------------


def _version_7(part: Cursor, read: ReadAt, size: int, page_size: int) -> FileHeader:
    name = part.text("the compression")
    part.text("its version")
    found = FileHeader(page_size=page_size, decompress=_decompression(name))
    place, sections, buffers = part.number(8), dict[int, int](), list[tuple[int, bytes]]()
    told = 0
    for _ in range(_MOST_SECTIONS):
        if place + _SECTION.size > size:
            raise Damaged(
                f"a file that was cut: options, which say where data are, go on at byte {place}, and it ends at {size}"
            )
        data = _section(read, place, op.DONE, found)
        told += len(data)
        if told > _MOST_OPTIONS:
            raise Damaged(f"options of more than {_MOST_OPTIONS:,} bytes, at byte {place}")
        place = _take_options(found, data, sections, buffers)
        if not place:
            break
    else:
        raise Damaged(f"more than {_MOST_SECTIONS} sections of options")
    _take_sections(found, read, sections)
    for at, data in buffers[:MOST_BUFFERS]:
        offset = int.from_bytes(data[:8], "little")
        flags = _SECTION.unpack(_head(read, offset, op.is_buffer))[1]
        one = op.buffer_of(data, at)
        packed = bool(flags & _PACKED)
        clock = one.clock or found.clock
        found.buffers.append(replace(one, packed=packed, page_size=_page_size(one.page_size), clock=clock))
    if len(buffers) > MOST_BUFFERS:
        raise Damaged(f"{len(buffers)} buffers")
    return found


def _take_options(found: FileHeader, data: bytes, sections: dict[int, int], buffers: list[tuple[int, bytes]]) -> int:
    """Take a section of options; return where the next one is, 0 if this is the last one."""
    part = Cursor(lambda at, size: data[at : at + size])
    for number, at, value in op.options(part):
        if number in op.SECTIONS:
            sections[number] = int.from_bytes(value[:8], "little")
        elif op.is_buffer(number):
            buffers.append((at, value))
        elif number != op.DONE:
            op.take_option(number, at, value, found)
    return int.from_bytes(part.sized(4, "the place of the next options")[:8], "little")


def _take_sections(found: FileHeader, read: ReadAt, sections: dict[int, int]) -> None:
    for number, place in sorted(sections.items()):
        if number == op.KALLSYMS:
            found.kallsyms = lambda at=place: _bytes_of(read, at, found)  # type: ignore[misc]
            continue
        data = _section(read, place, number, found)
        part = Cursor(lambda at, size, data=data: data[at : at + size])  # type: ignore[misc]
        if number == op.HEADER_INFO:
            found.page = _ring_page(page_formats(part))
        elif number == op.FTRACE_EVENTS:
            ftrace_formats(part, found.formats)
        elif number == op.EVENT_FORMATS:
            event_formats(part, found.formats)
        elif number == op.CMDLINES:
            found.comms = _comms(part.sized(8, "the names of threads"))


def _bytes_of(read: ReadAt, place: int, found: FileHeader) -> bytes:
    """Return the text of kallsyms; nothing where it is damaged: a file without names is as good as one without addresses."""
    try:
        data = _section(read, place, op.KALLSYMS, found)
    except Damaged:
        return b""
    return data[4 : 4 + int.from_bytes(data[:4], "little")]


def _head(read: ReadAt, place: int, fits: Callable[[int], bool]) -> bytes:
    head = read(place, _SECTION.size)
    if len(head) < _SECTION.size or not fits(_SECTION.unpack(head)[0]):
        raise Damaged(f"no such section at byte {place}, where an option says that it is")
    return head


def _section(read: ReadAt, place: int, number: int, found: FileHeader) -> bytes:
    """Return what a section holds, uncompressed."""
    _, flags, _, size = _SECTION.unpack(_head(read, place, lambda found: found == number))
    _within(size, f"section {number} at byte {place}")
    data = read(place + _SECTION.size, size)
    if len(data) < size:
        raise Damaged(f"section {number} of {size} bytes at byte {place}, beyond the end of the file")
    if not flags & _PACKED:
        return data
    packed, whole = struct.unpack_from("<II", data.ljust(8, b"\0"))
    _within(whole, f"section {number} at byte {place}")
    if found.decompress is None:
        raise Damaged(f"a compressed section at byte {place} of a file that is not compressed")
    return found.decompress(data[8 : 8 + packed], whole)


def _decompression(name: str) -> Decompress | None:
    if name == "none":
        return None
    if name not in _DECOMPRESS:
        raise Damaged(f"the compression {name[:20]!r}, neither zlib nor zstd")
    return _DECOMPRESS[name]


def _zstd(data: bytes, size: int) -> bytes:
    """Source: trace-cmd, lib/trace-cmd/trace-compress-zstd.c: frames that do not say to how much they expand."""
    try:
        said = zstandard.frame_content_size(data)  # it may say so all the same, and the decoder takes the memory for it
        if said > size:
            raise Damaged(f"zstd data that say that they expand to {said} bytes, not to {size}")
        found = _UNPACKER.decompress(data, max_output_size=max(1, size))
    except zstandard.ZstdError as error:
        raise Damaged(f"zstd data that are damaged ({error})") from error
    return _whole(found, size)


def _zlib(data: bytes, size: int) -> bytes:
    try:
        found = zlib.decompressobj().decompress(data, max(1, size))
    except zlib.error as error:
        raise Damaged(f"zlib data that are damaged ({error})") from error
    return _whole(found, size)


def _whole(found: bytes, size: int) -> bytes:
    if len(found) != size:
        raise Damaged(f"compressed data that expand to {len(found)} bytes, not to {size}")
    return found


_DECOMPRESS: Final = {"zstd": _zstd, "zlib": _zlib}
