"""Every question, asked on the command line of a real recording."""

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import pagetrail
from tests.commands.cli import run as here
from tests.commands.conftest import Run

LEAK = 4460  # pages of leakd at the last dump, as the recording's own notes count them


def test_the_leak_is_found(run: Run) -> None:
    found = json.loads(run("leaks", "--from", "@2-t2", "--to", "@5-t5", "--by", "comm", "--json").stdout)
    assert found[0]["key"] == "leakd"
    assert found[0]["pages"] == 4422


def test_a_leaks_pages_are_those_that_were_not_there_before(run: Run, demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    held = trail.snapshot("@5-t5")
    mine = held.filter(pc.equal(held["comm"], "leakd"))
    assert pc.sum(mine["nr_pages"]).as_py() == LEAK
    since = trail.stream().instant("@2-t2").ts
    born = mine.filter(pc.greater(mine["alloc_ts"], since))
    assert pc.sum(born["nr_pages"]).as_py() == 4422


def test_an_answer_says_how_it_is_known_and_how_sure_it_is(run: Run) -> None:
    said = run("owner", "0x4d99", "--at", "@5-t5").stdout
    for words in ("owned by pid 81", "known by  observed: alloc", "sure      certain", "horizon"):
        assert words in said


def test_the_event_that_an_answer_names_is_shown_as_the_log_has_it(run: Run) -> None:
    said = run("owner", "0x4d99", "--at", "@5-t5").stdout
    (place,) = re.findall(r"^  proof     log offset (\d+), event (\d+)$", said, re.M)
    shown = run("event", *place).stdout
    assert re.match(rf"event {place[1]} of \w+ at 13\.390494000 alloc: .*\bpid=81\b.*\bpfn=19865 order=0\b", shown)
    (event,) = json.loads(run("event", *place, "--json").stdout)
    assert (event["kind"], event["pid"], event["comm"], event["pfn"]) == ("alloc", 81, "wl-slab", 0x4D99)


def test_as_of_a_time_the_horizon_is_that_time(run: Run) -> None:
    said = run("owner", "0x4d99", "--at", "30s", "--as-of", "31s").stdout
    assert "horizon   31.000000000" in said


def test_contents_are_followed_on_the_command_line(run: Run) -> None:
    followed = run("history", "0x1802", "--follow", "--at", "@5-t5").stdout.splitlines()
    assert re.match(r"43\.467102000 +6146 +0 +85 +leakd +0x140cca +allocated ", followed[1])
    assert "migration was not recorded" in followed[-1]


def test_many_questions_at_once_are_answered_like_one_by_one(demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    pairs = [(pfn, at) for at in ("@3-t3", "30s", "@5-t5") for pfn in (0x1802, 0x4D99, 300, 1 << 30)]
    together = trail.owners(pairs).to_pylist()
    assert together == [trail.owner([pfn], at).to_pylist()[0] for pfn, at in pairs]


def test_a_page_of_no_section_is_absent_not_free(demo_trail) -> None:
    assert pagetrail.open(demo_trail).owner([1 << 30], "@5-t5")["state"].to_pylist() == ["absent"]


def test_history_tiles_time_and_agrees_with_owner(demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    spans = trail.history(0x1802).to_pylist()
    assert all(a["end_ts"] == b["begin_ts"] for a, b in pairwise(spans))
    for span in spans:
        then = trail.owner([0x1802], span["begin_ts"]).to_pylist()[0]
        assert (then["state"], then["pid"]) == (span["state"], span["pid"])


def test_snapshots_of_all_pages_cover_each_section_once(demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    rows = trail.snapshot("@4-t4", everything=True)
    starts, sizes = rows["pfn"].to_numpy(), rows["nr_pages"].to_numpy()
    assert (starts[1:] >= starts[:-1] + sizes[:-1]).all()
    assert sizes.sum() == len(trail.sections("@4-t4")) * 32_768


def test_certain_has_no_why_and_uncertain_has_one(demo_trail) -> None:
    rows = pagetrail.open(demo_trail).snapshot("@4-t4", everything=True).to_pylist()
    assert {True, False} == {row["certain"] for row in rows}
    for row in rows:
        assert row["certain"] == (row["uncertain"] == []) == (row["why"] == "")


def test_all_forms_of_a_snapshot_say_the_same(run: Run, tmp_path, demo_trail) -> None:
    rows = pagetrail.open(demo_trail).snapshot("@3-t3")
    assert json.loads(run("snapshot", "--at", "@3-t3", "--json").stdout) == rows.to_pylist()
    for form in ("parquet", "arrow"):
        assert run("snapshot", "--at", "@3-t3", "--format", form, "-o", f"then.{form}").returncode == 0
    assert pq.read_table(tmp_path / "then.parquet").to_pylist() == rows.to_pylist()
    with pa.ipc.open_stream(io.BytesIO((tmp_path / "then.arrow").read_bytes())) as reader:
        assert reader.read_all().to_pylist() == rows.to_pylist()


def test_the_kernels_text_has_a_record_for_each_that_the_dump_has(run: Run) -> None:
    text = run("snapshot", "--at", "@5-t5", "--format", "page_owner").stdout
    audit = json.loads(run("audit", "--at", "@5-t5", "--json").stdout)["dumps"][0]
    assert text.count("Page allocated via order") == audit["agree"] + audit["extra"] == 38_893


def test_top_adds_up_to_the_snapshot(demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    owned = trail.snapshot("@4-t4")
    owned = owned.filter(pc.equal(owned["state"], "owned"))
    for by in ("comm", "pid", "order", "gfp", "stack"):
        assert pc.sum(trail.top("@4-t4", by)["pages"]).as_py() == pc.sum(owned["nr_pages"]).as_py()


def test_sections_take_the_bytes_that_the_kernel_said(demo_trail) -> None:
    trail = pagetrail.open(demo_trail)
    boot = trail.stream().facts.boot
    assert boot is not None
    assert pc.sum(trail.sections("@5-t5")["page_ext_bytes"]).as_py() == boot.page_ext_bytes


def test_audits_agree_with_the_kernel(run: Run) -> None:
    audited = json.loads(run("audit", "--json").stdout)["dumps"][1:]
    assert [row["name"] for row in audited] == ["2-t2", "3-t3", "4-t4", "5-t5"]
    assert all(row["agree"] == row["records"] for row in audited)


def test_exported_spans_are_those_of_the_segments(run: Run, tmp_path, demo_trail) -> None:
    assert run("export", "spans", "-o", "out").returncode == 0
    exported = sum(pq.read_metadata(path).num_rows for path in (tmp_path / "out").rglob("*.parquet"))
    stream = pagetrail.open(demo_trail).stream()
    assert exported == sum(_rows(stream.where(file), last=file is stream.files[-1]) for file in stream.files)


def _rows(path, *, last: bool) -> int:
    import duckdb

    with duckdb.connect(str(path), read_only=True) as db:
        counts = [db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("spans", "live")]
    return counts[0] + (counts[1] if last else 0)


def test_every_column_of_a_segment_has_a_comment(demo_trail) -> None:
    import duckdb

    stream = pagetrail.open(demo_trail).stream()
    with duckdb.connect(stream.where(stream.files[-1]), read_only=True) as db:
        columns = db.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
    assert len(columns) > 100
    assert [column for column in columns if not column[2]] == []


@pytest.mark.parametrize("at", ["47601305000", "47.601305", "47.601305s", "47601305us", "-726665000ns", "@5-t5"])
def test_each_form_of_time_is_understood(demo_trail, at: str) -> None:
    stream = pagetrail.open(demo_trail).stream()
    assert stream.instant(at).ts == 47_601_305_000


def test_wall_time_is_understood(demo_trail) -> None:
    stream = pagetrail.open(demo_trail).stream()
    assert abs(stream.instant("2026-11-22T23:09:17.748187Z").ts - 47_601_305_000) < 1_000


def test_a_snapshots_name_is_the_state_just_before_its_dump_ends(demo_trail) -> None:
    stream = pagetrail.open(demo_trail).stream()
    at = stream.instant("@3-t3")
    assert any(
        text.startswith("SNAPSHOT 3-t3 page_owner_end") and seq == at.seq + 1 for seq, _, text in stream.history.markers
    )


def test_sections_that_came_together_are_one_row_for_people_and_one_each_for_programs(demo_trail: Path) -> None:
    rows = json.loads(here("sections", "--trail", demo_trail, "--json").out)
    shown = here("sections", "--trail", demo_trail).out.splitlines()
    assert len(rows) > len(shown) - 2  # a header and a sum
    first = next(row for row in rows if row["section_nr"] == 0)
    alike = [r for r in rows if all(r[n] == first[n] for n in ("generation", "begin_ts", "end_ts", "how", "end_how"))]
    last = next(n for n in range(len(alike)) if n + 1 == len(alike) or alike[n + 1]["section_nr"] != n + 1)
    line = next(line.split() for line in shown if line.split()[0] == f"0-{last}")
    assert line[1:3] == [hex(0), hex(alike[last]["stop_pfn"])]
    assert int(line[-1]) == sum(row["page_ext_bytes"] for row in alike[: last + 1])


def test_the_trail_may_be_named_before_the_command_and_behind_it_wins(
    demo_trail: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = here("streams", "--trail", demo_trail).out
    assert expected
    assert here("--trail", demo_trail, "streams").out == expected
    assert here("--trail", tmp_path, "streams", "--trail", demo_trail).out == expected
    monkeypatch.setenv("PAGETRAIL", str(tmp_path))
    assert here("--trail", demo_trail, "streams").out == expected
    assert here("streams").code == 4  # the environment's again


def test_a_recording_without_dumps_is_held_against_kpageflags(run_fresh: Run, tmp_path: Path) -> None:
    capture, buddy = tmp_path / "capture", 1 << 10
    lines = ["mm_page_free: page=0 pfn=0x5 order=0"]
    lines += [f"tracing_mark_write: SNAPSHOT 1-end {what}" for what in ("begin", "page_owner_end", "end")]
    (capture / "snapshots/1-end").mkdir(parents=True)
    (capture / "snapshots/1-end/kpageflags.bin").write_bytes(
        b"".join(n.to_bytes(8, "little") for n in [0] * 5 + [buddy])
    )
    text = "".join(f"  a-7  [000] .....  {n}.000000: {line}\n" for n, line in enumerate(lines, 1))
    (capture / "trace.txt").write_text("# tracer: nop\n" + text)
    for command in (["ingest", capture], ["replay"]):
        assert run_fresh(*command).returncode == 0
    said = run_fresh("audit").stdout
    assert said.startswith("pages that the kernel's kpageflags proves free:")
    assert "100.00" in said
