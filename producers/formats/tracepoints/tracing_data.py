"""The formats of tracepoints, as a perf.data holds them: which bytes of a sample's raw data are which field.

Source: tools/perf/util/trace-event-info.c and trace-event-read.c (Linux 6.1).
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"\x17\x08\x44tracing"
_FIELD: Final = re.compile(
    rb"\tfield:(?P<type>[^;]*?)\s*\b(?P<name>\w+)(?P<array>\[[^\]]*\])?;\s*offset:(?P<offset>\d{1,9});\s*size:(?P<size>\d{1,9});"
    rb"(?:\s*signed:(?P<signed>\d);)?"
)
_NAME: Final = re.compile(rb"^name: (\S+)$", re.MULTILINE)
_ID: Final = re.compile(rb"^ID: (\d{1,9})$", re.MULTILINE)
_PAGEBLOCK_ORDER: Final = re.compile(rb"REC->fallback_order,\s*\(*(\d{1,3})\b")
_MOST_EVENTS: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: bytes [offset, offset + size) of the raw data. *located*: these say where its text is (``__data_loc``)."""

    offset: int
    size: int
    signed: bool
    text: bool
    located: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointFormat:
    """The format of a tracepoint or a probe. *pageblock_order* is the kernel's, where its words for printing say it."""

    system: str
    name: str
    fields: Mapping[str, Field]
    pageblock_order: int | None = None

    @property
    def event(self) -> str:
        """Its name behind that of its group."""
        return f"{self.system}:{self.name}"


class Damaged(Exception):
    """What was found in place of the formats."""


def read_formats(data: bytes) -> dict[int, TracepointFormat]:
    """Return the formats that a section of tracing data holds, by the number of their tracepoints.

    Raises
    ------
    Damaged
        It does not hold what it says.
    """
    part = _Part(data)
    if part.take(len(MAGIC), "its magic") != MAGIC:
        raise Damaged("no magic of tracing data")
    part.text("the version")
    if part.take(1, "the byte order")[0]:
        raise Damaged("tracing data of a big-endian machine")
    part.take(5, "the sizes of long and of a page")
    for name in (b"header_page\0", b"header_event\0"):
        if part.take(len(name), "the page's format") != name:
            raise Damaged(f"no {name[:-1].decode()}")
        part.take(part.number(8), name[:-1].decode())
    found: dict[int, TracepointFormat] = {}
    for _ in range(_within(part.number(4))):
        _add(found, "ftrace", part.take(part.number(8), "a format of ftrace"))
    for _ in range(_within(part.number(4))):
        system = part.text("a group of tracepoints")
        for _ in range(_within(part.number(4))):
            _add(found, system, part.take(part.number(8), f"a format of {system}"))
    return found


def _within(count: int) -> int:
    if count > _MOST_EVENTS:
        raise Damaged(f"{count} formats")
    return count


def _add(found: dict[int, TracepointFormat], system: str, text: bytes) -> None:
    name, number = _NAME.search(text), _ID.search(text)
    if name is None or number is None:
        raise Damaged("a format without a name or a number")
    order = _PAGEBLOCK_ORDER.search(text)
    found[int(number[1])] = TracepointFormat(
        system=system,
        name=name[1].decode(errors="backslashreplace"),
        fields=dict(_fields(text)),
        pageblock_order=None if order is None else int(order[1]),
    )


def _fields(text: bytes) -> Iterator[tuple[str, Field]]:
    for found in _FIELD.finditer(text):
        located = b"__data_loc" in found["type"]
        yield (
            found["name"].decode(),
            Field(
                offset=int(found["offset"]), size=int(found["size"]), signed=found["signed"] == b"1",
                text=b"char" in found["type"] and (located or found["array"] is not None), located=located,
            ),
        )  # fmt: skip


class _Part:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int, what: str) -> bytes:
        if size > len(self._data) - self._at:
            raise Damaged(f"{what} beyond the end of the section, at its byte {self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        found: int = struct.unpack("<I" if size == 4 else "<Q", self.take(size, "a number"))[0]
        return found

    def text(self, what: str) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Damaged(f"{what} without an end")
        return self.take(end + 1 - self._at, what)[:-1].decode(errors="backslashreplace")
