"""Dumps of page_owner with as many records as asked, and how much memory commands take for them at most."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MASKS: Final = (
    ("0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)", "Movable", 0),
    ("0x1100cca(GFP_HIGHUSER_MOVABLE)", "Movable", 0),
    ("0xcc0(GFP_KERNEL)", "Unmovable", 0),
    ("0x52cc0(GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP)", "Unmovable", 2),
    ("0xd20c0(__GFP_IO|__GFP_FS|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_NOMEMALLOC)", "Unmovable", 3),
)
_FLAGS: Final = "0x17ffffc0020014(uptodate|lru|mappedtodisk|node=0|zone=2|lastcpupid=0x1fffff)"


def records(count: int, *, stacks: int, seed: int = 5) -> Iterator[str]:
    """Yield the records of a dump, in the form of Linux 6.1, with free times; some blocks are larger than a page."""
    chance = random.Random(seed)
    texts = [_stack(chance) for _ in range(stacks)]
    pfn = 4096
    for _ in range(count):
        mask, kind, order = chance.choice(_MASKS)
        pages = 1 << order
        pfn = (pfn + pages - 1) // pages * pages + (pages if chance.random() < 0.03 else 0)
        pid, ts = chance.randrange(300, 1200), chance.randrange(10**9, 10**13)
        yield (
            f"Page allocated via order {order}, mask {mask}, pid {pid}, tgid {pid} (worker-{pid % 60}), ts {ts} ns, "
            f"free_ts {ts - chance.randrange(10**9)} ns\nPFN {pfn} type {kind} Block {pfn >> 9} type {kind} Flags {_FLAGS}\n"
            f"{chance.choice(texts)}\n"
        )
        pfn += pages


def write_dump(path: Path, count: int, *, stacks: int = 3000, seed: int = 5, mixed: bool = False) -> Path:
    """Write a dump of *count* records to *path*; return it. *mixed*: its page frame numbers do not rise."""
    made = records(count, stacks=stacks, seed=seed)
    if mixed:
        made = iter(random.Random(seed).sample(list(made), count))
    with path.open("w") as file:
        file.writelines(made)
    return path


def peak(*command: str) -> int:
    """Run Python with the arguments *command* in a process of its own; return the most memory that was resident, in bytes."""
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *command], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )  # fmt: skip
    _, status, used = os.wait4(pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(code, command)
    return used.ru_maxrss << 10  # Linux counts in KiB


def commands(*dumps: Path, trail: Path) -> dict[str, tuple[str, ...]]:
    """Return ingest, replay and questions of the dumps of one boot, by name: arguments for ``peak``, to be run in this order."""
    to = ("--trail", str(trail))
    of_one_boot = ("--boot-id", "b", "--host", "h") if len(dumps) > 1 else ()
    rows = ("-o", str(trail / "rows.parquet"))
    return {
        "ingest": ("-m", "pagetrail", "ingest", *map(str, dumps), *of_one_boot, *to),
        "replay": ("-m", "pagetrail", "replay", *to),
        "top": ("-m", "pagetrail", "top", "--by", "stack", "--at", "-0s", *to),
        "leaks": ("-m", "pagetrail", "leaks", "--by", "stack", "--from", "0", "--to", "-0s", *to),
        "top by pid": ("-m", "pagetrail", "top", "--by", "pid", "--at", "-0s", *to),
        "table": ("-m", "pagetrail", "snapshot", "--at", "-0s", *to),
        "snapshot": ("-m", "pagetrail", "snapshot", "--all", "--format", "parquet", "--at", "-0s", *rows, *to),
    }


def _stack(chance: random.Random) -> str:
    inner = ("post_alloc_hook+0xc7/0xf0", "get_page_from_freelist+0x5e9/0xf10", "__alloc_pages+0x1a8/0x310")
    outer = (f"function_{chance.randrange(2500):04d}+0x{chance.randrange(16, 4000):x}/0x1a40" for _ in range(9))
    return "".join(f" {frame}\n" for frame in (*inner, *outer))
