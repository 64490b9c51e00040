"""How the records of each event of a perf.data are laid out, and what is done with its samples, as jit functions want it."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.perf_data import perf_event as pe
from pagetrail.producers.formats.perf_data import records_jit as rj
from pagetrail.producers.formats.perf_data.header import Attr, Header
from pagetrail.producers.formats.tracepoints.plain_events import TO_PCP, plain_fields
from pagetrail.producers.formats.tracepoints.tracing_data import TracepointFormat
from pagetrail.producers.meaning import EVENTS
from pagetrail.schemas.errors import InputError

_PLACES: Final = {
    "pfn": rj.L_PFN, "order": rj.L_ORDER, "gfp_flags": rj.L_GFP, "migratetype": rj.L_MIGRATETYPE, TO_PCP: rj.L_TO_PCP,
}  # fmt: skip


class Layouts:
    """The layouts of a file's events.

    Attributes
    ----------
    array
        Shape (events, ``rj.LAYOUT``), int64.
    ids
        Where a sample's id is, where that of another record is from its end, the ids in order, and the layout of each.
    names
        Of each event, with its group; the number of a tracepoint that has no format.
    formats
        Of each event; null: it is no tracepoint, or has no format.
    read_by
        Of each event, the one by which its tracepoint is read: another one where perf opened the tracepoint more than once.

    Raises
    ------
    InputError
        Its samples have no time, or do not say which event they are of.
    """

    def __init__(self, header: Header, source: str) -> None:
        self.formats = [_format_of(attr, header.formats) for attr in header.attrs]
        self.names = [
            one.event if one else f"event {attr.type}:{attr.config:#x}"
            for one, attr in zip(self.formats, header.attrs, strict=True)
        ]
        self.array: NDArray[np.int64] = np.full((len(header.attrs), rj.LAYOUT), -1, np.int64)
        self.read_by = _read_by(header.attrs)
        for row, attr, one in zip(self.array, header.attrs, self.formats, strict=True):
            _fill(row, attr, one)
            if attr.type == pe.TYPE_TRACEPOINT and not attr.sample_type & pe.TIME:
                raise InputError(
                    f"{source}: expected samples with times, found {_name(one, attr)} without; record with perf record -T"
                )
        for number, other in enumerate(self.read_by):
            if number != other:  # of each hit, both have a sample, with times of their own
                self.array[number, rj.L_ACTION] = rj.IGNORED
        owner = {identity: number for number, attr in enumerate(header.attrs) for identity in attr.ids}
        first = header.attrs[0].sample_type
        sample, end = _id_place(first), _id_from_end(first)
        if len(header.attrs) > 1 and not (sample and owner):
            raise InputError(
                f"{source}: expected samples that say which of {len(header.attrs)} events they are of, found no id in them"
            )
        if len(header.attrs) == 1:
            sample = end = 0
        every = np.array(sorted(_signed(one) for one in owner), np.int64)
        owners = np.array([owner[one & (1 << 64) - 1] for one in every.tolist()], np.int64)
        self.ids = (sample, end, every, owners)

    def __len__(self) -> int:
        return len(self.names)

    def trailer(self, record: bytes) -> tuple[int, int]:
        """Return time and CPU of a record of the kernel that is no sample; 0 and -1 where they are not there."""
        layout = self.array[0]  # perf opens all events of a file alike in this
        ts_from, cpu_from = int(layout[rj.L_END_TIME]), int(layout[rj.L_END_CPU])
        whole = len(record) >= pe.RECORD_HEAD + layout[rj.L_END]
        ts = struct.unpack_from("<q", record, len(record) - ts_from)[0] if whole and ts_from > 0 else 0
        cpu = struct.unpack_from("<I", record, len(record) - cpu_from)[0] if whole and cpu_from > 0 else -1
        return max(0, ts), cpu if cpu < rj.MAX_CPUS else -1


def _read_by(attrs: Sequence[Attr]) -> list[int]:
    """Return for each event the one of the same tracepoint that leaves out least; of those alike, the first."""
    best: dict[tuple[int, int], int] = {}
    for number, attr in enumerate(attrs):
        known = best.setdefault((attr.type, attr.config), number)
        if _left_out(attr) < _left_out(attrs[known]):
            best[attr.type, attr.config] = number
    return [best[attr.type, attr.config] for attr in attrs]


def _left_out(attr: Attr) -> tuple[bool, int, int, int]:
    return not attr.sample_type & pe.RAW, attr.flags & pe.LEAVES_OUT, attr.period, -len(attr.ids)


def _format_of(attr: Attr, formats: Mapping[int, TracepointFormat]) -> TracepointFormat | None:
    return formats.get(attr.config) if attr.type == pe.TYPE_TRACEPOINT else None


def _name(one: TracepointFormat | None, attr: Attr) -> str:
    return one.event if one else f"tracepoint {attr.config}"


def _fill(row: NDArray[np.int64], attr: Attr, one: TracepointFormat | None) -> None:
    at = pe.RECORD_HEAD
    for bit in pe.FIXED:
        if attr.sample_type & bit:
            if bit in _FIXED_PLACES:
                row[_FIXED_PLACES[bit]] = at
            at += 8
    row[rj.L_FIXED] = at
    row[rj.L_READ] = (attr.read_format & pe.READ_FORMATS) + 1 if attr.sample_type & pe.READ else 0
    row[rj.L_CHAIN], row[rj.L_RAW] = bool(attr.sample_type & pe.CALLCHAIN), bool(attr.sample_type & pe.RAW)
    row[rj.L_EXACT] = not attr.sample_type & ~pe.UP_TO_RAW
    row[rj.L_END] = from_end = 0
    if attr.flags & pe.SAMPLE_ID_ALL:
        for bit in reversed(pe.TRAILER):
            if attr.sample_type & bit:
                from_end += 8
                if bit in _END_PLACES:
                    row[_END_PLACES[bit]] = from_end
        row[rj.L_END] = from_end
    row[rj.L_ACTION] = rj.IGNORED
    for place in _PLACES.values():
        row[place : place + 3] = 0
    if one is not None and one.name in EVENTS:
        row[rj.L_ACTION] = _action(row, one)


_FIXED_PLACES: Final = {pe.TID: rj.L_TID, pe.TIME: rj.L_TIME, pe.CPU: rj.L_CPU}
_END_PLACES: Final = {pe.TIME: rj.L_END_TIME, pe.CPU: rj.L_END_CPU}


def _action(row: NDArray[np.int64], one: TracepointFormat) -> int:
    """Write where the fields of a plain event are, and return what is done with its samples."""
    plain = plain_fields(one)
    if plain is None:
        return rj.RARE
    kind, found = plain
    for name, place in found.items():
        row[_PLACES[name] : _PLACES[name] + 3] = place.offset, place.size, place.signed
    return int(kind)


def _id_place(sample_type: int) -> int:
    """Return where the id of a sample is; 0: it has none. Source: tools/perf/util/evlist.c, evlist__event2id (Linux 6.1)."""
    if sample_type & pe.IDENTIFIER:
        return pe.RECORD_HEAD
    if not sample_type & pe.ID:
        return 0
    before = (pe.IP, pe.TID, pe.TIME, pe.ADDR)
    return pe.RECORD_HEAD + 8 * sum(bool(sample_type & bit) for bit in before)


def _id_from_end(sample_type: int) -> int:
    """Return where the id of a record that is no sample is, from its end; 0: it has none."""
    if sample_type & pe.IDENTIFIER:
        return 8
    if not sample_type & pe.ID:
        return 0
    return 8 * (1 + sum(bool(sample_type & bit) for bit in (pe.STREAM_ID, pe.CPU)))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
