"""A line that was not understood is a loss, a loss that a tool states is a gap, and every line is counted once."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.names import may_tell_of_pages
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.gaps import MOST_GAPS
from pagetrail.producers.meaning import EVENTS
from pagetrail.schemas.columns import Kind
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import FTRACE, PERF, mutated

READERS = {"ftrace": FtraceText, "perf": PerfScript}
FREE = b"mm_page_free: page=00000000d2be5665 pfn=0x10 order=0"
ALLOC = b"mm_page_alloc: page=00000000d2be5665 pfn=0x10 order=0 migratetype=1 gfp_flags=GFP_KERNEL"


def event(second: int, what: bytes = FREE, cpu: int = 1) -> bytes:
    return b"%16s-43      [%03d] .....     %d.000000: %s\n" % (b"sh", cpu, second, what)


def sample(second: int, what: bytes = FREE, cpu: int = 1) -> bytes:
    return b"%16s    43 [%03d]     %d.000000: kmem:%s\n" % (b"sh", cpu, second, what)


BEFORE = event(1, cpu=0) + event(2)
AFTER = event(5, cpu=0) + event(6)
PERF_BEFORE = sample(1, cpu=0) + sample(2)
PERF_AFTER = sample(5, cpu=0) + sample(6)


def read(data: bytes, reader: str = "ftrace") -> tuple[TextReader, list[Row]]:
    parser = READERS[reader](io.BytesIO(data), source="test")
    return parser, rows_of(parser.batches())


def gaps(data: bytes, reader: str = "ftrace") -> list[Row]:
    return [row for row in read(data, reader)[1] if row["kind"] == Kind.GAP]


def bounds(data: bytes, reader: str = "ftrace") -> list[tuple[object, int, int]]:
    """Return CPU (None: all), begin and end in seconds of each gap."""
    return [
        (gap.get("cpu"), gap["detail"]["t_lo"] // 10**9, gap["detail"]["t_hi"] // 10**9)  # type: ignore[index]
        for gap in gaps(data, reader)
    ]


# -- a line that was not understood


@pytest.mark.parametrize("cut", [*range(16 + 18, len(event(3)) - 1)])
def test_a_line_that_is_cut_behind_its_cpu_is_a_loss_of_that_cpu(cut: int) -> None:
    line = event(3)[:cut]
    assert line.endswith(b"order=") or bounds(BEFORE + line + b"\n" + AFTER) == [(1, 2, 6)]


@pytest.mark.parametrize("cut", [1, 14, 18, 24, 28])
def test_a_line_that_is_cut_before_its_cpu_is_a_loss_of_all(cut: int) -> None:
    assert bounds(BEFORE + event(3)[:cut] + b"\n" + AFTER) == [(None, 2, 5)]


def test_a_line_that_is_cut_to_nothing_is_a_loss_between_events_and_nowhere_else() -> None:
    assert bounds(BEFORE + b"\n" + AFTER) == [(None, 2, 5)]
    assert bounds(b"\n" + BEFORE + AFTER + b"\n\n") == []


@pytest.mark.parametrize(
    "line",
    [
        event(3).replace(b"free", b"fsee"),
        event(3).replace(b"mm_page_free", b"mm_pgae_free"),
        event(3).replace(b"mm_page_free", b"mm_page_thaw"),
        event(3).replace(b"mm_page_free", b"folio_freed"),
        event(3).replace(b"mm_page_free", b"Alloc"),
        event(3).replace(b"mm_page_free", b"unheard_of"),
        event(3, b"split_ownr: (f+0x0/0x50) page=0xffd4000000212000 nr=32"),
        event(3).replace(b"page=0", b"page=#"),
        event(3).replace(b"pfn=0x10", b"pfn=0x\xff0"),
        event(3).replace(b"order=0", b"order=0 (vendor)"),
        event(3).replace(b"order=0", b"order=99"),
        event(3).replace(b"3.000000", b"3.00000x"),
        event(3).replace(b"3.000000", b"3.00\x00000"),
    ],
)
def test_a_harmed_line_whose_cpu_is_whole_is_a_loss_of_that_cpu(line: bytes) -> None:
    parser, _ = read(BEFORE + line + AFTER)
    assert bounds(BEFORE + line + AFTER) == [(1, 2, 6)]
    assert (parser.account.not_understood, parser.account.examples[0].line) == (1, 3)


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 100 + b"\n",
        b"x" * 10_000_000 + b"\n",
        event(3).replace(b"[001]", b"[0 1]"),
        event(3).replace(b"-43 ", b"-4\0 "),
        b"#" + event(3)[1:],
        event(3).rstrip(b"\n") + event(4),
        event(3)[:40] + event(4),
        b"# tracer: nop" + event(3),
        b"CPU:1 [LOST 5 EVENTS]" + event(3),
        b"CPU:1 [LO\0T 5 EVENTS]\n",
        b"CPU:1 [LOST 5 EVENS]\n",
        b"CPU:99999 [LOST 5 EVENTS]\n",
    ],
)
def test_a_line_of_which_nothing_can_be_read_is_a_loss_of_all(line: bytes) -> None:
    ((_, since, until),) = bounds(BEFORE + line + AFTER)
    assert since <= 2
    assert until >= 5
    assert read(BEFORE + line + AFTER)[0].account.not_understood == 1


@pytest.mark.parametrize(
    "first",
    [b"sched_switch: prev_comm=a", b"tracing_mark_write: text", b"mm_page_free_batched: page=0 pfn=0x1 order=0"],
)
def test_an_event_that_was_joined_to_another_one_is_a_loss(first: bytes) -> None:
    assert bounds(BEFORE + event(3, first).rstrip(b"\n") + event(4) + AFTER) == [(1, 2, 6)]


@pytest.mark.parametrize(
    "first",
    [
        b"sched_switch: prev_comm=a", b"tracing_mark_write: text", b"mm_page_free_batched: page=0 pfn=0x1 order=0",
        b"<stack trace>\n => one\n => two, whose name is longer than the sixty-four bytes of any function",
    ],
)  # fmt: skip
@pytest.mark.parametrize("flags", [b".....", b"", b"d..]"])
def test_an_event_is_seen_that_was_joined_to_a_line_of_a_trace_whose_clock_counts(first: bytes, flags: bytes) -> None:
    joined = event(3, first).rstrip(b"\n") + event(4)
    text = (BEFORE + joined + AFTER).replace(b".000000: ", b"000: ").replace(b" .....", b" " + flags)
    parser = FtraceText(io.BytesIO(text), source="test", ticks=True)
    assert [row for row in rows_of(parser.batches()) if row["kind"] == Kind.GAP]
    assert parser.account.not_understood == 1


def test_an_event_that_was_joined_to_a_frame_of_a_stack_is_a_loss() -> None:
    stack = event(2, b"<stack trace>") + b" => one\n => two"
    assert len(bounds(BEFORE + stack + event(3) + AFTER)) == 1


@pytest.mark.parametrize(
    "line",
    [
        event(3, b"sched_switch: prev_comm=a"),
        event(3, b"kfree: call_site=f ptr=0 name=x"),
        event(3, b"cma_alloc_finish: name=x pfn=0x10 page=0 count=1 align=0 errorno=0"),
        event(3, b"xfs_alloc_cur: dev 8:1"),
        event(3, b"mutex_lock <-do_it"),
        b"cpus=4\n",
        b"# a comment\n",
        b" => a frame of no stack\n",
    ],
)
def test_a_line_that_is_provably_none_of_ownership_is_no_loss(line: bytes) -> None:
    assert bounds(BEFORE + line + AFTER) == []


@pytest.mark.parametrize("byte", [b"\xff", b"\x1b", b"\x7f"])
def test_the_place_of_a_probe_that_no_kernel_writes_so_is_a_harmed_line(byte: bytes) -> None:
    line = b"task-9 [000] ..... 1.000000000: iso_owner: (f%b+0x0/0x50) page=0xffffea0000001200 order=3 gfp=0x8\n"
    reader = FtraceText(io.BytesIO(line % b"" + line % byte), source="test")
    rows = rows_of(reader.batches())
    assert [row["kind"] for row in rows] == [Kind.ISOLATE, Kind.GAP]
    assert reader.account.not_understood == 1


def test_neighbouring_lines_are_one_gap_with_their_number() -> None:
    bad = event(3, b"mm_page_fsee: x")
    (gap,) = gaps(BEFORE + bad * 3 + AFTER)
    assert (gap["detail"]["count"], gap["detail"]["line"], gap["detail"]["lost"]) == (3, 3, None)  # type: ignore[index]


def test_a_loss_before_the_first_event_and_behind_the_last_reaches_to_the_ends() -> None:
    bad = event(3, b"mm_page_fsee: x")
    assert bounds(bad + AFTER) == [(1, 0, 6)]
    assert bounds(BEFORE + bad) == [(1, 2, 2)]


def test_a_loss_of_unknown_cpu_reaches_as_far_as_the_events_are_out_of_order() -> None:
    disordered = event(4, cpu=0) + event(2)
    assert bounds(disordered + b"?\n" + event(5) + event(8)) == [(None, 2, 8)]


@pytest.mark.parametrize(
    ("seconds", "until"), [((2, 1, 3), 3), ((9, 3, 4), 9)], ids=["too low behind it", "too high before it"]
)
def test_a_time_that_is_wrong_beside_a_loss_makes_the_gap_no_smaller(seconds: tuple[int, ...], until: int) -> None:
    before, *after = (event(second) for second in seconds)
    assert bounds(before + event(2, b"mm_page_fsee: x") + b"".join(after)) == [(1, 0, until)]


def test_more_losses_than_can_be_kept_apart_last_until_the_end() -> None:
    bad = b"".join(event(n, b"mm_page_fsee: x") + event(n) for n in range(1, MOST_GAPS + 3))
    found = bounds(event(0, cpu=0) + bad)
    assert len(found) == MOST_GAPS + 1
    assert found[-1] == (None, MOST_GAPS, MOST_GAPS + 2)


@pytest.mark.parametrize(
    ("what", "pages"),
    [
        (ALLOC.replace(b"migratetype=1", b"migratetype=\xff"), (0x10, 0)),
        (ALLOC.replace(b"migratetype=1", b"migratetype=x"), (0x10, 0)),
        (ALLOC[: ALLOC.index(b"ratetype")], (0x10, 0)),
        (ALLOC[: ALLOC.index(b"=1 gfp")], (0x10, 0)),
        (ALLOC[: ALLOC.index(b"migratetype")], (0x10, 0)),
        (ALLOC[: ALLOC.index(b" migratetype")], None),
        (ALLOC[: ALLOC.index(b" order")], None),
        (ALLOC.replace(b"migratetype", b"migpfn=0x5 order"), None),
        (ALLOC.replace(b"migratetype", b"migratetype=1 migratetype"), None),
        (FREE + b" (vendor)", None),
    ],
)
def test_a_loss_names_its_pages_only_if_nothing_else_can_be_in_the_line(
    what: bytes, pages: tuple[int, int] | None
) -> None:
    (gap,) = gaps(BEFORE + event(3, what) + AFTER)
    assert (gap["pfn"], gap["order"]) == pages if pages else "pfn" not in gap


def test_losses_of_different_pages_at_one_place_are_gaps_of_their_own() -> None:
    lines = b"".join(event(3, ALLOC[: ALLOC.index(b"migr")].replace(b"0x10", b"0x%x" % pfn)) for pfn in (1, 2, 2))
    assert [(gap["pfn"], gap["detail"]["count"]) for gap in gaps(BEFORE + lines + AFTER)] == [(1, 1), (2, 2)]  # type: ignore[index]


def test_the_frees_of_old_kernels_are_frees() -> None:
    lines = event(3, FREE.replace(b"mm_page_free", b"mm_page_free_direct"))
    lines += event(4, FREE.replace(b"mm_page_free", b"mm_pagevec_free") + b" cold=0")
    rows = read(lines)[1]
    assert [row["kind"] for row in rows] == [Kind.FREE, Kind.FREE]


@given(st.sampled_from(sorted(EVENTS)), st.integers(0, 30), st.sampled_from("abcxyz0_"))
def test_a_flipped_letter_makes_no_known_event(name: str, at: int, letter: str) -> None:
    flipped = name[: at % len(name)] + letter + name[at % len(name) + 1 :]
    assert flipped in EVENTS or may_tell_of_pages(flipped)


# -- what tools state


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        (b"CPU:1 [LOST 7 EVENTS]\n", 7),
        (b"   CPU:1 [LOST 7 EVENTS]\n", 7),
        (b"CPU:1 [LOST EVENTS]\n", None),
        (b"CPU:1 [7 EVENTS DROPPED]\n", 7),
        (b"CPU:1 [EVENTS DROPPED]\n", None),
    ],
)
def test_a_loss_of_a_ring_is_a_gap_of_its_cpu_in_whatever_words(line: bytes, lost: int | None) -> None:
    (gap,) = gaps(BEFORE + line + AFTER)
    assert (gap["cpu"], gap["detail"]["t_lo"], gap["detail"]["t_hi"]) == (1, 2 * 10**9, 6 * 10**9)  # type: ignore[index]
    assert gap["detail"]["lost"] == lost  # type: ignore[index]


HEADER = b"# tracer: nop\n# entries-in-buffer/entries-written: %d/%d   #P:%d\n"


@pytest.mark.parametrize(("cpus", "until"), [(2, 2), (4, 6)])
def test_what_was_overwritten_is_lost_until_the_last_cpu_begins(cpus: int, until: int) -> None:
    parser, rows = read(HEADER % (4, 104, cpus) + BEFORE + AFTER)
    (gap,) = [row for row in rows if row["kind"] == Kind.GAP]
    assert gap["detail"]["t_lo"] == 0  # type: ignore[index]
    assert (gap["detail"]["t_hi"], gap["detail"]["lost"]) == (until * 10**9, 100)  # type: ignore[index]
    assert "cpu" not in gap
    assert parser.account.lost_events == 100
    assert "100 events were overwritten" in parser.account.notes[0]


def test_lines_that_the_header_counts_and_the_text_does_not_have_may_be_missing_anywhere() -> None:
    assert bounds(HEADER % (4, 4, 2) + BEFORE + AFTER) == []
    assert bounds(HEADER % (5, 5, 2) + BEFORE + AFTER) == [(None, 0, 6)]
    assert bounds(HEADER % (5, 5, 2) + BEFORE + event(3, b"mm_page_fsee: x") + AFTER) == [(1, 2, 6)]


@pytest.mark.parametrize(
    "record", [b"PERF_RECORD_LOST lost 7", b"PERF_RECORD_LOST_SAMPLES lost 7", b"PERF_RECORD_LOST_SAMPLES lost 7 (BPF)"]
)
def test_a_record_of_a_loss_is_a_gap_of_its_cpu(record: bytes) -> None:
    line = sample(3).partition(b"kmem")[0] + record + b"\n"
    (gap,) = gaps(PERF_BEFORE + line + PERF_AFTER, "perf")
    assert (gap["cpu"], gap["detail"]["t_lo"], gap["detail"]["t_hi"]) == (1, 2 * 10**9, 6 * 10**9)  # type: ignore[index]
    assert gap["detail"]["lost"] == 7  # type: ignore[index]


@pytest.mark.parametrize(
    "line",
    [
        b"         swapper     0 [000]     0.000000: PERF_RECORD_LOST_SAMPLES lost 7\n",
        b"Processed 9 events and lost 2 chunks!\n",
        b"Processed 9 samples and lost 37.09%!\n",
        b"7 samples with id not present in the header\n",
        b"7 out of 9 events were discarded for this reason.\n",
        b"7 unprocessable samples recorded.\n",
        b"Found 7 unknown events!\n",
        b"[ perf record: Captured and wrote 0.1 MB perf.data (11 samples) ]\n",
    ],
)
def test_a_total_of_losses_may_be_anywhere(line: bytes) -> None:
    assert bounds(PERF_BEFORE + PERF_AFTER + line, "perf") == [(None, 0, 6)]


def test_chunks_that_have_records_of_their_own_are_not_counted_twice() -> None:
    lost = sample(3).partition(b"kmem")[0] + b"PERF_RECORD_LOST lost 7\n"
    total = b"Warning:\nProcessed 9 events and lost 1 chunks!\n\nCheck IO/CPU overload!\n\n"
    assert bounds(total + PERF_BEFORE + lost + PERF_AFTER, "perf") == [(1, 2, 6)]


@pytest.mark.parametrize(
    "line",
    [
        sample(3).replace(b"free", b"fsee"),
        sample(3)[:60] + b"\n",
        sample(3, b"sched_switch: x").rstrip(b"\n") + sample(4),
    ],
)
def test_a_harmed_sample_is_a_loss(line: bytes) -> None:
    assert bounds(PERF_BEFORE + line + PERF_AFTER, "perf") == [(1, 2, 6)]


# -- adding up


@settings(max_examples=100)
@given(st.sampled_from([("ftrace", FTRACE), ("perf", PERF)]), st.integers(0, 1 << 32), st.integers(0, 30))
def test_every_line_is_of_exactly_one_kind(text: tuple[str, bytes], seed: int, changes: int) -> None:
    data = mutated(text[1], seed, changes)
    account = read(data, text[0])[0].account
    assert account.lines == data.count(b"\n") == sum(kind.lines for kind in account.kinds.values())
    assert account.not_understood == sum(k.lines for (what, _), k in account.kinds.items() if what == "not_understood")
    assert all(1 <= kind.first_line <= account.lines for kind in account.kinds.values())


def test_kinds_are_kept_with_their_first_line() -> None:
    account = read(FTRACE + event(30, b"mm_page_fsee: x"))[0].account
    kinds = {(what, kind): (found.lines, found.first_line) for (what, kind), found in account.kinds.items()}
    assert kinds["event", "mm_page_free"] == (1, 11)
    assert kinds["nothing_new", "mm_page_alloc"] == (1, 15)  # it failed
    assert kinds["bookkeeping", "stack"] == (3, 8)
    assert kinds["bookkeeping", "report of lost events"] == (2, 16)
    assert kinds["not_understood", "mm_page_fsee whose fields are not its own"] == (1, FTRACE.count(b"\n") + 1)


# -- what lay between two lines is gone


@pytest.mark.parametrize(
    "what",
    [
        b"iso_owner: (f+0x0/0x50) page=0xffd4000000212000 order=4 gfp=003800",
        b"iso_owner: (f+0x0/0x50) page=0xffd4000000212000 order=4 gfp=0x3800 nr=16",
        ALLOC.replace(b"gfp_flags", b"gmigratetype=0 gfp_flags"),
        ALLOC.replace(b"order=0", b"order=00"),
        ALLOC.replace(b"migratetype=1", b"migratetype=01"),
        FREE + b" migratetype=1 gfp_flags=GFP_KERNEL",
        FREE.replace(b"pfn=0x10", b"pfn=016"),
        b"mm_page_alloc_zone_locked: page=0 pfn=0x10 order=0 migratetype=1 percpu_refill=01",
    ],
)
def test_the_fields_of_two_lines_are_those_of_none(what: bytes) -> None:
    assert bounds(BEFORE + event(3, what) + AFTER) == [(1, 2, 6)]
    assert read(event(3, what))[0].account.not_understood == 1


def test_a_field_that_no_event_has_may_be_a_vendors() -> None:
    vendors = b" nid=0 zone=Normal nr_free=3650 alloc_type=2 mtype=1 border=1"
    assert bounds(BEFORE + event(3, ALLOC + vendors) + event(4, FREE + vendors) + AFTER) == []


def test_a_probe_may_have_more_fields_among_its_own() -> None:
    what = b"contig_range: (f+0x0/0x3c0) start=0x25800 end=0x25807 migratetype=4 gfp=0xcc0"
    assert read(event(3, what))[0].account.not_understood == 0
    assert read(event(3, what + b" order=0"))[0].account.not_understood == 1


@pytest.mark.parametrize("field", [b"nr=3", b"migratetype=1", b"ret=0"])
def test_a_field_that_nearly_all_lines_of_an_event_have_is_a_vendors_whatever_its_name(field: bytes) -> None:
    lines = [event(at, FREE + b" " + field) for at in range(3, 13)]
    assert read(b"".join(lines))[0].account.not_understood == 0
    assert read(b"".join([*lines[:2], *[event(at, FREE) for at in range(3, 13)]]))[0].account.not_understood == 2


@pytest.mark.parametrize(("reader", "text"), [("ftrace", sample(9) + BEFORE), ("perf", event(9) + PERF_BEFORE)])
def test_an_event_as_another_tool_writes_it_is_a_loss_at_an_unknown_time(reader: str, text: bytes) -> None:
    found = gaps(text * 2, reader)
    assert len([gap for gap in found if "another tool" in str(gap["detail"])]) == 1
    assert (None, 0, 2) in bounds(text * 2, reader)


def test_the_line_of_another_tool_is_shown_as_it_was_written() -> None:
    parser, _ = read(event(9) + PERF_BEFORE, "perf")
    assert parser.account.examples[0].text == event(9).decode().rstrip("\n")
