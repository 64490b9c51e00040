"""Inputs of every kind, small and whole: what harm is done to."""

import random
import re
from typing import Final

import numpy as np

from tests.producers.capture.capture_samples import DMESG, DUMP, RING, UEVENTS
from tests.producers.formats.trace_dat.maker import Made, alloc, extend, free, marker, page, record
from tests.producers.test_adding_up import CONTAINERS, TEXTS

_SNAPSHOTS: Final = ("1-boot", "2-end")
_PAGES: Final = range(0x100, 0x130)
_SECOND: Final = 1_000_000_000

ZONEINFO = """\
Node 0, zone    DMA32
  pages free     1
        spanned  262144
        present  262144
  start_pfn:           0
"""
FORMAT = """\
name: mm_page_alloc
print fmt: "gfp_flags=%s", (REC->gfp_flags) ? __print_flags(REC->gfp_flags, "|", {( gfp_t)(((( gfp_t)(0x400u|0x800u)) | \
(( gfp_t)0x40u) | (( gfp_t)0x80u))), "GFP_KERNEL"}, {((((1UL))) << (11)), "__GFP_ZERO"}) : "none"
"""
STACKS = " __alloc_pages+0x16f/0x2a0\n handle_mm_fault+0x1/0x2\nhandle: 1\n\n"


def _events(seed: int) -> list[str]:
    """Return lines of a trace: pages that are allocated and freed in turn on two CPUs, and the markers of two snapshots."""
    rng, owned, lines = random.Random(seed), set[int](), []
    line = "{:>16}-{:<7} [{:03}] ..... {:5}.{:06}: {}\n"
    ts = _SECOND
    for at in range(120):
        ts += rng.randrange(10, 40) * 1_000_000
        for name, place in (("1-boot", 20), ("2-end", 90)):
            for step, what in enumerate(("begin", "page_owner_end", "end")):
                if at == place + step:
                    text = f"tracing_mark_write: SNAPSHOT {name} {what} mono={ts - 1_200_000}"
                    lines.append(line.format("snapd", 48, 0, ts // _SECOND, ts % _SECOND // 1000, text))
                    ts += 1_000_000
        pfn = rng.choice(_PAGES)
        end = f"pfn={pfn:#x} order=0" + ("" if pfn in owned else " migratetype=0 gfp_flags=GFP_KERNEL")
        text = f"mm_page_{'free' if pfn in owned else 'alloc'}: page=0 {end}"
        owned ^= {pfn}
        lines.append(line.format("sh", 40 + pfn % 7, rng.randrange(2), ts // _SECOND, ts % _SECOND // 1000, text))
    return lines


_LINE: Final = re.compile(
    r" *\w+-(?P<pid>\d+) +\[(?P<cpu>\d+)\] \S+ +(?P<s>\d+)\.(?P<us>\d+): (?:tracing_mark_write: (?P<marker>.*)|"
    r"mm_page_(?P<what>\w+): page=0 pfn=(?P<pfn>0x\w+) .*)\n"
)


def _capture() -> dict[str, str | bytes]:
    lines = _events(1)
    counts = [sum(f"[{cpu:03}]" in line for line in lines) for cpu in range(2)]
    flags = np.zeros(600, "<u8")
    flags[300:] = 1 << 10
    files: dict[str, str | bytes] = {
        "trace.txt": "# tracer: nop\n" + "".join(lines),
        "dmesg.txt": "[    0.000000] Linux version 6.1.192-polab (a@b) #1 SMP\n"
        "[    0.000000] BIOS-e820: [mem 0x0000000000001000-0x000000003fffffff] usable\n"
        "[    0.000100]   node   0: [mem 0x0000000000001000-0x000000003fffffff]\n"
        "[    0.000300] Memory: 900000K/1048576K available (1K kernel code)\n"
        "[    0.000400] x86/mm: Memory block size: 128MB\n"
        "[    0.000500] allocated 4194304 bytes of page_ext\n" + DMESG,
        "uname.txt": "Linux (none) 6.1.192-polab #1 SMP Sun Nov 22 21:46:13 UTC 2026 x86_64 GNU/Linux\n",
        "boot_id.txt": "0c0ffee0-0000-4000-8000-000000000000\n",
        "hostname.txt": "recorded\n",
        "cmdline.txt": "console=ttyS0 page_owner=on\n",
        "trace_clock.txt": "[local] global counter\n",
        "kernel.config": "CONFIG_SPARSEMEM=y\nCONFIG_PAGE_OWNER=y\n",
        "set_event.txt": "kmem:mm_page_alloc\nkmem:mm_page_free\n",
        "kprobe_events.txt": "p:po/split_owner __split_page_owner page=%di:x64 nr=%si:u32\n",
        "kprobe_profile.txt": "  split_owner            12               0\n",
        "ring_stats.txt": "".join(RING.format(f"final cpu{cpu}", count) for cpu, count in enumerate(counts)),
        "uevents.txt": UEVENTS,
        "formats/mm_page_alloc.format": FORMAT,
    }
    for name in _SNAPSHOTS:
        files |= {
            f"snapshots/{name}/page_owner.txt": DUMP.replace("PFN 256 ", "PFN 4096 "),
            f"snapshots/{name}/block_size_bytes": "8000000\n",
            f"snapshots/{name}/zoneinfo": ZONEINFO,
            f"snapshots/{name}/iomem": "00001000-3fffffff : System RAM\n",
            f"snapshots/{name}/memory_blocks.txt": "".join(
                f"memory{n} phys_index={n:08x} state=online\n" for n in range(8)
            ),
            f"snapshots/{name}/buddyinfo": "Node 0, zone    DMA32 " + "      1" * 11 + " \n",
            f"snapshots/{name}/pagetypeinfo": "Page block order: 9\nPages per block:  512\n",
            f"snapshots/{name}/vmstat": "pgmigrate_success 0\npgmigrate_fail 0\nthp_split_page 0\n",
            f"snapshots/{name}/clocks.txt": f"SNAPSHOT {name} begin mono=1998800000 raw=1 boot=1 real=1 after_mono=1998950000\n",
            f"snapshots/{name}/show_stacks_handles.txt": STACKS,
            f"snapshots/{name}/kpageflags.bin": flags.tobytes(),
        }
    return files


def binary_trace(per_page: int = 8) -> Made:
    """Return the events of the trace as the rings of two CPUs hold them, *per_page* in each page, and what the kernel counts."""
    pages: tuple[list[bytes], list[bytes]] = ([], [])
    counts = [0, 0]
    for cpu in range(2):
        lines = [found for line in _events(1) if (found := _LINE.fullmatch(line)) and int(found["cpu"]) == cpu]
        counts[cpu] = len(lines)
        for at in range(0, len(lines), per_page):
            records, before = list[bytes](), 0
            for found in lines[at : at + per_page]:
                ts = int(found["s"]) * _SECOND + int(found["us"]) * 1000
                if not before:
                    before = first = ts
                records += [extend(ts - before), record(0, _data(found))]
                before = ts
            pages[cpu].append(page(first, records))
    stats = "\n\n".join(
        f"CPU: {cpu}\nentries: 0\noverrun: 0\ndropped events: 0\nread events: {counts[cpu]}\n" for cpu in range(2)
    )
    return Made(cpus=pages, stats=stats, kallsyms=b"")


def _data(line: re.Match[str]) -> bytes:
    """Return the data of the record that a line of the trace was printed from."""
    if line["marker"]:
        return marker(line["marker"], pid=int(line["pid"]))
    make = alloc if line["what"] == "alloc" else free
    return make(int(line["pfn"], 16), pid=int(line["pid"]))


CAPTURE: Final = {name: text if isinstance(text, bytes) else text.encode() for name, text in _capture().items()}
"""The files of a capture directory, with everything that one may have."""

FILES: Final = {
    **{
        f"{name} in {how}": pack(data)
        for name, data in TEXTS.items()
        for how, pack in CONTAINERS.items()
        if how == "plain"
    },
    **{f"ftrace in {how}": pack(TEXTS["ftrace"]) for how, pack in CONTAINERS.items()},
    "dump in tar.gz": CONTAINERS["tar.gz"](TEXTS["dump"]),
    "dump in zip": CONTAINERS["zip"](TEXTS["dump"]),
    "trace.dat of version 6": binary_trace().version_6(),
    "trace.dat of version 7": binary_trace().version_7(),
}
"""Files alone, each in its form and container."""
