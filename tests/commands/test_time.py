"""Traces whose times do not simply rise: what is merged, what is refused, and what is not certain."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.commands.conftest import Run

HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 20/20   #P:4\n#\n"
ALL = "alloc,free,split,migrate,isolate,drain,hotplug"
ALLOC = "mm_page_alloc: page=00000000d2be5665 pfn={pfn:#x} order=0 migratetype=1 gfp_flags=GFP_KERNEL"
FREE = "mm_page_free: page=00000000d2be5665 pfn={pfn:#x} order=0"


def line(event: str, *, ts: float | int, pfn: int, cpu: int = 0, pid: int = 500) -> str:
    when = f"{ts:.6f}" if isinstance(ts, float) else f"{ts}"
    return f"            appd-{pid}     [{cpu:03}] ..... {when}: {event.format(pfn=pfn)}\n"


def replayed(run: Run, folder: Path, text: str, *options: str, covers: str = ALL) -> None:
    (folder / "trace.txt").write_text(text)
    declared = ("--covers", covers) if covers else ()
    done = run("ingest", "trace.txt", *declared, *options)
    assert done.returncode == 0, done.stderr
    assert run("replay").returncode == 0


def owner(run: Run, pfn: int, at: str) -> dict[str, object]:
    done = run("owner", f"{pfn:#x}", "--at", at, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found[0]


def unsure(found: dict[str, object]) -> Iterable[str]:
    uncertain = found["uncertain"]
    assert isinstance(uncertain, list)
    return uncertain


def test_a_free_that_is_read_late_leaves_no_owner_sure(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=1 + i / 1000, pfn=0x100 + i) for i in range(40)]
    lines.insert(35, line(FREE, ts=1.0305, pfn=0x105, cpu=1))
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    assert "state" in unsure(owner(run_fresh, 0x105, "1.032"))
    assert "state" not in unsure(owner(run_fresh, 0x105, "1.029"))


def test_one_time_that_is_too_high_leaves_what_comes_behind_it_sure(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=(999 if i == 10 else 1) + i / 1000, pfn=0x100 + i) for i in range(40)]
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    assert "state" in unsure(owner(run_fresh, 0x10A, "1.035"))
    assert "state" not in unsure(owner(run_fresh, 0x10C, "1.035"))
