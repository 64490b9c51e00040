"""The canonical stack on a real kernel: page_owner's stack and the tracepoint's stack of one allocation."""

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from pagetrail.schemas.stacks import canonical_stack

CLOCK_OFFSET = -15_758_526  # dmesg: sched_clock: Marking stable (...)->(1536290112, -15758526)
TOLERANCE = 20_000_000

_LINE = re.compile(r"\s*.+-(\d+)\s+\[(\d+)\] \S+\s+(\d+)\.(\d+): (.*)")
_ALLOC = re.compile(r"mm_page_alloc: page=\S+ pfn=(0x[0-9a-f]+) order=(\d+)")
_RECORD = re.compile(
    r"Page allocated via order (\d+), mask 0x[0-9a-f]+\(.*?\), pid (\d+), tgid \d+ \(.*\), ts (\d+) ns"
)

Key = tuple[int, int, int]  # pfn, order, pid


def trace_stacks(lines: io.TextIOBase, until: str) -> dict[Key, list[tuple[int, str]]]:
    """Return (ts in ns, raw stack) of every mm_page_alloc up to the line that contains *until*."""
    found: dict[Key, list[tuple[int, str]]] = defaultdict(list)
    last: dict[str, tuple[Key, int] | None] = {}
    owner, frames = None, []
    for line in lines:
        if line.startswith(" => "):
            frames.append(line[4:].strip())
            continue
        if owner is not None:
            found[owner[0]].append((owner[1], "\n".join(frames)))
        owner, frames = None, []
        match = _LINE.match(line)
        if match is None:
            continue
        pid, cpu, seconds, micros, what = match.groups()
        if what.startswith("<stack trace>"):
            owner = last.pop(cpu, None)
            continue
        alloc = _ALLOC.match(what)
        ts = int(seconds) * 10**9 + int(micros) * 1000
        last[cpu] = ((int(alloc[1], 16), int(alloc[2]), int(pid)), ts) if alloc else None
        if until in line:
            break
    return found


def dump_stacks(text: str) -> Iterator[tuple[Key, int, str]]:
    """Yield (key, ts in ns, raw stack) of every record of a page_owner dump."""
    for record in text.split("\n\n"):
        match = _RECORD.match(record)
        if match is not None:
            lines = record.split("\n")
            order, pid, ts = (int(group) for group in match.groups())
            raw = "\n".join(line[1:] for line in lines[2:] if line.startswith(" "))
            yield (int(lines[1].split()[1]), order, pid), ts, raw


@pytest.mark.slow
def test_page_owner_and_trace_have_one_id_for_one_allocation(captures: Path, kernel_dump) -> None:
    with (captures / "stack" / "trace.txt.zst").open("rb") as packed:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed)
        lines = io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
        traced = trace_stacks(lines, until="SNAPSHOT 2-workload page_owner_end")
    equal, different = 0, []
    for key, ts, raw in dump_stacks(kernel_dump("stack", "2-workload").read_text(errors="replace")):
        near = [
            (abs(t + CLOCK_OFFSET - ts), r) for t, r in traced.get(key, ()) if abs(t + CLOCK_OFFSET - ts) <= TOLERANCE
        ]
        if near:
            same = canonical_stack(min(near)[1]) == canonical_stack(raw)
            equal += same
            different += [] if same else [raw]
    assert equal == 8757
    # page_owner's own allocations, for its stack depot, bear a dummy stack
    assert [raw.split("+")[0] for raw in different] == ["register_dummy_stack"] * 3
