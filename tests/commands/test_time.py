"""Traces whose times do not simply rise: what is merged, what is refused, and what is not certain."""

import hashlib
import json
import re
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


def per_cpu(*cpus: Iterable[str]) -> str:
    return "".join(HEADER + "".join(lines) for lines in cpus)


def test_files_of_each_cpu_one_after_the_other_are_merged_by_time(run_fresh: Run, tmp_path: Path) -> None:
    first = [line(ALLOC, ts=100 + i / 100, pfn=0x100 + i) for i in range(10)]
    second = [line(FREE, ts=100 + i / 100 + 0.005, pfn=0x100 + i, cpu=1) for i in range(5)]
    replayed(run_fresh, tmp_path, per_cpu(first, second))
    assert owner(run_fresh, 0x100, "100.05")["state"] == "free"
    assert owner(run_fresh, 0x104, "100.042")["state"] == "owned"
    assert "clamped" not in run_fresh("doctor").stdout


def test_a_file_of_two_boots_is_refused_with_the_line_where_the_second_begins(run_fresh: Run, tmp_path: Path) -> None:
    boots = [[line(ALLOC, ts=begin + i / 100, pfn=0x100 + i, cpu=i % 4) for i in range(20)] for begin in (100.0, 3.0)]
    (tmp_path / "trace.txt").write_text(per_cpu(*boots))
    done = run_fresh("ingest", "trace.txt")
    assert done.returncode == 2
    assert f"line {1 + 4 + 20}" in done.stderr
    assert "--split-boots" in done.stderr
    assert run_fresh("replay").returncode != 0 or "unknown" not in run_fresh("streams").stdout


def test_split_boots_makes_a_recording_of_each_named_by_its_own_bytes(run_fresh: Run, tmp_path: Path) -> None:
    boots = [[line(ALLOC, ts=begin + i / 100, pfn=0x100 + i, cpu=i % 4) for i in range(20)] for begin in (100.0, 3.0)]
    text = per_cpu(*boots)
    (tmp_path / "trace.txt").write_text(text)
    done = run_fresh("ingest", "trace.txt", "--split-boots", "--covers", ALL)
    assert done.returncode == 0, done.stderr
    assert run_fresh("replay").returncode == 0
    half = text.index(HEADER, 1)
    for part in (text[:half], text[half:]):
        assert hashlib.blake2b(part.encode(), digest_size=16).hexdigest() in run_fresh("streams").stdout
    assert "nothing was added" in run_fresh("ingest", "trace.txt", "--split-boots", "--covers", ALL).stderr
    refused = run_fresh("ingest", "trace.txt", "--split-boots", "--boot-id", "b")
    assert refused.returncode == 2


@pytest.mark.parametrize("chain", ["", "\tffffffff81000000 f+0x1 ([kernel.kallsyms])\n\n"])
@pytest.mark.parametrize("fields", ["comm tid cpu", "comm tid"])
@pytest.mark.parametrize(
    "header", ["", "# ========\n# captured on    : Thu Nov 26 10:00:00 2026\n# hostname : web1\n#\n"]
)
def test_two_boots_in_the_output_of_perf_script_are_noticed_and_split(
    run_fresh: Run, tmp_path: Path, chain: str, fields: str, header: str
) -> None:
    cpu = " [{:03}]" if "cpu" in fields else ""
    sample = "appd  70" + cpu + " {:.6f}: kmem:mm_page_free: page=0 pfn={:#x} order=0\n"
    boots = [
        header + "".join(sample.format(*[i % 4] * bool(cpu), begin + i / 100, 0x100 + i) + chain for i in range(40))
        for begin in (100.0, 3.0)
    ]
    (tmp_path / "perf.txt").write_text("".join(boots))
    done = run_fresh("ingest", "perf.txt")
    assert done.returncode == 2
    assert f"at line {1 + boots[0].count(chr(10))} time falls on all CPUs, from 100." in done.stderr
    assert run_fresh("ingest", "perf.txt", "--split-boots").returncode == 0
    assert run_fresh("replay").returncode == 0
    for part in boots:
        assert hashlib.blake2b(part.encode(), digest_size=16).hexdigest() in run_fresh("streams").stdout
    assert "nothing was added" in run_fresh("ingest", "perf.txt", "--split-boots").stderr


def test_a_pid_that_two_processes_used_is_two_rows_with_their_names(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=100.0 + i, pfn=0x100 + i, pid=700) for i in range(10)]
    text = "".join(text.replace("appd", " cat") if i >= 6 else text for i, text in enumerate(lines))
    replayed(run_fresh, tmp_path, HEADER + text, covers="")
    found = json.loads(run_fresh("top", "--at", "-0s", "--by", "pid", "--json").stdout)
    assert [(row["key"], row["comm"], row["pages"]) for row in found] == [(700, "appd", 6), (700, "cat", 4)]
    shown = run_fresh("top", "--at", "-0s", "--by", "pid").stdout
    assert "700 appd" in shown
    assert "700 cat" in shown
    assert "comm" not in json.loads(run_fresh("top", "--at", "-0s", "--by", "gfp", "--json").stdout)[0]


def test_a_clock_that_only_counts_has_integers_for_times(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=3_154_938_211_032 + 2000 * i, pfn=0x100 + i, cpu=i % 4) for i in range(20)]
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    found = owner(run_fresh, 0x103, "3154938217032")
    assert (found["state"], found["alloc_ts"]) == ("owned", 3_154_938_217_032)
    assert "ts_nsec" in unsure(found)
    assert owner(run_fresh, 0x104, "3154938217032")["state"] != "owned"
    assert "since     3154938217032" in run_fresh("owner", "0x103", "--at", "-0s").stdout
    for time in ("-5s", "3154.9", "3154s", "2026-11-22T21:51:07.5Z", "-200ms"):
        done = run_fresh("owner", "0x103", "--at", time)
        assert done.returncode == 2
        assert "x86-tsc" in done.stderr


def test_pages_have_the_integers_of_a_clock_that_only_counts(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=3_154_938_211_032 + 2000 * i, pfn=0x100 + i, cpu=i % 4) for i in range(20)]
    lines.insert(1, line("tracing_mark_write: hello", ts=3_154_938_211_034, pfn=0))
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    at = "3154938215032"
    offset = json.loads(run_fresh("owner", "0x102", "--at", "-0s", "--json").stdout)[0]["log_offset"]
    for asked in (
        ("history", "0x102"), ("history", "0x102", "--follow"), ("history", "0x102", "--follow", "--at", at), ("sections",),
        ("streams",), ("streams", "--markers"), ("event", str(offset)),
        ("leaks", "--from", "3154938211032", "--to", "-0s", "--by", "pid"), ("audit",),
    ):  # fmt: skip
        done = run_fresh(*asked)
        assert not re.search(r"\d\.\d{3}", done.stdout), (asked, done.stdout)
        assert done.returncode == 0 or asked == ("audit",), (asked, done.stderr)
    assert at in run_fresh("history", "0x102").stdout
    assert "3154938249032" in run_fresh("streams").stdout
    assert "36000" in run_fresh("leaks", "--from", "3154938211032", "--to", "-0s", "--by", "pid").stdout
    assert at in run_fresh("event", str(offset)).stdout
    assert "at 3154938211032" in run_fresh("history", "0x102", "--follow", "--at", "3154938211032").stderr


def test_a_line_without_the_point_in_its_time_is_not_an_integer_of_another_clock(
    run_fresh: Run, tmp_path: Path
) -> None:
    lines = [line(ALLOC, ts=1 + i / 1000, pfn=0x100 + i) for i in range(20)]
    lines[7] = lines[7].replace("1.007000", "1007000")
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    assert "state" in unsure(owner(run_fresh, 0x106, "1.0065"))


def test_what_was_known_before_a_trace_begins_anew_is_not_sure_behind_it(run_fresh: Run, tmp_path: Path) -> None:
    lines = [line(ALLOC, ts=1 + i / 1000, pfn=0x100 + i, cpu=i % 2) for i in range(40)]
    lines.insert(20, HEADER)
    replayed(run_fresh, tmp_path, HEADER + "".join(lines))
    assert "state" not in unsure(owner(run_fresh, 0x105, "1.018"))
    assert "state" in unsure(owner(run_fresh, 0x105, "1.035"))
    assert "state" not in unsure(owner(run_fresh, 0x11A, "1.035"))


def test_the_header_of_each_cpus_file_counts_the_entries_of_all(run_fresh: Run, tmp_path: Path) -> None:
    lines = [[line(ALLOC, ts=100 + i / 100, pfn=0x1000 * cpu + i, cpu=cpu) for i in range(5)] for cpu in range(4)]
    replayed(run_fresh, tmp_path, per_cpu(*lines).replace(": 20/20", ": 20/25"))
    found = owner(run_fresh, 0x1004, "-0s")
    assert "state" not in unsure(found)
    done = run_fresh("ingest", "trace.txt", "--covers", ALL)
    assert "lost 5 events" in done.stderr


@pytest.mark.parametrize("said", ["local [x86-tsc] counter\n", None])
def test_the_clock_of_a_capture_that_only_counts_is_named(run_fresh: Run, tmp_path: Path, said: str | None) -> None:
    folder = tmp_path / "capture"
    folder.mkdir()
    lines = [line(ALLOC, ts=3_154_938_211_032 + 2000 * i, pfn=0x100 + i, cpu=i % 4) for i in range(20)]
    (folder / "trace.txt").write_text(HEADER + "".join(lines))
    if said:
        (folder / "trace_clock.txt").write_text(said)
    assert run_fresh("ingest", "capture", "--covers", ALL).returncode == 0
    assert run_fresh("replay").returncode == 0
    done = run_fresh("owner", "0x103", "--at", "-5s")
    assert done.returncode == 2
    assert "the trace clock is x86-tsc:" in done.stderr if said else "one that counts" in done.stderr
    assert owner(run_fresh, 0x103, "3154938217032")["state"] == "owned"
