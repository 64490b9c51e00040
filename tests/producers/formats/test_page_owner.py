"""The parser of page_owner dumps."""

import io
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pagetrail.producers.archives import TarMembers
from pagetrail.producers.formats.page_owner.alone import PageOwnerFile
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.formats.page_owner.layout import MAX_RECORD
from pagetrail.producers.inputs import open_input
from pagetrail.schemas.batch import to_arrow
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.stacks import CUT_OFF
from tests.conftest import REPOSITORY
from tests.oracles.page_owner import reference, tolerant

NUMBERS = ("pfn", "order", "gfp_mask", "pid", "tgid", "ts_nsec", "free_ts_nsec")
NUMBERS += ("migratetype", "block_migratetype", "migrate_reason", "page_flags", "memcg_flags")
TEXTS = ("comm", "stack", "cgroup", "page_flag_names")

# One record of each form: Linux 6.1, moved and charged; 6.12; 5.15; 5.4; 4.0.
FORMS = b"""\
Page allocated via order 0, mask 0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), pid 72, tgid 72 (wl-anon), \
ts 31473160224 ns, free_ts 31473160224 ns
PFN 1147041 type Movable Block 2240 type Movable Flags 0x20000000008000c(uptodate|dirty|swapbacked|node=0|zone=2)
 get_page_from_freelist+0x14ae/0x1580
 __alloc_pages+0x16f/0x2a0
 do_fault+0x1/0x2 [some_module]
Page has been migrated, last migrate reason: memory_hotplug
Charged (via objcg) to offline memcg some group

Page allocated via order 9, mask 0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), pid 1, tgid 1 (a), ts 5 ns), ts 84 ns
PFN 0x100 type Unmovable Block 0 type Isolate Flags 0x0(node=0|zone=0)
 __alloc_pages+0x16f/0x2a0

Page allocated via order 3, mask 0xd20c0(__GFP_IO), pid -1, ts 123 ns, free_ts 0 ns
PFN 9 type Reclaimable Block 0 type CMA Flags 0xffff000000000000(node=0)
 __alloc_pages+0x16f/0x2a0
Slab cache page
Charged to memcg /

Page allocated via order 0, mask 0x0()
PFN 257 type HighAtomic Block 0 type Strange Flags 0x0()

Page allocated via order 1, mask 0x2000d0
PFN 4096 Block 8 type 2 Fallback Flags    L
 [<ffffffff8116a8b5>] __alloc_pages_nodemask+0xf5/0x250
 [<ffffffff811b0f35>] alloc_pages_current+0x95/0x140

"""


def read(data, **options):
    dump = PageOwnerDump(io.BytesIO(data), source="dump", **options)
    return [row for batch in dump.batches() for row in rows_of(batch)], dump.account


def rows_of(batch):
    rows = []
    for i in range(len(batch)):
        row = {name: int(batch.column(name)[i]) for name in NUMBERS}
        row = {name: None if value == absent(name) else value for name, value in row.items()}
        for name in TEXTS:
            index = int(batch.column(name)[i])
            row[name] = None if index < 0 else batch.texts[name][index]
        rows.append(row)
    return rows


def expected(data):
    records, bad, cut = reference(data)
    return [{name: record.get(name) for name in (*NUMBERS, *TEXTS)} for record in records], bad, cut


def assert_as_reference(data, **options):
    rows, account = read(data, **options)
    records, bad, cut = expected(data)
    assert rows == records
    assert [(note.line, note.text) for note in account.examples] == bad[:20]
    assert account.not_understood == len(bad)
    assert account.events["page_owner record"] == len(records)
    assert (account.truncated is not None) == cut


def test_every_form_since_linux_3_19_is_read():
    assert_as_reference(FORMS)
    rows, account = read(FORMS)
    assert [row["pfn"] for row in rows] == [1147041, 256, 9, 257, 4096]
    assert (account.not_understood, account.truncated) == (0, None)


def test_what_a_form_does_not_print_is_absent():
    row = read(FORMS)[0][3]
    assert {name for name, value in row.items() if value is not None} == {
        "pfn", "order", "gfp_mask", "migratetype", "page_flags", "page_flag_names",
    }  # fmt: skip


def test_a_comm_may_look_like_what_follows_it():
    assert read(FORMS)[0][1]["comm"] == "a), ts 5 ns"


def test_every_row_is_a_baseline_entry_without_a_trace_time():
    (batch,) = PageOwnerDump(io.BytesIO(FORMS), source="dump").batches()
    assert set(batch.columns["kind"].tolist()) == {Kind.BASELINE_ENTRY}
    assert "trace_ts_nsec" not in batch.columns


lines = st.sampled_from(FORMS.split(b"\n"))
scraps = st.one_of(
    lines, st.binary(max_size=6), st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r", b" ", b"0x", b"-", b"), ts "])
)


@st.composite
def mutated(draw):
    data = FORMS * draw(st.integers(1, 2))
    for _ in range(draw(st.integers(0, 5))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from([0, 0, 1, 2, 30, 200])))
        data = data[:begin] + draw(scraps) + data[end:]
    return data


def plain(row):
    """Return a record without blanks at the end of its lines, and with hexadecimal offsets."""
    stack = row.get("stack") and "\n".join(line for text in row["stack"].split("\n") if (line := text.strip()))
    stack = stack and re.sub(r"\+(\d+)$", lambda offset: f"+{int(offset[1]):#x}", stack, flags=re.M)
    cgroup = row.get("cgroup") and row["cgroup"].strip()
    return {name: row.get(name) for name in (*NUMBERS, "comm", "page_flag_names")} | {
        "stack": stack or None,
        "cgroup": cgroup,
    }


def assert_as_tolerant(data, **options):
    dump = PageOwnerDump(io.BytesIO(data), source="dump", **options)
    rows = [row for batch in dump.batches() for row in rows_of(batch)]
    records, tally = tolerant(data)
    assert [plain(row) for row in rows] == [plain(record) for record in records]
    assert dump.account == tally.account
    for name in ("missing", "without_page", "empty_lines", "partial"):
        assert getattr(dump.tally, name) == getattr(tally, name), name
    assert dump.account.lines == data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    assert dump.account.lines == sum(found.lines for found in dump.account.kinds.values())


def without_stacks(rows, cut):
    return [plain(row | ({"stack": None} if is_cut else {})) for row, is_cut in zip(rows, cut, strict=True)]


@pytest.mark.slow
@given(mutated())
@example(b"\xc2\x80" + FORMS)  # a line is noted by its first bytes, not by its first characters
@example(b"\xff" * 100 + FORMS)
@settings(max_examples=400, deadline=None)
def test_the_fast_parser_equals_the_tolerant_one_and_the_reference(data):
    assert_as_tolerant(data)
    rows, account = read(data)
    records, bad, cut = expected(data)
    if not (bad or cut or account.not_understood or account.truncated):
        cut = [CUT_OFF in (row["stack"] or "") for row in rows]  # a frame was damaged
        assert without_stacks(rows, cut) == without_stacks(records, cut)


@given(mutated(), st.integers(20, 700))
@settings(max_examples=60, deadline=None)
def test_the_entries_do_not_depend_on_how_the_stream_is_cut(data, chunk_bytes):
    assert_as_tolerant(data, chunk_bytes=chunk_bytes)


def test_a_malformed_record_is_counted_with_its_line_and_skipped():
    rows, account = read(FORMS.replace(b"PFN 0x100", b"PFN zero"))
    assert [row["pfn"] for row in rows] == [1147041, 9, 257, 4096]
    assert (account.examples[0].line, account.examples[0].text[:8]) == (10, "PFN zero")


@pytest.mark.parametrize("lines", [2, 3, 4])
def test_a_record_without_the_empty_line_behind_it_is_kept_and_the_cut_is_told(lines):
    data = b"\n".join(FORMS.split(b"\n")[:lines]) + b"\n"
    rows, account = read(data)
    assert [row["pfn"] for row in rows] == [1147041]
    assert "line 1" in account.truncated


@pytest.mark.parametrize("size", [1, 10, 200, 300, len(FORMS.split(b"\n\n")[0])])
def test_a_record_cut_within_a_line_is_dropped_and_the_cut_is_told(size):
    rows, account = read(FORMS + FORMS[:size])
    assert len(rows) == 5
    assert "left out" in account.truncated


@pytest.mark.parametrize("chunk_bytes", [1 << 12, 1 << 22])
@pytest.mark.parametrize("filler", [b" frame+0x1/0x2\n", b" without any end "])
def test_what_is_longer_than_any_record_is_passed_over(chunk_bytes, filler):
    head = b"\n".join(FORMS.split(b"\n")[:2]) + b"\n"
    data = head + filler * (2 * MAX_RECORD // len(filler)) + b"\n\n" + FORMS
    rows, account = read(data, chunk_bytes=chunk_bytes)
    assert [row["pfn"] for row in rows] == [1147041, 256, 9, 257, 4096]
    assert [note.line for note in account.examples] == [1]


@pytest.mark.parametrize("comm", [b"a-name-of-16-chr", b"x" * 200])
def test_a_comm_that_is_longer_than_any_is_refused(comm):
    rows, account = read(FORMS.replace(b"(wl-anon)", b"(%b)" % comm))
    assert [row["pfn"] for row in rows] == [256, 9, 257, 4096]
    assert account.unread == 1


@pytest.mark.parametrize(
    "line", [b"Charged to memcg second", b"Page has been migrated, last migrate reason: compaction"]
)
def test_what_a_record_says_a_second_time_is_not_understood(line):
    record = FORMS.split(b"\n\n")[0]
    (row,), account = read(b"%b\n%b\n\n" % (record, line))
    assert (row["cgroup"], row["migrate_reason"]) == ("some group", 2)
    assert account.not_understood == 1


def test_a_dump_of_which_lines_were_passed_over_is_partial():
    filler = b" frame+0x1/0x2\n" * (2 * MAX_RECORD // 15)
    dump = PageOwnerDump(io.BytesIO(FORMS + filler + b"\n" + FORMS), source="dump")
    assert sum(len(batch) for batch in dump.batches()) == 10
    assert dump.tally.partial


def test_more_bad_lines_and_records_than_a_table_holds_are_all_counted():
    rows, account = read(b"garbage\n\n" * 1000 + FORMS * 4000)
    assert (account.not_understood, len(rows)) == (1000, 20_000)


@pytest.mark.parametrize("node", ["1", "12"])
def test_a_node_is_seen_wherever_a_piece_of_the_text_ends(node):
    data = FORMS.replace(b"node=0", b"node=" + node.encode())
    for chunk_bytes in range(40, 80):  # the text is cut at each place of "node=" in one of these
        dump = PageOwnerDump(io.BytesIO(data), source="dump", chunk_bytes=chunk_bytes)
        list(dump.batches())
        assert [why for why in dump.tally.filtered if "node" in why] == [
            f"all its records are of node {node}, as a filter leaves them"
        ]


def test_an_empty_dump_has_no_entries():
    rows, account = read(b"")
    assert (rows, account.truncated) == ([], None)


def test_the_jit_changes_nothing():
    data = FORMS + b"garbage\n" + FORMS.replace(b"order 0", b"order x") + FORMS[:700]
    script = (
        "import sys, json; from tests.producers.formats.test_page_owner import read; "
        "rows, account = read(sys.stdin.buffer.read(), chunk_bytes=500); "
        "print(json.dumps([rows, account.not_understood, account.truncated]))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        input=data,
        capture_output=True,
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    rows, account = read(data, chunk_bytes=500)
    assert json.loads(run.stdout) == [rows, account.not_understood, account.truncated]


@pytest.mark.parametrize("snapshot", ["1-boot", "4-offlined", "6-compact-cma-split"])
def test_real_dumps_are_read_as_the_reference_reads_them(captures, snapshot):
    with open_input(captures / "small" / "snapshots" / snapshot / "page_owner.txt.zst") as stream:
        data = stream.read()
    assert_as_reference(data)
    assert data.count(b"\nPFN ") == len(read(data)[0])


def test_real_dumps_of_an_archive_have_nothing_malformed(captures):
    archive = TarMembers(captures / "fleet" / "host-d" / "boot1" / "page_owner_dumps.tar.zst")
    for name in archive.names:
        with archive.open(name) as stream:
            data = stream.read()
        rows, account = read(data)
        assert (len(rows), account.not_understood, account.truncated) == (data.count(b"\nPFN "), 0, None)


def test_a_dump_alone_is_a_recording_at_its_latest_time():
    batches = list(PageOwnerFile(io.BytesIO(FORMS), source="page_owner.txt.zst").batches())
    kinds = [kind for batch in batches for kind in batch.columns["kind"].tolist()]
    assert kinds == [Kind.CLOCK, Kind.BASELINE_BEGIN, *[Kind.BASELINE_ENTRY] * 5, Kind.BASELINE_END]
    assert {ts for batch in batches for ts in batch.columns["trace_ts_nsec"].tolist()} == {31473160224}
    assert json.loads(batches[1].details[0])["entries"] == 5


def test_the_batches_fit_the_schema_of_the_wire():
    for batch in PageOwnerFile(io.BytesIO(FORMS), source="dump").batches():
        batch.columns["seq"] = batch.columns["trace_ts_nsec"]
        assert to_arrow(batch).num_rows == len(batch)
