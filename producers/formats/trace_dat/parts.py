"""What a trace.dat consists of, as it was found: buffers, the data of their CPUs, what it says of the machine.

Source: trace-cmd, Documentation/trace-cmd/trace-cmd.dat.v6.5.txt and trace-cmd.dat.v7.5.txt.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from pagetrail.producers.formats.tracepoints.tracing_data import TracepointFormat
from pagetrail.schemas.errors import InputError

MAX_CPUS: Final = 8192
"""CONFIG_NR_CPUS of x86_64 at most (arch/x86/Kconfig, Linux 6.1)."""
MOST_BUFFERS: Final = 1 << 10
LEAST_PAGE: Final = 1 << 9
MOST_PAGE: Final = 1 << 20
"""A page of the ring. Source: kernel/trace/ring_buffer.c, ring_buffer_subbuf_order_set (Linux 6.8): RB_WRITE_MASK."""

Decompress = Callable[[bytes, int], bytes]
"""Returns what bytes expand to, which is so many bytes.

Raises ``Damaged`` if it is not.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuData:
    """The pages of one CPU: bytes [offset, offset + size) of the file."""

    cpu: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A buffer of ftrace: the top one, whose name is empty, or an instance."""

    name: str
    cpus: tuple[CpuData, ...]
    page_size: int
    packed: bool = False
    clock: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingPage:
    """Where what a page of the ring begins with is in it, by header_page: how many bytes are written, and the records."""

    commit: int = 8
    commit_bytes: int = 8
    data: int = 16


@dataclass(slots=True, kw_only=True)
class FileHeader:
    """What a file says before its pages.

    Attributes
    ----------
    address_bytes
        Of an address of the recorded kernel.
    formats
        By the number of the tracepoint.
    kallsyms
        Returns the text of its kallsyms, which may be long.
    comms
        Names of threads, when the recording ended.
    clock
        The trace clock of the top buffer; empty: it does not say.
    stats
        What the kernel counted of each CPU's ring, as trace-cmd wrote it.
    to_nsec
        Of a clock that counts: factor and shift that make nanoseconds of it; null: it does not say.
    offset
        What was to be added to its times, as the user wished, ns.
    cut
        Why there is less than the file announces; null: there is all.
    missing
        Why a whole buffer of it is not there; null: all are.
    """

    formats: dict[int, TracepointFormat] = field(default_factory=dict)
    page: RingPage = field(default_factory=RingPage)
    page_size: int = 4096
    kallsyms: Callable[[], bytes] = bytes
    comms: dict[int, bytes] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    decompress: Decompress | None = None
    hostname: str | None = None
    release: str | None = None
    clock: str = ""
    stats: list[str] = field(default_factory=list)
    cpu_count: int | None = None
    to_nsec: tuple[int, int] | None = None
    offset: int = 0
    cut: str | None = None
    missing: str | None = None

    @property
    def address_bytes(self) -> int:
        """Of an address of the recorded kernel: as many as its long has."""
        return self.page.commit_bytes


def refuse(source: str, at: int, found: str) -> NoReturn:
    """Refuse a file for what was *found* at byte *at*.

    Raises
    ------
    InputError
        Always.
    """
    raise InputError(
        f"{source}: expected a whole trace.dat, found {found}, at byte {at}; record again with trace-cmd, or give what 'trace-cmd "
        "report' prints of it"
    )
