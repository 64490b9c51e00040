"""Makes trace.dat files, record by record, as the kernel's rings and trace-cmd write them."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import zstandard

from tests.producers.formats.perf_data.maker import ALLOC, EXTFRAG, FORMATS, FREE, REFILL, SPLIT, SWITCH, format_text

STACK, USER_STACK, PRINT = 4, 6, 5
OF_FTRACE: Final = {
    STACK: ("kernel_stack", (("int", "size", 8, 4, 1), ("unsigned long", "caller[8]", 16, 64, 0))),
    USER_STACK: ("user_stack", (("unsigned int", "tgid", 8, 4, 0), ("unsigned long", "caller[8]", 16, 64, 0))),
    PRINT: ("print", (("unsigned long", "ip", 8, 8, 0), ("char", "buf[]", 16, 0, 0))),
}
MARK: Final = 0xFFFFFFFF81000200
KALLSYMS: Final = (
    b"ffffffff81000000 T _text\nffffffff81000000 T startup\nffffffff81000100 t inner\nffffffff81000100 t alias\n"
    b"ffffffff81000200 t tracing_mark_write\nffffffffc0000000 t work\t[mod]\n"
)
Pages = Sequence[bytes]


def raw(number: int, *values: int, pid: int = 7) -> bytes:
    """Return the data of a record: the values of its fields in order."""
    data = bytearray(max(at + size for *_, at, size, _ in FORMATS[number][2]))
    struct.pack_into("<HBBi", data, 0, number, 0, 0, pid)
    for (_, _, at, size, _), value in zip(FORMATS[number][2], values, strict=True):
        data[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(data) + bytes(-len(data) % 4)


def alloc(pfn: int, order: int = 0, *, pid: int = 7) -> bytes:
    """Return the data of an allocation."""
    return raw(ALLOC, pfn, order, 0xCC0, 1, pid=pid)


def free(pfn: int, order: int = 0, *, pid: int = 7) -> bytes:
    """Return the data of a free."""
    return raw(FREE, pfn, order, pid=pid)


def stack(*addresses: int, pid: int = 7, number: int = STACK, count: int | None = None) -> bytes:
    """Return the data of a stack; *count*: how many addresses it says that it has."""
    head = struct.pack("<HBBiiI", number, 0, 0, pid, len(addresses) if count is None else count, 0)
    return head + struct.pack(f"<{len(addresses)}Q", *addresses)


def marker(text: str, *, ip: int = MARK + 0x50, pid: int = 7) -> bytes:
    """Return the data of a text that was written into trace_marker."""
    data = struct.pack("<HBBiQ", PRINT, 0, 0, pid, ip) + text.encode() + b"\n\0"
    return data + bytes(-len(data) % 4)


def record(delta: int, data: bytes, *, long: bool = False) -> bytes:
    """Return a record; *long*: its size is a number of its own, as that of a large one is."""
    if long or len(data) > 28 * 4:
        return struct.pack("<II", delta << 5, len(data) + 4) + data
    return struct.pack("<I", delta << 5 | len(data) // 4) + data


def extend(delta: int) -> bytes:
    """Return a record that lets so much time pass."""
    return struct.pack("<II", (delta & (1 << 27) - 1) << 5 | 30, delta >> 27)


def stamp(ts: int) -> bytes:
    """Return a record with an absolute time, whose upper five bits it does not hold."""
    return struct.pack("<II", (ts & (1 << 27) - 1) << 5 | 31, (ts & (1 << 59) - 1) >> 27)


def padding(delta: int, size: int = 8) -> bytes:
    """Return a record that was discarded."""
    return struct.pack("<II", delta << 5 | 29, size - 4) + bytes(size - 8)


def page(
    ts: int,
    records: Sequence[bytes] = (),
    *,
    missed: int | None = None,
    stored: bool = True,
    size: int = 4096,
    commit: int | None = None,
    commit_bytes: int = 8,
) -> bytes:
    """Return a page of the ring. *missed*: events that were lost before it, whose number is *stored* or not."""
    data = b"".join(records)
    said = len(data) if commit is None else commit
    if missed is not None:
        said += (1 << 30) * stored - (1 << 31)
        data += missed.to_bytes(commit_bytes, "little") if stored else b""
    said &= (1 << 8 * commit_bytes) - 1
    head = struct.pack("<Q", ts) + said.to_bytes(commit_bytes, "little")
    return (head + data).ljust(size, b"\0")


def header_page(size: int = 4096, commit_bytes: int = 8) -> bytes:
    """Return the file events/header_page."""
    data = 8 + commit_bytes
    fields = (
        ("u64 timestamp", 0, 8, 0), ("local_t commit", 8, commit_bytes, 1), ("int overwrite", 8, 1, 1),
        ("char data", data, size - data, 1),
    )  # fmt: skip
    return "".join(
        f"\tfield: {name};\toffset:{at};\tsize:{count};\tsigned:{sign};\n" for name, at, count, sign in fields
    ).encode()


def own_format(number: int) -> bytes:
    """Return the format of an event of ftrace's own."""
    name, fields = OF_FTRACE[number]
    lines = "".join(
        f"\tfield:{kind} {word};\toffset:{at};\tsize:{size};\tsigned:{sign};\n" for kind, word, at, size, sign in fields
    )
    return f"name: {name}\nID: {number}\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n{lines}".encode()


def sized(data: bytes, size: int) -> bytes:
    """Return data behind their length."""
    return len(data).to_bytes(size, "little") + data


def option(number: int, data: bytes) -> bytes:
    """Return an option."""
    return struct.pack("<H", number) + sized(data, 4)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


PACKS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"zlib": zlib.compress, "zstd": _zstd, "none": bytes}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A file: the pages of each CPU of its top buffer, and of each CPU of its other buffers by their names."""

    cpus: Sequence[Pages] = ()
    buffers: Mapping[str, Sequence[Pages]] = field(default_factory=dict)
    page_size: int = 4096
    commit_bytes: int = 8
    kallsyms: bytes = KALLSYMS
    comms: bytes = b"7 worker\n9 other\n"
    clock: str = "local"
    stats: str = ""
    options: Sequence[bytes] = ()
    clock_of_buffers: str = ""  # as options of the other buffers say, of version 6

    def _sections(self) -> dict[int, bytes]:
        numbers = (ALLOC, FREE, EXTFRAG, REFILL, SWITCH, SPLIT)
        systems = sorted({FORMATS[number][0] for number in numbers})
        events = struct.pack("<I", len(systems))
        for system in systems:
            of_it = [number for number in numbers if FORMATS[number][0] == system]
            events += system.encode() + b"\0" + struct.pack("<I", len(of_it))
            events += b"".join(sized(format_text(number), 8) for number in of_it)
        pages = header_page(self.page_size, self.commit_bytes)
        return {
            16: b"header_page\0" + sized(pages, 8) + b"header_event\0" + sized(b"# compressed entry header\n", 8),
            17: struct.pack("<I", len(OF_FTRACE)) + b"".join(sized(own_format(number), 8) for number in OF_FTRACE),
            18: events, 19: sized(self.kallsyms, 4), 20: sized(b"", 4), 21: sized(self.comms, 8),
        }  # fmt: skip

    def _options(self) -> bytes:
        found = option(4, f"global [{self.clock}] mono\n\0".encode()) + option(5, b"Linux made 6.1.192 x86_64\0")
        return (
            found
            + b"".join(option(2, one.encode() + b"\0") for one in self.stats.split("\n\n") if one)
            + b"".join(self.options)
        )

    def version_6(self) -> bytes:
        """Return the file in version 6."""
        head = (
            b"\x17\x08\x44tracing6\0" + struct.pack("<BBI", 0, 8, self.page_size) + b"".join(self._sections().values())
        )
        head += struct.pack("<I", max(1, len(self.cpus))) + b"options  \0" + self._options()
        size = len(head) + sum(15 + len(name) for name in self.buffers) + 2 + 10 + 16 * len(self.cpus)
        places, data = self._places(self.cpus, size)
        others = b""
        for name, cpus in self.buffers.items():
            at = size + len(data)
            said = option(4, f"[{self.clock_of_buffers}]\0".encode())
            own = b"options  \0" + said + b"\0\0" if self.clock_of_buffers else b""
            found, pages = self._places(cpus, at + len(own) + 10 + 16 * len(cpus))
            data += own + b"flyrecord\0" + found + pages
            others += option(3, struct.pack("<Q", at) + name.encode() + b"\0")
        return head + others + b"\0\0flyrecord\0" + places + data

    def _places(self, cpus: Sequence[Pages], at: int) -> tuple[bytes, bytes]:
        places, data = b"", b""
        for pages in cpus:
            data += bytes(-(at + len(data)) % self.page_size)
            places += struct.pack("<QQ", at + len(data), sum(map(len, pages)))
            data += b"".join(pages)
        return places, data

    def version_7(self, packing: str = "zstd", *, pages_in_chunk: int = 2) -> bytes:
        """Return the file in version 7."""
        pack = PACKS[packing]
        data = bytearray(
            b"\x17\x08\x44tracing7\0" + struct.pack("<BBI", 0, 8, self.page_size) + packing.encode() + b"\0001.5\0"
        )
        start = len(data)
        data += bytes(8)
        found = self._options()
        for number, section in self._sections().items():
            found += option(number, struct.pack("<Q", len(data)))
            packed = pack(section)
            content = section if packing == "none" else struct.pack("<II", len(packed), len(section)) + packed
            data += struct.pack("<HHIQ", number, packing != "none", 0, len(content)) + content
        data[start : start + 8] = struct.pack("<Q", len(data))
        place = len(data) + 16 + len(found) + 6
        buffers, described = b"", b""
        for name, cpus in {"": self.cpus, **self.buffers}.items():
            at = place + 8 + len(buffers)
            section, described_cpus = b"", b""
            for cpu, pages in enumerate(cpus):
                content, size = self._content(pages, packing, pages_in_chunk)
                described_cpus += struct.pack("<IQQ", cpu, at + 16 + len(section), size)
                section += content
            buffers += struct.pack("<HHIQ", 3, packing != "none", 0, len(section)) + section
            described += option(
                3,
                struct.pack("<Q", at) + name.encode() + b"\0" + self.clock.encode() + b"\0"
                + struct.pack("<II", self.page_size, len(cpus)) + described_cpus,
            )  # fmt: skip
        found += option(0, struct.pack("<Q", place + 8 + len(buffers)))
        data += struct.pack("<HHIQ", 0, 0, 0, len(found)) + found + buffers
        last = described + option(0, bytes(8))
        return bytes(data) + struct.pack("<HHIQ", 0, 0, 0, len(last)) + last

    def _content(self, pages: Pages, packing: str, step: int) -> tuple[bytes, int]:
        if packing == "none" or not pages:
            return b"".join(pages), sum(map(len, pages))
        parts = [b"".join(pages[at : at + step]) for at in range(0, len(pages), step)]
        chunks = [struct.pack("<II", len(packed := PACKS[packing](part)), len(part)) + packed for part in parts]
        return struct.pack("<I", len(chunks)) + b"".join(chunks), sum(len(chunk) - 8 for chunk in chunks)
