"""The formats of tracepoints, as a perf.data holds them: which bytes of a sample's raw data are which field.

Source: tools/perf/util/trace-event-info.c and trace-event-read.c (Linux 6.1).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.meaning import EVENTS

MAGIC: Final = b"\x17\x08\x44tracing"
_FIELD: Final = re.compile(
    rb"\tfield:(?P<type>[^;]*?)\s*\b(?P<name>\w+)(?P<array>\[[^\]]*\])?;\s*offset:(?P<offset>\d{1,9});\s*size:(?P<size>\d{1,9});"
    rb"(?:\s*signed:(?P<signed>\d);)?"
)
_NAME: Final = re.compile(rb"^name: (\S+)$", re.MULTILINE)
_ID: Final = re.compile(rb"^ID: (\d{1,9})$", re.MULTILINE)
_PAGEBLOCK_ORDER: Final = re.compile(rb"REC->fallback_order,\s*\(*(\d{1,3})\b")
_MOST_EVENTS: Final = 1 << 16
MOST_BYTES: Final = 1 << 26
"""Bytes of a part at most: formats of all tracepoints of a kernel are 3 MB."""
_MOST_TEXT: Final = 1 << 12
_STEP: Final = 1 << 16

KERNEL_STACK: Final = "kernel_stack"
USER_STACK: Final = "user_stack"
PRINT: Final = "print"
OF_FTRACE: Final = frozenset({KERNEL_STACK, USER_STACK, PRINT})
"""Events of ftrace's own that are read: kernel/trace/trace_entries.h (Linux 6.1)."""


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
    part = Cursor(lambda at, size: data[at : at + size])
    if part.take(len(MAGIC), "its magic") != MAGIC:
        raise Damaged("no magic of tracing data")
    part.text("the version")
    if part.take(1, "the byte order")[0]:
        raise Damaged("tracing data of a big-endian machine")
    part.take(5, "the sizes of long and of a page")
    page_formats(part)
    found: dict[int, TracepointFormat] = {}
    ftrace_formats(part, found)
    event_formats(part, found)
    return found


def page_formats(part: "Cursor") -> bytes:
    """Take what the kernel says of a page of its ring, and of the head of a record; return the first of them.

    Raises
    ------
    Damaged
        It is not there.
    """
    texts = []
    for name in (b"header_page\0", b"header_event\0"):
        if part.take(len(name), "the page's format") != name:
            raise Damaged(f"no {name[:-1].decode()}")
        texts.append(part.sized(8, name[:-1].decode()))
    return texts[0]


def ftrace_formats(part: "Cursor", found: dict[int, TracepointFormat]) -> None:
    """Take the formats of ftrace's own events into *found*.

    Raises
    ------
    Damaged
        They are not whole.
    """
    for _ in range(_within(part.number(4))):
        add_format(found, "ftrace", part.sized(8, "a format of ftrace"))


def event_formats(part: "Cursor", found: dict[int, TracepointFormat]) -> None:
    """Take the formats of the other events, group by group, into *found*.

    Raises
    ------
    Damaged
        They are not whole.
    """
    for _ in range(_within(part.number(4))):
        system = part.text("a group of tracepoints")
        for _ in range(_within(part.number(4))):
            add_format(found, system, part.sized(8, f"a format of {system}"))


def _within(count: int) -> int:
    if count > _MOST_EVENTS:
        raise Damaged(f"{count} formats")
    return count


def add_format(found: dict[int, TracepointFormat], system: str, text: bytes) -> None:
    """Put the format of an event, the text of its file, into *found*; its fields only if the event is read.

    Raises
    ------
    Damaged
        It has no name or no number.
    """
    name, number = _NAME.search(text), _ID.search(text)
    if name is None or number is None:
        raise Damaged("a format without a name or a number")
    bare = name[1].decode(errors="backslashreplace")
    read = bare in EVENTS or (system == "ftrace" and bare in OF_FTRACE)
    order = _PAGEBLOCK_ORDER.search(text) if read else None
    found[int(number[1])] = TracepointFormat(
        system=system,
        name=bare,
        fields=dict(_fields(text)) if read else {},
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


class Cursor:
    """Bytes that are taken from the front.

    Parameters
    ----------
    read
        Returns bytes of the file, or of the section.
    at
        Where it begins in them.
    """

    def __init__(self, read: ReadAt, at: int = 0) -> None:
        self._read, self.at = read, at
        self._held, self._held_at = b"", at

    def take(self, size: int, what: str) -> bytes:
        """Return the next *size* bytes.

        Raises
        ------
        Damaged
            There are not so many.
        """
        begin = self.at - self._held_at
        if begin + size > len(self._held):
            self._held, self._held_at, begin = self._read(self.at, max(size, _STEP)), self.at, 0
        if size > len(self._held):
            raise Damaged(f"{what} beyond the end, at byte {self.at}")
        self.at += size
        return self._held[begin : begin + size]

    def number(self, size: int) -> int:
        """Return an unsigned number of *size* bytes."""
        return int.from_bytes(self.take(size, "a number"), "little")

    def sized(self, size: int, what: str, most: int = MOST_BYTES) -> bytes:
        """Return bytes that follow their number, which has *size* bytes.

        Raises
        ------
        Damaged
            They are more than *most*, or than there are.
        """
        at, count = self.at, self.number(size)
        if count > most:
            raise Damaged(f"{what} of {count} bytes, at byte {at}")
        return self.take(count, what)

    def text(self, what: str) -> str:
        """Return a text that ends with a NUL.

        Raises
        ------
        Damaged
            It has no end within 4 KiB.
        """
        found = self._read(self.at, _MOST_TEXT)
        end = found.find(b"\0")
        if end < 0:
            raise Damaged(f"{what} without an end, at byte {self.at}")
        return self.take(end + 1, what)[:-1].decode(errors="backslashreplace")
