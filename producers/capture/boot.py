"""The constants of a capture's boot, from the files beside its trace."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pagetrail.producers.capture.dmesg import Dmesg, parse_dmesg
from pagetrail.producers.capture.page_size import page_size
from pagetrail.producers.capture.snapshots import Snapshots
from pagetrail.producers.inputs import find_compressed, read_text
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.details import Boot, Zone
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from pagetrail.schemas.linux.kmem_events import MM_PAGE_ALLOC
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT, SECTION_SIZE_BITS, memory_model
from pagetrail.schemas.linux.page_ext import clients_on

_UNAME: Final = re.compile(r"Linux (\S+) (\S+) .* (\S+) \S+$")
_ZONE: Final = re.compile(r"Node (\d+), zone\s+(\w+)$")
_RAM: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) : System RAM")
_BLOCK: Final = re.compile(r"memory\d+ phys_index=([0-9a-f]+) state=(\S+)")


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
    """

    gfp_file: Final = f"formats/{MM_PAGE_ALLOC}.format"

    def __init__(self, directory: Path, snapshots: Snapshots, page_shift: int | None = None) -> None:
        self._directory, self._snapshots = directory, snapshots
        self._gfp_format = self.text(self.gfp_file) or ""
        self.gfp_flags: Mapping[str, int] = parse_gfp_format(self._gfp_format)
        found = _UNAME.match((self.text("uname.txt") or "").strip())
        self.uname = (found[1], found[2], found[3]) if found else None
        self.machine = found[3] if found else None
        dmesg = self.text("dmesg.txt") or ""
        self.page_size = page_size(
            config=self.text("kernel.config") or "", machine=self.machine, dmesg=dmesg,
            zoneinfo=snapshots.first("zoneinfo") or "", given=page_shift,
        )  # fmt: skip
        self.dmesg = parse_dmesg(dmesg, self.page_size.shift)
        self.release = found[2] if found else self.dmesg.release

    def text(self, name: str) -> str | None:
        """Return the file *name*, stripped, if it is there."""
        path = find_compressed(self._directory, name)
        return None if path is None else read_text(path).strip("\n")

    def host(self) -> str:
        """Return the host's name: hostname.txt, else the nodename unless it was never set, else the directory's."""
        name = (self.text("hostname.txt") or "").strip()
        nodename = self.uname[0] if self.uname else "(none)"
        return name or (nodename if nodename != "(none)" else self._directory.resolve().name)

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

    def block_bytes(self) -> int | None:
        """Return the size of a memory block."""
        text = self._snapshots.first("block_size_bytes")
        return int(text, 16) if text else self.dmesg.memory_block_bytes

    def boot(self, *, vmemmap_base: int | None, saw_boot: bool) -> Boot:
        """Return the BOOT detail.

        Parameters
        ----------
        saw_boot
            The trace began while the kernel booted: memory is as dmesg says; else the first snapshot is nearer.
        """
        config = self.text("kernel.config") or ""
        zones = parse_zoneinfo(self._snapshots.first("zoneinfo") or "")
        cmdline = self.text("cmdline.txt")
        order = re.search(r"Page block order: (\d+)", self._snapshots.first("pagetypeinfo") or "")
        orders = (self._snapshots.first("buddyinfo") or "").splitlines()[:1]
        present = self._present(saw_boot=saw_boot)
        return Boot(
            release=self.release,
            arch=self.machine,
            page_shift=self.page_size.shift,
            section_size_bits=SECTION_SIZE_BITS.get(self.machine or ""),
            memory_block_bytes=self.block_bytes(),
            pageblock_order=int(order[1]) if order else None,
            max_order=len(orders[0].split()) - 4 if orders else None,  # "Node 0, zone NAME" and a count for each order
            memory_model=memory_model(self.machine, config),
            page_ext_clients=clients_on(cmdline or self.dmesg.cmdline or "", config),
            page_ext_bytes=self.dmesg.page_ext_bytes,
            vmemmap_base=vmemmap_base,
            nodes=tuple(sorted({zone.node for zone in zones} | {node for node, _, _ in self.dmesg.node_ranges})),
            zones=zones,
            present=present,
            gfp_flags=dict(self.gfp_flags),
            cmdline=cmdline.strip() if cmdline else self.dmesg.cmdline,
        )

    def _present(self, *, saw_boot: bool) -> tuple[tuple[int, int], ...]:
        """Return present memory as pages: of the boot (dmesg) or of the first snapshot (iomem, memory blocks)."""
        booted = tuple((start, stop) for _, start, stop in self.dmesg.node_ranges) or self.dmesg.usable
        if booted and saw_boot:
            return booted
        ranges = parse_iomem(self._snapshots.first("iomem") or "", self.page_size.shift)
        block_bytes = self.block_bytes()
        if not ranges and block_bytes:
            text = self._snapshots.first("memory_blocks.txt") or ""
            ranges = parse_memory_blocks(text, block_bytes >> self.page_size.shift)
        return ranges or booted


def parse_zoneinfo(text: str) -> tuple[Zone, ...]:
    """Return the zones of /proc/zoneinfo that span pages.

    Source: mm/vmstat.c, zoneinfo_show_print (Linux 6.1).
    """
    zones: list[Zone] = []
    node, name, spanned = 0, "", 0
    for line in text.splitlines():
        words = line.split()
        if found := _ZONE.match(line):
            node, name, spanned = int(found[1]), found[2], 0
        elif len(words) == 2 and words[0] == "spanned":
            spanned = int(words[1])
        elif len(words) == 2 and words[0] == "start_pfn:" and spanned:
            zones.append(Zone(node=node, name=name, start_pfn=int(words[1]), stop_pfn=int(words[1]) + spanned))
    return tuple(zones)


def parse_iomem(text: str, page_shift: int = PAGE_SHIFT) -> tuple[tuple[int, int], ...]:
    """Return the System RAM of /proc/iomem as pages; nothing if it was read without the right to see addresses."""
    found = (_RAM.match(line) for line in text.splitlines())
    ranges = [(int(match[1], 16), int(match[2], 16) + 1) for match in found if match]
    pages = [(-(-first >> page_shift), last >> page_shift) for first, last in ranges if last > 1]
    return tuple((start, stop) for start, stop in pages if start < stop)


def parse_memory_blocks(text: str, block_pages: int) -> tuple[tuple[int, int], ...]:
    """Return the blocks of /sys/devices/system/memory that are not offline, as pages; neighbours joined."""
    found = (_BLOCK.match(line) for line in text.splitlines())
    ranges: list[tuple[int, int]] = []
    for block in sorted(int(match[1], 16) for match in found if match and match[2] != "offline"):
        start, stop = block * block_pages, (block + 1) * block_pages
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, stop))
    return tuple(ranges)


def saw_boot(dmesg: Dmesg, first_trace_ts_nsec: int) -> bool:
    """Return whether a trace whose first event is at *first_trace_ts_nsec* began before sched_clock became stable."""
    return dmesg.stable is not None and first_trace_ts_nsec < dmesg.stable.raw
