"""A small capture directory as text, and what the tests of captures ask of its rows."""

import dataclasses
import json

from pagetrail.schemas.batch import to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import DETAIL_MODELS

DMESG = "[    0.001500] sched_clock: Marking stable (900000, 100000)->(2000000, -1000000)\n"
TRACE = """\
# tracer: nop
              sh-44      [000] .....     1.000000: mm_page_alloc: page=(____ptrval____) pfn=0x100 order=0 \
migratetype=0 gfp_flags=GFP_KERNEL
           snapd-48      [000] .....     2.000000: tracing_mark_write: SNAPSHOT 1-boot begin mono=1998800000 \
raw=1998800001 boot=1998800002 real=1795386662858263654
           snapd-48      [000] .....     3.000000: tracing_mark_write: SNAPSHOT 1-boot page_owner_end mono=2998800000
           snapd-48      [000] .....     3.100000: tracing_mark_write: SNAPSHOT 1-boot end mono=3098800000
              sh-44      [001] .....     4.000000: mm_page_free: page=(____ptrval____) pfn=0x100 order=0
           snapd-48      [000] .....     5.000000: tracing_mark_write: SNAPSHOT 2-end begin mono=4998800000
           snapd-48      [000] .....     6.000000: tracing_mark_write: SNAPSHOT 2-end page_owner_end mono=5998800000
              sh-44      [000] .....     7.000000: mm_page_alloc: page=(____ptrval____) pfn=0x101 order=0 \
migratetype=0 gfp_flags=GFP_KERNEL
"""
DUMP = """\
Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid 44, tgid 44 (sh), ts 999000000 ns, free_ts 0 ns
PFN 256 type Unmovable Block 0 type Unmovable Flags 0x0()
 __alloc_pages+0x16f/0x2a0

"""
RING = (
    "{} entries: {} overrun: 0 commit overrun: 0 bytes: 9 oldest event ts:     1.000000 now ts:     2.000000 "
    "dropped events: 0 read events: 0 \n"
)
RINGS = "".join(RING.format(*ring) for ring in (("1-boot cpu0", 2), ("final cpu0", 7), ("final cpu1", 1)))
UEVENTS = """\
uevent mono_ns=3998900000 boot_ns=1 real_ns=1 bytes=1 header=add@/devices/system/memory/memory32
uevent mono_ns=4498900000 boot_ns=1 real_ns=1 bytes=1 header=online@/devices/system/memory/memory32
uevent mono_ns=8998900000 boot_ns=1 real_ns=1 bytes=1 header=offline@/devices/system/memory/memory32
"""
FILES = {
    "trace.txt": TRACE,
    "dmesg.txt": DMESG,
    "uname.txt": "Linux (none) 6.1.192-polab #1 SMP Sun Nov 22 21:46:13 UTC 2026 x86_64 GNU/Linux\n",
    "set_event.txt": "kmem:mm_page_alloc\nkmem:mm_page_free\n",
    "ring_stats.txt": RINGS,
    "snapshots/1-boot/page_owner.txt": DUMP,
    "snapshots/1-boot/block_size_bytes": "8000000\n",
    "snapshots/2-end/page_owner.txt": DUMP,
    "snapshots/2-end/clocks.txt": "SNAPSHOT 2-end begin mono=4998800000 raw=1 boot=1 real=1 after_mono=4998950000\n",
}


def rows_of(parser):
    """Return (trace time in ms, kind, detail) of all rows."""
    rows = []
    for batch in parser.batches():
        assert to_arrow(with_seq(batch)).num_rows == len(batch)
        for i in range(len(batch)):
            kind = Kind(int(batch.columns["kind"][i]))
            if i in batch.details:
                DETAIL_MODELS[kind].model_validate_json(batch.details[i])
            detail = json.loads(batch.details.get(i, "{}"))
            rows.append((int(batch.columns["trace_ts_nsec"][i]) // 1_000_000, kind, detail))
    return rows


def with_seq(batch):
    return dataclasses.replace(batch, columns={**batch.columns, "seq": batch.columns["trace_ts_nsec"]})


def of_kind(rows, kind):
    return [(at, detail) for at, found, detail in rows if found is kind]


def kinds_of(rows):
    return [kind for _, kind, _ in rows]
