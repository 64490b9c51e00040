"""pagetrail synth: a load into a log or into text, replayed to what a plain count says."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.schemas.columns import Kind
from tests.commands.cli import process, run
from tests.kafka.client import Kafka
from tests.large_dumps import peak

SIZE = ("--events", "30k", "--pages", "9k")
MIB = 1 << 20
TASK = re.compile(r" *(?P<comm>\S+)-(?P<pid>\d+) +\[")
TEXT_ONLY = "cannot be used with --format or -o: text is written, and nothing is stored"


def live_pages(load: api.Load) -> dict[int, tuple[int, str]]:
    """Return the pid and comm of each live page at the end of a load's first host, by its text."""
    owned: dict[int, tuple[int, str]] = {}
    text = b"".join(bytes(block) for block in api.synth_text(load.host(1), "ftrace")).decode()
    for line in text.splitlines():
        task = TASK.match(line)
        if task is None:
            continue
        fields = dict(part.split("=") for part in line.split() if "=" in part)
        first, order = int(fields["pfn"], 16), int(fields["order"])
        for page in range(first, first + (1 << order)):
            if ": mm_page_alloc: " in line:
                assert page not in owned
                owned[page] = (int(task["pid"]), task["comm"])
            else:
                del owned[page]
    return owned


@pytest.mark.parametrize("max_order", [0, 3])
def test_all_is_certain_and_what_lives_is_what_a_plain_count_says(tmp_path: Path, max_order: int) -> None:
    done = run("synth", *SIZE, "--max-order", str(max_order), "--trail", tmp_path / "trail")
    assert done.code == 0
    assert run("replay", "--trail", tmp_path / "trail").code == 0
    expected = live_pages(api.Load(events=30_000, pages=9_000, live=3_600, max_order=max_order))
    rows = api.open(tmp_path / "trail").snapshot("-0s").to_pylist()
    found = {pfn: (row["pid"], row["comm"]) for row in rows for pfn in range(row["pfn"], row["pfn"] + row["nr_pages"])}
    assert found == expected
    assert all(row["certain"] and not row["uncertain"] for row in rows)
    by_comm = api.open(tmp_path / "trail").top("-0s", "comm").to_pylist()
    assert {row["key"]: row["pages"] for row in by_comm} == Counter(comm for _, comm in expected.values())
    assert api.open(tmp_path / "trail").doctor().num_rows == 0


@pytest.mark.parametrize("form", ["ftrace", "perf"])
def test_text_that_is_ingested_as_the_command_says_is_the_same_stream(tmp_path: Path, form: str) -> None:
    made = json.loads(run("synth", *SIZE, "--format", form, "-o", tmp_path / "load.txt", "--json").out)
    stored = json.loads(run("synth", *SIZE, "--trail", tmp_path / "direct", "--json").out)
    assert run("ingest", made[0]["file"], *made[0]["ingest"], "--trail", tmp_path / "text").code == 0
    for trail in ("direct", "text"):
        assert run("replay", "--trail", tmp_path / trail).code == 0
    direct, text = (api.open(tmp_path / trail) for trail in ("direct", "text"))
    assert (made[0]["host"], made[0]["boot_id"]) == (stored[0]["host"], stored[0]["boot_id"])
    assert text.stream(f"{made[0]['host']}/{made[0]['boot_id']}").boot_id == direct.stream().boot_id
    columns = ("pfn", "nr_pages", "state", "order", "pid", "comm", "gfp_mask", "migratetype", "alloc_ts")
    assert text.snapshot("-0s", columns=columns) == direct.snapshot("-0s", columns=columns)
    assert {field for row in text.snapshot("-0s").to_pylist() for field in row["uncertain"]} <= {"ts_nsec"}


def test_several_hosts_are_a_recording_each(tmp_path: Path) -> None:
    done = run("synth", *SIZE, "--hosts", "3", "--trail", tmp_path / "trail", "--json")
    reports = json.loads(done.out)
    assert [report["host"] for report in reports] == ["host-1", "host-2", "host-3"]
    assert done.err.count("30,000 allocations and frees in 1 frames, stored; stream host-") == 3
    assert run("replay", "--trail", tmp_path / "trail").code == 0
    streams = json.loads(run("streams", "--trail", tmp_path / "trail", "--json").out)
    assert len(streams) == len({row["boot_id"] for row in streams}) == 3


def test_several_hosts_are_a_file_each(tmp_path: Path) -> None:
    assert run("synth", *SIZE, "--hosts", "2", "-o", tmp_path / "load.txt").code == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["load.host-1.txt", "load.host-2.txt"]
    alone = run("synth", *SIZE, "--format", "ftrace")
    assert (tmp_path / "load.host-1.txt").read_bytes() == alone.binary


def test_the_same_load_is_stored_once_and_another_seed_beside_it(tmp_path: Path) -> None:
    to = ("--trail", tmp_path / "trail")
    assert run("synth", *SIZE, *to).code == 0
    assert "nothing was added" in run("synth", *SIZE, *to).err
    assert "stored; stream host-1/" in run("synth", *SIZE, *to, "--seed", "2").err
    assert run("replay", *to).code == 0
    assert len(json.loads(run("streams", *to, "--json").out)) == 2


def test_a_load_is_not_stored_beside_its_own_text(tmp_path: Path) -> None:
    made = json.loads(run("synth", *SIZE, "-o", tmp_path / "load.txt", "--json").out)[0]
    assert run("ingest", made["file"], *made["ingest"], "--trail", tmp_path / "trail").code == 0
    done = run("synth", *SIZE, "--trail", tmp_path / "trail")
    assert done.code == 2
    assert "its text was ingested; use another trail, or another --seed" in done.err


def test_a_topic_takes_a_load_once_and_replays_to_the_same_state(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    log = ("--log", f"kafka://{kafka.bootstrap}/{topic}")
    assert "1 frames, stored; stream host-1/" in run("synth", *SIZE, *log).err
    assert "1 frames, nothing was added: all were stored before" in run("synth", *SIZE, *log).err
    assert run("synth", *SIZE, "--trail", tmp_path / "embedded").code == 0
    assert run("replay", "--trail", tmp_path / "topic", *log).code == 0
    assert run("replay", "--trail", tmp_path / "embedded").code == 0
    digests = [api.open(tmp_path / name).streams()["state_digest"].to_pylist() for name in ("topic", "embedded")]
    assert digests[0] == digests[1]


def test_every_event_of_the_log_is_an_allocation_a_free_or_a_declaration(tmp_path: Path) -> None:
    assert run("synth", "--events", "100", "--pages", "50", "--trail", tmp_path / "trail").code == 0
    kinds = Counter(api.events(tmp_path / "trail", 0)["kind"].to_pylist())
    pages = {Kind.ALLOC.name.lower(), Kind.FREE.name.lower()}
    assert sum(count for kind, count in kinds.items() if kind in pages) == 100
    assert {kind for kind in kinds if kind not in pages} == {
        "recording_begin", "boot", "clock", "coverage", "recording_end",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--events", "many"), "--events: expected a count such as 400000, 400k or 20M, found 'many'"),
        (("--events", "-1"), "--events: expected a count such as 400000, 400k or 20M, found '-1'"),
        (("--events", "0"), "--events: expected 1 to 10,000,000,000, found 0"),
        (("--pages", "1k", "--live", "600"), "--live: expected 1 to 500 (half of --pages), found 600"),
        (("--rate", "5M"), "--rate: expected 1,000 to 1,000,000, found 5,000,000"),
        (("--max-order", "11"), "--max-order: expected 0 to 10, found 11"),
        (("--hosts", "2", "--format", "perf"), "-o: expected a FILE for --hosts 2, which are a file each; found none"),
        (("--format", "perf", "--json"), "--json: expected -o FILE, as the text goes to stdout; found none"),
        (("--format", "perf", "--trail", "x"), f"--trail {TEXT_ONLY}"),
        (("-o", "nowhere/x", "--log", "kafka://a:1/b"), f"--log {TEXT_ONLY}"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("synth", *arguments)
    assert (done.code, done.err.strip()) == (2, f"pagetrail: {said}")
    assert list(tmp_path.iterdir()) == []


def test_a_count_may_be_grouped_and_have_a_unit(tmp_path: Path) -> None:
    for count in ("2_000", "2,000", "2k", "2K"):
        done = run("synth", "--events", count, "--pages", "1k", "-o", tmp_path / "load")
        assert "2,000 events" in done.err


def test_text_goes_to_stdout_and_what_to_do_with_it_to_stderr(tmp_path: Path) -> None:
    done = process("synth", "--events", "30k", "--format", "ftrace", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 30_012
    assert b"to store it: pagetrail ingest - --host host-1 --kernel-release 6.1.0 --boot-id" in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN 30 times the events WHEN a load is stored, or written THEN it takes the memory that the first frames take."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")  # 3 million events
    for where in (("--trail", str(tmp_path / "trail")), ("-o", str(tmp_path / "text"))):
        made = ("-m", "pagetrail", "synth", "--pages", "100k", *where, "--events")
        peak(*made, "1k")  # the first run may have to compile
        few, many = peak(*made, "100k"), peak(*made, "3M")
        assert many - few < 24 * MIB
