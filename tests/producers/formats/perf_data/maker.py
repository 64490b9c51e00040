"""Makes perf.data files, record by record, as perf writes them: in a file, or as through a pipe."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import zstandard

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID, RAW, IDENTIFIER = (
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 65536,
)  # fmt: skip
USUAL: Final = IP | TID | TIME | CPU | PERIOD | RAW | IDENTIFIER
ALLOC, FREE, EXTFRAG, REFILL, SWITCH, SPLIT, REFILL_TOLD, ALLOC_32 = 300, 301, 302, 303, 304, 305, 306, 307
KERNEL, USER = -128 & (1 << 64) - 1, -512 & (1 << 64) - 1

_COMMON: Final = """\
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
"""
FORMATS: Final = {
    ALLOC: ("kmem", "mm_page_alloc", (("unsigned long", "pfn", 8, 8, 0), ("unsigned int", "order", 16, 4, 0),
            ("unsigned long", "gfp_flags", 24, 8, 0), ("int", "migratetype", 32, 4, 1))),
    FREE: ("kmem", "mm_page_free", (("unsigned long", "pfn", 8, 8, 0), ("unsigned int", "order", 16, 4, 0))),
    EXTFRAG: ("kmem", "mm_page_alloc_extfrag", (("unsigned long", "pfn", 8, 8, 0), ("int", "alloc_order", 16, 4, 1),
              ("int", "fallback_order", 20, 4, 1), ("int", "alloc_migratetype", 24, 4, 1),
              ("int", "fallback_migratetype", 28, 4, 1), ("int", "change_ownership", 32, 4, 1))),
    REFILL: ("kmem", "mm_page_alloc_zone_locked", (("unsigned long", "pfn", 8, 8, 0), ("unsigned int", "order", 16, 4, 0),
             ("int", "migratetype", 20, 4, 1))),
    ALLOC_32: ("kmem", "mm_page_alloc", (("unsigned long", "pfn", 8, 4, 0), ("unsigned int", "order", 12, 4, 0),
               ("unsigned long", "gfp_flags", 16, 4, 0), ("int", "migratetype", 20, 4, 1))),
    SWITCH: ("sched", "sched_switch", (("int", "prev_pid", 8, 4, 1),)),
    REFILL_TOLD: ("kmem", "mm_page_alloc_zone_locked", (("unsigned long", "pfn", 8, 8, 0), ("unsigned int", "order", 16, 4, 0),
                  ("int", "migratetype", 20, 4, 1), ("int", "percpu_refill", 24, 4, 1))),
    SPLIT: ("probe", "split_owner", (("unsigned long", "page", 8, 8, 0), ("u32", "nr", 16, 4, 0))),
}  # fmt: skip


def format_text(number: int) -> bytes:
    """Return the format file of a tracepoint."""
    _, name, fields = FORMATS[number]
    lines = "".join(
        f"\tfield:{kind} {word};\toffset:{at};\tsize:{size};\tsigned:{sign};\n" for kind, word, at, size, sign in fields
    )
    words = 'print fmt: "…", REC->alloc_order, REC->fallback_order, (9), REC->fallback_order < (9)\n'
    return f"name: {name}\nID: {number}\nformat:\n{_COMMON}\n{lines}\n{words}".encode()


def raw(number: int, *values: int) -> bytes:
    """Return the raw data of a sample: the values of its fields in order."""
    fields = FORMATS[number][2]
    data = bytearray(max(at + size for *_, at, size, _ in fields))
    struct.pack_into("<HBBi", data, 0, number, 0, 0, 1)
    for (_, _, at, size, _), value in zip(fields, values, strict=True):
        data[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(data)


def tracing_data() -> bytes:
    """Return the section that holds the formats."""
    parts = [b"\x17\x08\x44tracing", b"0.6\0", b"\0", b"\x08", struct.pack("<I", 4096)]
    for name in (b"header_page\0", b"header_event\0"):
        parts += [name, struct.pack("<Q", 3), b"..\n"]
    parts.append(struct.pack("<I", 0))
    systems = sorted({system for system, *_ in FORMATS.values()})
    parts.append(struct.pack("<I", len(systems)))
    for system in systems:
        numbers = [number for number, (of, *_) in FORMATS.items() if of == system]
        parts += [system.encode() + b"\0", struct.pack("<I", len(numbers))]
        for number in numbers:
            text = format_text(number)
            parts += [struct.pack("<Q", len(text)), text]
    parts += [struct.pack("<I", 0), struct.pack("<I", 0)]
    return b"".join(parts)


@dataclass(frozen=True, kw_only=True)
class Made:
    """The events of a file, each with the ids 10 + 2 * its place + CPU; *periods*: of those places where it is not *period*."""

    events: Sequence[int] = (ALLOC, FREE)
    sample_type: int = USUAL
    read_format: int = 0
    host: str = "made"
    release: str = "6.1.192"
    clockid: int | None = None
    formats: bytes = field(default_factory=tracing_data)
    build_id: bytes = b""
    cpus: int = 0
    cmdline: Sequence[str] = ()
    period: int = 1
    periods: Mapping[int, int] = field(default_factory=dict)
    flags: int = 0

    def id(self, event: int, cpu: int, place: int | None = None) -> int:
        """Return the id of an event on a CPU; of the one at *place*, where it is there more than once."""
        return 10 + 2 * (self.events.index(event) if place is None else place) + cpu

    def sample(
        self,
        event: int,
        ts: int,
        *values: int,
        cpu: int = 0,
        tid: int = 7,
        tgid: int | None = None,
        chain: Sequence[int] = (),
        place: int | None = None,
    ) -> bytes:
        """Return a sample."""
        identity = struct.pack("<Q", self.id(event, cpu, place))
        parts = {
            IDENTIFIER: identity, IP: bytes(8),
            TID: struct.pack("<ii", tid if tgid is None else tgid, tid), TIME: struct.pack("<Q", ts), ADDR: bytes(8),
            ID: identity, STREAM_ID: bytes(8), CPU: struct.pack("<II", cpu, 0), PERIOD: bytes(8),
            READ: self._read(), CALLCHAIN: struct.pack(f"<Q{len(chain)}Q", len(chain), *chain),
        }  # fmt: skip
        body = b"".join(part for bit, part in parts.items() if self.sample_type & bit)
        if self.sample_type & RAW:
            data = raw(event, *values)
            data += bytes(-(len(data) + 4) % 8)
            body += struct.pack("<I", len(data)) + data
        return record(9, body, misc=1)

    def _read(self) -> bytes:
        value = 1 + bool(self.read_format & 4) + bool(self.read_format & 16)
        times = bool(self.read_format & 1) + bool(self.read_format & 2)
        if self.read_format & 8:
            return struct.pack("<Q", 2) + bytes(8 * (times + 2 * value))
        return bytes(8 * (times + value))

    def trailer(self, ts: int, cpu: int, identity: int | None = None) -> bytes:
        """Return what stands at the end of other records."""
        identity = self.id(self.events[0], cpu) if identity is None else identity
        parts = {
            TID: bytes(8), TIME: struct.pack("<Q", ts), ID: struct.pack("<Q", identity), STREAM_ID: bytes(8),
            CPU: struct.pack("<II", cpu, 0), IDENTIFIER: struct.pack("<Q", identity),
        }  # fmt: skip
        return b"".join(part for bit, part in parts.items() if self.sample_type & bit)

    def comm(self, ts: int, tid: int, name: str, *, cpu: int = 0) -> bytes:
        """Return the record that names a thread."""
        text = name.encode() + b"\0"
        identity = 0 if ts == 0 else None  # perf made it itself
        return record(3, struct.pack("<ii", tid, tid) + text + bytes(-len(text) % 8) + self.trailer(ts, cpu, identity))

    def fork(self, ts: int, tid: int, parent: int, *, cpu: int = 0) -> bytes:
        """Return the record of a new thread."""
        return record(7, struct.pack("<iiiiQ", tid, parent, tid, parent, ts) + self.trailer(ts, cpu))

    def lost(self, ts: int, count: int, *, cpu: int = 0) -> bytes:
        """Return the record of lost ones."""
        return record(2, struct.pack("<QQ", self.id(self.events[0], cpu), count) + self.trailer(ts, cpu))

    def throttle(self, ts: int, *, cpu: int = 0) -> bytes:
        """Return the record that an event is throttled."""
        return record(5, struct.pack("<QQQ", ts, 0, 0) + self.trailer(ts, cpu))

    def file(self, records: Iterable[bytes], *, data_size: int | None = None) -> bytes:
        """Return a file."""
        data = b"".join(records)
        attrs = [self._attr(place) for place in range(len(self.events))]
        ids = [self._ids(place) for place in range(len(self.events))]
        attr_size, at = len(attrs[0]) + 16, 104
        ids_at, attrs_at = at, at + 16 * len(ids)
        start = attrs_at + attr_size * len(attrs)
        table = b"".join(attr + struct.pack("<QQ", ids_at + 16 * n, 16) for n, attr in enumerate(attrs))
        sections = [(1, self.formats), (3, _text(self.host)), (4, _text(self.release))]
        if self.build_id:
            name = b"[kernel.kallsyms]\0".ljust(24, b"\0")
            sections.append((2, struct.pack("<IHHi20s4x", 0, 1, 36 + len(name), -1, self.build_id) + name))
        if self.cpus:
            sections.append((7, struct.pack("<II", self.cpus, self.cpus)))
        if self.cmdline:
            sections.append((11, struct.pack("<I", len(self.cmdline)) + b"".join(_text(word) for word in self.cmdline)))
        sections.sort()
        features = sum(1 << bit for bit, _ in sections).to_bytes(32, "little")
        place, places = start + len(data) + 16 * len(sections), b""
        for _, section in sections:
            places += struct.pack("<QQ", place, len(section))
            place += len(section)
        size = len(data) if data_size is None else data_size
        head = (
            struct.pack("<8sQQQQQQQQ", b"PERFILE2", 104, attr_size, attrs_at, len(table), start, size, 0, 0) + features
        )
        return head + b"".join(ids) + table + data + places + b"".join(section for _, section in sections)

    def pipe(self, records: Iterable[bytes]) -> bytes:
        """Return what ``perf record -o -`` writes."""
        parts = [struct.pack("<8sQ", b"PERFILE2", 16)]
        for bit, text in ((3, self.host), (4, self.release)):
            parts.append(record(80, struct.pack("<Q", bit) + _text(text)))
        parts += [record(64, self._attr(place) + self._ids(place)) for place in range(len(self.events))]
        parts += [record(66, struct.pack("<II", len(self.formats), 0)), self.formats, bytes(-len(self.formats) % 8)]
        return b"".join([*parts, *records])

    def _ids(self, place: int) -> bytes:
        return struct.pack("<QQ", *(self.id(self.events[place], cpu, place) for cpu in range(2)))

    def _attr(self, place: int) -> bytes:
        period = self.periods.get(place, self.period)
        flags = 1 << 18 | (1 << 25 if self.clockid is not None else 0) | self.flags
        head = struct.pack("<IIQQQQQ", 2, 128, self.events[place], period, self.sample_type, self.read_format, flags)
        return head.ljust(92, b"\0") + struct.pack("<i", self.clockid or 0) + bytes(32)


def record(kind: int, body: bytes, *, misc: int = 0) -> bytes:
    """Return a record."""
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


ROUND: Final = record(68, b"")


def packed(records: Iterable[bytes], *, kind: int = 81, step: int = 100) -> list[bytes]:
    """Return records compressed as ``perf record -z`` does, *step* bytes in each: a record may end in the next one."""
    data, made = b"".join(records), []
    compressor = zstandard.ZstdCompressor().compressobj()
    for at in range(0, len(data), step):
        part = compressor.compress(data[at : at + step]) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if kind == 83:
            made.append(record(83, struct.pack("<Q", len(part)) + part + bytes(-len(part) % 8)))
        else:
            made.append(record(81, part))
    return made


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    data += bytes(-len(data) % 64)
    return struct.pack("<I", len(data)) + data
