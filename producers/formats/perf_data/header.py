"""The header of a perf.data: which events were recorded, how their samples are laid out, and what it says of the machine.

A file has its features behind its samples; a pipe sends the same as records, before the first sample.
Source: tools/perf/util/header.c (Linux 6.1), and tools/perf/Documentation/perf.data-file-format.txt.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from pagetrail.producers.formats.perf_data import perf_event as pe
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.formats.tracepoints.tracing_data import Damaged, TracepointFormat, read_formats
from pagetrail.schemas.errors import InputError

MAGIC: Final = b"PERFILE2"
_FILE_HEADER: Final = struct.Struct("<8sQQQQQQQQ")
_PIPE_BYTES: Final = 16
_MOST_ATTRS: Final = 1 << 12
_MOST_IDS: Final = 1 << 20
_MOST_BYTES: Final = 1 << 26
"""Bytes of a section of the header at most: formats of all tracepoints of a kernel are 3 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attr:
    """One event as perf opened it: a perf_event_attr, and the ids that its samples carry, one for each CPU."""

    type: int
    config: int
    period: int
    sample_type: int
    read_format: int
    flags: int
    clockid: int
    ids: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Header:
    """What precedes the samples.

    Attributes
    ----------
    start, stop
        Bytes of the file that are records.
    cut
        Why there are fewer of them than the header says; null: there are all.
    formats
        By the number of the tracepoint, the config of an ``Attr``.
    end
        Where its last section ends.
    build_id
        Of the kernel; empty: it is not said.
    cmdline
        Words of the command that recorded it; empty: they are not said.
    cpus, cpus_there
        How many CPUs were online, and how many there were; null: it is not said.
    piped
        Whether it came through a pipe: whether its end is missing is then not known.
    """

    start: int
    stop: int
    end: int = 0
    cut: str | None = None
    attrs: list[Attr] = field(default_factory=list)
    formats: Mapping[int, TracepointFormat] = field(default_factory=dict)
    hostname: str | None = None
    release: str | None = None
    build_id: bytes = b""
    cmdline: tuple[str, ...] = ()
    cpus: int | None = None
    cpus_there: int | None = None
    piped: bool = False

    @property
    def clock(self) -> str | None:
        """The trace clock that ``perf record -k`` chose; null: perf's own."""
        chosen = next((attr for attr in self.attrs if attr.flags & pe.USE_CLOCKID), None)
        return None if chosen is None else pe.CLOCKS.get(chosen.clockid, f"clockid {chosen.clockid}")


def read_header(source: str, read: ReadAt, size: int, *, first: Header | None = None) -> Header:
    """Return the header of a perf.data of *size* bytes.

    Parameters
    ----------
    first
        Of the first file of the same recording: what perf writes when it ends is taken from it, where perf did not end.

    Raises
    ------
    InputError
        It is damaged, or has no events, or no formats for its tracepoints; with the byte at which this was found.
    """
    head = read(0, _FILE_HEADER.size)
    if head.startswith(MAGIC[::-1]):
        raise InputError(
            f"{source}: expected a perf.data of a little-endian machine, found one of a big-endian machine; run 'perf script --ns' "
            "on it where it was recorded, and give the output"
        )
    if len(head) < _PIPE_BYTES:
        _refuse(source, 0, f"{len(head)} bytes")
    piped = struct.unpack_from("<Q", head, 8)[0] == _PIPE_BYTES
    found = _of_pipe(source, read, size) if piped else _of_file(source, read, size, head)
    if not found.attrs:
        _refuse(source, 8, "no event that was recorded")
    if not found.formats and first is not None and not piped:
        found.formats, found.hostname, found.release = first.formats, first.hostname, first.release
        found.cut = found.cut or "there are no formats behind the samples: perf did not end"
    if not found.formats and any(attr.type == pe.TYPE_TRACEPOINT for attr in found.attrs):
        cut = f" ({found.cut})" if found.cut else ""
        _refuse(source, found.stop, f"no formats of tracepoints behind the samples{cut}: perf writes them when it ends")
    return found


def _of_file(source: str, read: ReadAt, size: int, head: bytes) -> Header:
    if len(head) < _FILE_HEADER.size:
        _refuse(source, len(head), "the end of the file")
    _, _, attr_size, attrs, attrs_size, start, data_size, _, _ = _FILE_HEADER.unpack(head)
    features = read(_FILE_HEADER.size, pe.FEATURES // 8)
    if (
        not pe.ATTR_LEAST + 16 <= attr_size <= 1 << 12
        or attrs_size % attr_size
        or attrs_size // attr_size > _MOST_ATTRS
    ):
        _refuse(source, 16, f"attributes of {attr_size} bytes in {attrs_size}")
    found = Header(start=start, stop=start + data_size)
    for at in range(attrs, attrs + attrs_size, attr_size):
        raw = read(at, attr_size)
        if len(raw) < attr_size:
            _refuse(source, at, "an attribute beyond the end of the file")
        ids, ids_size = struct.unpack_from("<QQ", raw, attr_size - 16)
        if ids_size % 8 or ids_size > 8 * _MOST_IDS or len(packed := read(ids, ids_size)) < ids_size:
            _refuse(source, at + attr_size - 16, f"ids in {ids_size} bytes from byte {ids} on")
        found.attrs.append(_attr(raw, struct.unpack(f"<{ids_size // 8}Q", packed)))
    if not data_size and start < size:  # perf was killed: where its features would be is not known
        found.stop, found.cut, found.end = size, "the header does not say where samples end", size
        return found
    if start + data_size > size:
        found.stop = size
        found.cut = f"the header says that samples end at byte {start + data_size}, and the file does at byte {size}"
    bits = int.from_bytes(features, "little")
    at = found.end = start + data_size
    for bit in (bit for bit in range(pe.FEATURES) if bits >> bit & 1):
        place = read(at, 16)
        at += 16
        if len(place) < 16:
            break
        offset, length = struct.unpack("<QQ", place)
        found.end = max(found.end, at, offset + length)
        if bit in _FEATURES:
            if length > _MOST_BYTES or len(section := read(offset, length)) < length:
                _refuse(source, at - 16, f"a section of {length} bytes at byte {offset}")
            _FEATURES[bit](source, offset, section, found)
    return found


def _of_pipe(source: str, read: ReadAt, size: int) -> Header:
    found = Header(start=_PIPE_BYTES, stop=size, end=size, piped=True)
    while (raw := _before_samples(read, found.start)) is not None:
        at, kind, body = found.start, struct.unpack_from("<I", raw)[0], raw[pe.RECORD_HEAD :]
        found.start += len(raw)
        if kind == pe.HEADER_ATTR:
            found.attrs.append(_attr_of_pipe(source, at, body, found))
        elif kind == pe.TRACING_DATA:  # they follow the record
            length = struct.unpack_from("<I", body)[0] if len(body) >= 4 else _MOST_BYTES + 1
            if length > _MOST_BYTES or len(data := read(found.start, length)) < length:
                _refuse(source, at, f"tracing data of {length} bytes")
            found.start += -(-length // 8) * 8
            _formats(source, at, data, found)
        elif kind == pe.HEADER_FEATURE and len(body) >= 8:
            bit = struct.unpack_from("<Q", body)[0]
            if bit in _FEATURES:
                _FEATURES[bit](source, at, body[8:], found)
    return found


def _before_samples(read: ReadAt, at: int) -> bytes | None:
    """Return the record at a place, if it is one of those with which a pipe begins; null: samples begin, or it is not whole."""
    head = read(at, pe.RECORD_HEAD)
    if len(head) < pe.RECORD_HEAD:
        return None
    kind, _, length = struct.unpack("<IHH", head)
    if kind not in pe.BEFORE_SAMPLES or length < pe.RECORD_HEAD or len(raw := read(at, length)) < length:
        return None
    return raw


def _attr_of_pipe(source: str, at: int, body: bytes, header: Header) -> Attr:
    """Return the attribute of a record: it says its own size, and ids follow it."""
    length = struct.unpack_from("<I", body, pe.ATTR_SIZE)[0] if len(body) >= pe.ATTR_SIZE + 4 else 0
    if not pe.ATTR_LEAST <= length <= len(body) or len(header.attrs) >= _MOST_ATTRS:
        _refuse(source, at, f"an attribute of {length} bytes")
    ids = (len(body) - length) // 8
    return _attr(body[:length], struct.unpack_from(f"<{ids}Q", body, length))


def _attr(raw: bytes, ids: tuple[int, ...]) -> Attr:
    kind, size, config = struct.unpack_from("<IIQ", raw)
    sample_type, read_format, flags = struct.unpack_from("<QQQ", raw, pe.ATTR_SAMPLE_TYPE)
    has_clock = min(size, len(raw)) >= pe.ATTR_CLOCKID + 4
    clockid = struct.unpack_from("<i", raw, pe.ATTR_CLOCKID)[0] if has_clock else 0
    return Attr(
        type=kind,
        config=config,
        period=struct.unpack_from("<Q", raw, pe.ATTR_PERIOD)[0],
        sample_type=sample_type,
        read_format=read_format,
        flags=flags,
        clockid=clockid,
        ids=ids,
    )


def _formats(source: str, at: int, data: bytes, header: Header) -> None:
    try:
        header.formats = read_formats(data)
    except Damaged as damaged:
        _refuse(source, at, f"damaged formats of tracepoints ({damaged})")


def _text(data: bytes) -> str | None:
    """Return a text of the header: its length, and then its characters up to a NUL."""
    return data[4:].split(b"\0")[0].decode(errors="backslashreplace") or None


def _hostname(source: str, at: int, data: bytes, header: Header) -> None:  # noqa: ARG001  # as the others
    header.hostname = _text(data)


def _release(source: str, at: int, data: bytes, header: Header) -> None:  # noqa: ARG001  # as the others
    header.release = _text(data)


def _build_ids(source: str, at: int, data: bytes, header: Header) -> None:  # noqa: ARG001  # as the others
    """Take the build id of the kernel. Source: tools/perf/util/build-id.c, write_buildid (Linux 6.1)."""
    place = 0
    while place + pe.BUILD_ID_NAME < len(data):
        misc, length = struct.unpack_from("<HH", data, place + 4)
        if length <= pe.BUILD_ID_NAME:
            return
        name = data[place + pe.BUILD_ID_NAME : place + length].split(b"\0")[0]
        if name in (b"[kernel.kallsyms]", b"[kernel.vmlinux]"):
            size = data[place + 32] if misc & pe.MISC_BUILD_ID_SIZE else 20
            header.build_id = data[place + 12 : place + 12 + min(size, 20)]
            return
        place += length


def _cpus(source: str, at: int, data: bytes, header: Header) -> None:  # noqa: ARG001  # as the others
    if len(data) >= 8:
        header.cpus_there, header.cpus = struct.unpack_from("<II", data)


def _cmdline(source: str, at: int, data: bytes, header: Header) -> None:  # noqa: ARG001  # as the others
    """Take the words of the command: how many there are, and each as a text. None of them, if they are not whole."""
    words: list[str] = []
    place = 4
    count = struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0
    while len(words) < count and place + 4 <= len(data):
        length = struct.unpack_from("<I", data, place)[0]
        words.append(_text(data[place : place + 4 + length]) or "")
        place += 4 + length
    header.cmdline = tuple(words) if len(words) == count and place <= len(data) else ()


_FEATURES: Final[Mapping[int, Callable[[str, int, bytes, Header], None]]] = {
    pe.FEAT_TRACING_DATA: _formats,
    pe.FEAT_HOSTNAME: _hostname,
    pe.FEAT_OSRELEASE: _release,
    pe.FEAT_BUILD_ID: _build_ids,
    pe.FEAT_NRCPUS: _cpus,
    pe.FEAT_CMDLINE: _cmdline,
}


def _refuse(source: str, at: int, found: str) -> NoReturn:
    raise InputError(
        f"{source}: expected a whole perf.data, found {found}, at byte {at}; record again, or give what 'perf script --ns' prints"
    )
