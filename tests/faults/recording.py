"""A recording as ftrace text, of a machine that allocates and frees: the same for the same seed."""

import random
from pathlib import Path

PAGES = 1 << 15  # a section
HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: {n}/{n}   #P:2\n#\n"


def write_trace(path: Path, *, events: int = 30_000, seed: int = 3) -> Path:
    """Write so many events: blocks of order 0 to 3 in two sections, and now and then a page drained."""
    rng = random.Random(seed)
    owned: list[tuple[int, int]] = []
    taken: set[int] = set()
    lines = [HEADER.format(n=events)]
    ts = 1_000_000
    for _ in range(events):
        ts += rng.randrange(1, 40)
        head = (
            f"    task-{rng.randrange(100, 120)}     [{rng.randrange(2):03d}] ..... {ts // 10**6:5d}.{ts % 10**6:06d}: "
        )
        order = rng.choice((0, 0, 0, 0, 1, 2, 3))
        pfn = rng.randrange(2 * PAGES) >> order << order
        if owned and (rng.random() < 0.45 or pfn in taken):
            pfn, order = owned.pop(rng.randrange(len(owned)))
            taken.difference_update(range(pfn, pfn + 2**order))
            lines.append(f"{head}mm_page_free: page=(____ptrval____) pfn={pfn:#x} order={order}\n")
        elif not taken.isdisjoint(range(pfn, pfn + 2**order)):
            lines.append(f"{head}mm_page_pcpu_drain: page=(____ptrval____) pfn={PAGES - 1:#x} order=0 migratetype=1\n")
        else:
            owned.append((pfn, order))
            taken.update(range(pfn, pfn + 2**order))
            told = f"pfn={pfn:#x} order={order} migratetype=0 gfp_flags=GFP_KERNEL"
            lines.append(f"{head}mm_page_alloc: page=(____ptrval____) {told}\n")
    path.write_text("".join(lines))
    return path
