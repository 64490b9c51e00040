"""The constants of a capture's boot, from the files beside its trace."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

from pagetrail.producers.capture.dmesg import Dmesg, parse_dmesg
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.memory_map import (
    Ranges,
    more_than_there_is,
    parse_iomem,
    parse_memory_blocks,
    parse_zoneinfo,
)
from pagetrail.producers.capture.numbers import number
from pagetrail.producers.capture.page_size import page_size, stated_pages
from pagetrail.producers.capture.snapshots import Snapshots
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.details import Boot, Zone
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from pagetrail.schemas.linux.kmem_events import MM_PAGE_ALLOC
from pagetrail.schemas.linux.mmzone import MAX_SECTION_ORDER, SECTION_SIZE_BITS, memory_model
from pagetrail.schemas.linux.page_ext import clients_on

# include/uapi/linux/utsname.h (Linux 6.1): a field has at most 64 characters
_UNAME: Final = re.compile(r"Linux (\S{1,64}) (\S{1,64}) .{0,1000} (\S{1,64}) \S{1,64}$")
_BLOCK_ORDER: Final = re.compile(r"Page block order: ([0-9]{1,2})\b")

_LARGEST_BLOCK: Final = 1 << 40
"""No memory block is as large: x86_64 has up to 2 GiB. Source: arch/x86/mm/init_64.c, MAX_BLOCK_SIZE (Linux 6.1)."""
_LONGEST_CMDLINE: Final = 1 << 16
"""COMMAND_LINE_SIZE is 2,048 on x86_64, and less than this everywhere. Source: include/uapi/asm/setup.h (Linux 6.1)."""
_ORDERS: Final = range(1, MAX_SECTION_ORDER + 1)
_SHOWN: Final = 80
_BESIDE_ORDERS: Final = 4
"""Words of a line of buddyinfo before its counts: "Node 0, zone NAME"."""


class BootFiles:
    """The files of a capture directory that speak of its boot, each read once.

    Parameters
    ----------
    page_shift
        log2 of the bytes of a page that the operator says.

    Attributes
    ----------
    dmesg
        What dmesg.txt says; nothing where it is missing.
    gfp_flags
        The names that the recording's kernel prints for gfp flags, to their bits; maybe empty.
    uname
        (nodename, release, machine) of uname.txt, if it is there.
    release, machine
        Of the kernel, by uname.txt; without it, dmesg tells the release.
    page_size
        Of the machine.
    notes
        What of the files was not taken, and why.
    """

    gfp_file: Final = f"formats/{MM_PAGE_ALLOC}.format"

    def __init__(self, folder: CaptureFolder, snapshots: Snapshots, page_shift: int | None = None) -> None:
        self._folder, self._snapshots = folder, snapshots
        self._unread: dict[str, list[str]] = {}
        self._not_taken: list[str] = []
        self._gfp_format = self.text(self.gfp_file) or ""
        self.gfp_flags: Mapping[str, int] = parse_gfp_format(self._gfp_format)
        found = _UNAME.match((self.text("uname.txt") or "").strip())
        self.uname = (found[1], found[2], found[3]) if found else None
        self.machine = found[3] if found else None
        dmesg = self.text("dmesg.txt") or ""
        zoneinfo = snapshots.first("zoneinfo") or ""
        self.page_size = page_size(
            config=self.text("kernel.config") or "", machine=self.machine, dmesg=dmesg, zoneinfo=zoneinfo,
            given=page_shift,
        )  # fmt: skip
        self._stated_pages = stated_pages(dmesg, zoneinfo, self.page_size.shift)
        self.dmesg = parse_dmesg(dmesg, self.page_size.shift)
        self.release = found[2] if found else self.dmesg.release

    def text(self, name: str) -> str | None:
        """Return the file *name*, stripped, if it is there."""
        found = self._folder.text(name)
        return None if found is None else found.strip("\n")

    def host(self) -> str:
        """Return the host's name: hostname.txt, else the nodename unless it was never set, else the directory's."""
        name = (self.text("hostname.txt") or "").strip()
        nodename = self.uname[0] if self.uname else "(none)"
        return name or (nodename if nodename != "(none)" else self._folder.path.resolve().name)

    @property
    def gfp_unread(self) -> bool:
        """Whether there is a format file with gfp flags that is not understood."""
        return "__print_flags(" in self._gfp_format and not self.gfp_flags

    def kernel(self, given: RecordedKernel) -> RecordedKernel:
        """Return what is known of the recorded kernel: what is *given*, else what the files say."""
        flags = given.gfp_flags or self.gfp_flags
        return RecordedKernel(
            gfp_flags=flags, gfp_from=given.gfp_from if given.gfp_flags else "format file",
            vmemmap_base=given.vmemmap_base, release=given.release or self.release, symbols=given.symbols,
        )  # fmt: skip

    @property
    def notes(self) -> list[str]:
        """What of the files was not taken, and why."""
        counted = {name: (len(lines), lines[0][:_SHOWN]) for name, lines in self._unread.items()}
        unread = [
            f"{name}: {'a line is' if count == 1 else f'{count:,} lines are'} not understood and left out, the first is {line!r}"
            for name, (count, line) in counted.items()
        ]
        return [*unread, *self._not_taken]

    @cached_property
    def block_bytes(self) -> int | None:
        """The size of a memory block; null where no file says one that a kernel can have."""
        text, printed = self._snapshots.first("block_size_bytes"), self.dmesg.memory_block_bytes
        size = number((text or "").strip(), base=16, stop=_LARGEST_BLOCK)
        for found in (size, printed):
            if found and found < _LARGEST_BLOCK and found >> self.page_size.shift and not found & (found - 1):
                return found
        if text or printed:
            self._not_taken.append(
                "block_size_bytes and dmesg.txt: expected the size of memory blocks, a power of two below "
                f"{_LARGEST_BLOCK:#x}, found {(text or '')[:_SHOWN]!r} and {printed}: what uevents and memory_blocks.txt say of "
                "hotplug is left out"
            )
        return None

    @cached_property
    def zones(self) -> tuple[Zone, ...]:
        """The zones of the machine, as the first snapshot has them."""
        return parse_zoneinfo(self._snapshots.first("zoneinfo") or "", self.unread_of("zoneinfo"))

    def unread_of(self, file: str) -> Callable[[str], None]:
        """Return what takes note of a line of *file* that is not understood."""
        return lambda line: self._unread.setdefault(file, []).append(line)

    def boot(self, *, vmemmap_base: int | None, saw_boot: bool) -> Boot:
        """Return the BOOT detail.

        Parameters
        ----------
        saw_boot
            The trace began while the kernel booted: memory is as dmesg says; else the first snapshot is nearer.
        """
        config = self.text("kernel.config") or ""
        zones = self.zones
        cmdline = self._cmdline()
        order = _BLOCK_ORDER.search(self._snapshots.first("pagetypeinfo") or "")
        pageblock_order = int(order[1]) if order else None
        orders = (self._snapshots.first("buddyinfo") or "").splitlines()[:1]
        max_order = len(orders[0].split()) - _BESIDE_ORDERS if orders else None
        present = self._present(saw_boot=saw_boot)
        return Boot(
            release=self.release,
            arch=self.machine,
            page_shift=self.page_size.shift,
            section_size_bits=SECTION_SIZE_BITS.get(self.machine or ""),
            memory_block_bytes=self.block_bytes,
            pageblock_order=pageblock_order if pageblock_order in _ORDERS else None,
            max_order=max_order if max_order in _ORDERS else None,
            memory_model=memory_model(self.machine, config),
            page_ext_clients=clients_on(cmdline or "", config),
            page_ext_bytes=self.dmesg.page_ext_bytes,
            vmemmap_base=vmemmap_base,
            nodes=tuple(sorted({zone.node for zone in zones} | {node for node, _, _ in self.dmesg.node_ranges})),
            zones=zones,
            present=present,
            gfp_flags=dict(self.gfp_flags),
            cmdline=cmdline,
        )

    def _cmdline(self) -> str | None:
        """Return the kernel's command line."""
        for name, text in (("cmdline.txt", self.text("cmdline.txt")), ("dmesg.txt", self.dmesg.cmdline)):
            if text is not None and len(text) > _LONGEST_CMDLINE:
                self._not_taken.append(
                    f"{name}: the command line has {len(text):,} characters, as no kernel's: it is left out"
                )
            elif text:
                return text.strip()
        return None

    def _present(self, *, saw_boot: bool) -> Ranges:
        """Return present memory as pages; none if there is more than the machine can have: sections are then opened as needed."""
        ranges = self._ranges(saw_boot=saw_boot)
        why = more_than_there_is(ranges, self._stated_pages)
        if why is None:
            return ranges
        self._not_taken.append(f"what dmesg or iomem list of memory is left out: {why}")
        return ()

    def _ranges(self, *, saw_boot: bool) -> Ranges:
        """Return present memory as pages: of the boot (dmesg) or of the first snapshot (iomem, memory blocks)."""
        booted = tuple((start, stop) for _, start, stop in self.dmesg.node_ranges) or self.dmesg.usable
        if booted and saw_boot:
            return booted
        ranges = parse_iomem(self._snapshots.first("iomem") or "", self.page_size.shift, self.unread_of("iomem"))
        if not ranges and self.block_bytes:
            text, name = self._snapshots.first("memory_blocks.txt") or "", "memory_blocks.txt"
            ranges = parse_memory_blocks(text, self.block_bytes >> self.page_size.shift, self.unread_of(name))
        return ranges or booted


def saw_boot(dmesg: Dmesg, first_trace_ts_nsec: int) -> bool:
    """Return whether a trace whose first event is at *first_trace_ts_nsec* began before sched_clock became stable."""
    return dmesg.stable is not None and first_trace_ts_nsec < dmesg.stable.raw
