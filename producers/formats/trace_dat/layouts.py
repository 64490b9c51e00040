"""How the records of each event of a trace.dat are laid out, as jit functions want it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.trace_dat import events_jit as ej
from pagetrail.producers.formats.tracepoints.plain_events import TO_PCP, plain_fields
from pagetrail.producers.formats.tracepoints.tracing_data import (
    KERNEL_STACK,
    PRINT,
    USER_STACK,
    Field,
    TracepointFormat,
)
from pagetrail.producers.meaning import EVENTS

_PLACES: Final = {
    "pfn": ej.L_PFN,
    "order": ej.L_ORDER,
    "gfp_flags": ej.L_GFP,
    "migratetype": ej.L_MIGRATETYPE,
    TO_PCP: ej.L_TO_PCP,
}
_STACKS: Final = {KERNEL_STACK: ej.KERNEL_STACK, USER_STACK: ej.USER_STACK}
_COMMON_BYTES: Final = 8
_PID: Final = Field(offset=4, size=4, signed=True, text=False, located=False)
MARKER: Final = "tracing_mark_write"
"""As the text of a trace names what was written into trace_marker."""


class RecordLayouts:
    """The layouts of a file's events.

    Attributes
    ----------
    array
        Shape (events, ``ej.LAYOUT``), int64.
    by_type
        Shape (``ej.TYPES``,), int32: the layout of each event, by its number; -1: it has no format.
    formats, names
        Of each layout.
    """

    def __init__(self, formats: Mapping[int, TracepointFormat], address_bytes: int) -> None:
        known = {number: one for number, one in sorted(formats.items()) if number < ej.TYPES}
        self.formats = list(known.values())
        self.names = [MARKER if is_marker(one) else one.name for one in self.formats]
        self.by_type: NDArray[np.int32] = np.full(ej.TYPES, -1, np.int32)
        self.by_type[list(known)] = np.arange(len(known), dtype=np.int32)
        self.array: NDArray[np.int64] = np.zeros((max(1, len(known)), ej.LAYOUT), np.int64)
        for row, one in zip(self.array, self.formats, strict=False):
            _fill(row, one, address_bytes)

    def of(self, raw: bytes) -> int:
        """Return the layout of a record; -1: there is no format of its event."""
        return int(self.by_type[int.from_bytes(raw[:2], "little")]) if len(raw) >= 2 else -1

    def pid(self, layout: int, raw: bytes) -> int:
        """Return the thread of a record."""
        at = int(self.array[layout, ej.L_PID])
        return int.from_bytes(raw[at : at + 4], "little", signed=True)


def is_marker(one: TracepointFormat) -> bool:
    """Return whether an event is what ftrace records of a text that was written into trace_marker."""
    return one.system == "ftrace" and one.name == PRINT


def _fill(row: NDArray[np.int64], one: TracepointFormat, address_bytes: int) -> None:
    pid = one.fields.get("common_pid", _PID)
    row[ej.L_PID] = pid.offset if pid.size == 4 else _PID.offset
    row[ej.L_LEAST] = max(_COMMON_BYTES, int(row[ej.L_PID]) + 4)
    row[ej.L_ACTION] = _action(row, one, address_bytes)


def _action(row: NDArray[np.int64], one: TracepointFormat, address_bytes: int) -> int:
    """Write where the fields of an event are, and return what is done with its records."""
    if one.system == "ftrace" and one.name in _STACKS:
        return _stack(row, one, address_bytes)
    if is_marker(one):
        return ej.RARE
    if one.name not in EVENTS:
        return ej.IGNORED
    plain = plain_fields(one)
    if plain is None:
        return ej.RARE
    kind, found = plain
    for name, place in found.items():
        row[_PLACES[name] : _PLACES[name] + 3] = place.offset, place.size, place.signed
        row[ej.L_LEAST] = max(int(row[ej.L_LEAST]), place.offset + place.size)
    return int(kind)


def _stack(row: NDArray[np.int64], one: TracepointFormat, address_bytes: int) -> int:
    caller, size = one.fields.get("caller"), one.fields.get("size")
    if one.name != KERNEL_STACK or caller is None:
        return ej.IGNORED if one.name == KERNEL_STACK else ej.USER_STACK
    if size is not None and size.size in (1, 2, 4, 8):
        row[ej.L_COUNT : ej.L_COUNT + 3] = size.offset, size.size, size.signed
        row[ej.L_LEAST] = max(int(row[ej.L_LEAST]), size.offset + size.size)
    row[ej.L_ADDRESSES : ej.L_ADDRESSES + 2] = caller.offset, address_bytes
    row[ej.L_LEAST] = max(int(row[ej.L_LEAST]), caller.offset)
    return ej.KERNEL_STACK
