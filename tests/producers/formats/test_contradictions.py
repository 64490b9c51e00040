"""A harm that leaves a valid line is told where something else contradicts it: the page its pfn, or another line the same event."""

import io

import pytest

from pagetrail.producers.formats.page_pointers import PagePointers, pointers_of
from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.schemas.columns import Kind
from tests.oracles.text.ftrace import read_ftrace
from tests.oracles.text.perf import read_perf
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import classes, expected, outcome

BASE = 0xFFD4000000000000
FIRST = 0x3000
READERS = {"ftrace": FtraceText, "perf": PerfScript}


def line(at: int, what: bytes, reader: str = "ftrace", cpu: int = 1) -> bytes:
    form = (
        b"%16s-43      [%03d] .....     %d.%06d: %b\n"
        if reader == "ftrace"
        else b"%16s    43 [%03d]     %d.%06d: kmem:%b\n"
    )
    return form % (b"sh", cpu, 10 + at // 1000, at % 1000, what)


def free(pfn: int, page: bytes, order: int = 0) -> bytes:
    return b"mm_page_free: page=%b pfn=%#x order=%d" % (page, pfn, order)


def pointer(pfn: int) -> bytes:
    return b"%016x" % (BASE + 64 * pfn)


def number(pfn: int) -> bytes:
    return b"%#x" % pfn


FORMS = {"ftrace": pointer, "perf": number}


def frees(reader: str, count: int = 40) -> list[bytes]:
    return [line(at, free(FIRST + at, FORMS[reader](FIRST + at)), reader) for at in range(count)]


def read(lines: list[bytes], reader: str = "ftrace") -> tuple[TextReader, list[Row]]:
    parser = READERS[reader](io.BytesIO(b"".join(lines)), source="test")
    return parser, rows_of(parser.batches())


def unread(lines: list[bytes], reader: str = "ftrace") -> int:
    return read(lines, reader)[0].account.not_understood


# -- page= against pfn=


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("at", [0, 3, 20, 39])
def test_a_line_whose_pfn_is_not_that_of_its_page_is_a_loss_of_all_pages(reader: str, at: int) -> None:
    lines = frees(reader)
    assert unread(lines, reader) == 0
    lines[at] = lines[at].replace(b"pfn=%#x" % (FIRST + at), b"pfn=%#x" % (FIRST + at + 0x100))
    parser, rows = read(lines, reader)
    (gap,) = (row for row in rows if row["kind"] == Kind.GAP)
    assert "pfn" not in gap
    assert (parser.account.not_understood, parser.account.examples[0].line) == (1, at + 1)
    ((_, kind),) = [key for key in parser.account.kinds if key[0] == "not_understood"]
    assert kind == "mm_page_free whose page and pfn contradict each other"
    assert len(rows) == len(lines)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("digit", range(1, 4))
def test_each_digit_of_a_pointer_counts(reader: str, digit: int) -> None:
    lines = frees(reader)
    page = FORMS[reader](FIRST + 20)
    changed = (
        page[:-digit] + (b"7" if page[-digit : len(page) - digit + 1] != b"7" else b"8") + page[len(page) - digit + 1 :]
    )
    lines[20] = lines[20].replace(b"page=" + page, b"page=" + changed)
    assert unread(lines, reader) == 1


@pytest.mark.parametrize(
    "what",
    [
        b"mm_page_alloc: page=%b pfn=%#x order=0 migratetype=1 gfp_flags=GFP_KERNEL",
        b"mm_page_pcpu_drain: page=%b pfn=%#x order=0 migratetype=1",
        b"mm_page_alloc_zone_locked: page=%b pfn=%#x order=0 migratetype=1 percpu_refill=1",
        b"mm_page_free: page=%b pfn=%#x order=0 vendor=1",
        b"mm_page_alloc: page=%b pfn=%#x order=0 migratetype=1 gfp_flags=UNHEARD_OF",
        b"mm_page_alloc: page=%b pfn=%#x order=0 migratetype=1 gf",
        b"mm_page_alloc_extfrag: page=%b pfn=%#x alloc_order=0 fallback_order=10 pageblock_order=9 alloc_migratetype=0 fallback_migratetype=1 fragmenting=0 change_ownership=1",  # noqa: E501 - as the kernel prints it
    ],
)
def test_every_event_that_prints_both_is_held_against_itself(what: bytes) -> None:
    lines = frees("ftrace")
    lines[20] = line(20, what % (pointer(0x5000), 0x6000))
    parser, rows = read(lines)
    assert parser.account.not_understood == 1
    assert not any(row.get("pfn") == 0x6000 for row in rows)


def test_an_allocation_that_failed_has_no_page() -> None:
    failed = b"mm_page_alloc: page=%016d pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_KERNEL" % 0
    assert unread([*frees("ftrace"), line(60, failed)]) == 0


@pytest.mark.parametrize(
    "page",
    [
        lambda pfn: b"(____ptrval____)",
        lambda pfn: b"%016x" % (pfn * 0x9E3779B1 % (1 << 32)),
        lambda pfn: b"0",
        lambda pfn: b"%08x" % (0xC0000000 + 32 * pfn),
        lambda pfn: b"%016x" % (0xFFFF888000000000 + (pfn % 2 << 30) + 64 * pfn),
    ],
    ids=["not printed", "hashed", "constant", "of 32 bits", "of several pieces"],
)
def test_pointers_that_do_not_follow_from_the_pfn_prove_nothing(page) -> None:  # type: ignore[no-untyped-def]
    lines = [line(at, free(FIRST + at, page(FIRST + at))) for at in range(40)]
    assert pointers_of(b"".join(lines)) is None
    lines[20] = line(20, free(0x5000, page(FIRST + 20)))
    assert unread(lines) == 0


@pytest.mark.parametrize("count", [1, 7, 8, 500])
def test_sections_that_the_beginning_does_not_show_may_have_another_piece_of_the_memory_map(count: int) -> None:
    """Pages of SPARSEMEM without VMEMMAP: each section has its own base."""
    later = range(0x8000 * 3, 0x8000 * 3 + count)
    other = [line(60 + at, free(pfn, b"%016x" % (BASE + (1 << 36) + 64 * pfn))) for at, pfn in enumerate(later)]
    assert unread(frees("ftrace") * 200 + other) == 0


def test_a_page_of_a_known_section_is_held_against_whatever_pfn() -> None:
    lines = [*frees("ftrace") * 200, line(60, free(0x8000 * 3, pointer(FIRST + 5)))]
    assert unread(lines) == 1


def test_pages_that_are_hashed_from_some_line_on_prove_nothing() -> None:
    hashed = [line(60 + at, free(FIRST + at, b"00000000%08x" % (at * 0x9E3779B1 % (1 << 32)))) for at in range(500)]
    assert unread(frees("ftrace") * 200 + hashed) == 0


def test_few_pages_prove_nothing() -> None:
    assert pointers_of(b"".join(frees("ftrace", 7))) is None
    assert pointers_of(b"".join(frees("ftrace", 8))) == PagePointers(size=64, base=BASE, pages=range(0x8000))


def test_the_events_of_another_boot_behind_those_of_one_are_losses() -> None:
    other = [line(100 + at, free(FIRST + at, b"%016x" % (BASE + (1 << 40) + 64 * (FIRST + at)))) for at in range(10)]
    assert unread(frees("ftrace") + other) == 10


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("chunk_bytes", [64, 1000, 1 << 20])
def test_contradictions_are_those_of_the_reference_in_whatever_chunks(reader: str, chunk_bytes: int) -> None:
    lines = frees(reader)
    lines[5] = lines[5].replace(b"pfn=0x3005", b"pfn=0x3015")
    lines[9] *= 2
    data = b"".join(lines)
    parser = READERS[reader](io.BytesIO(data), source="test", chunk_bytes=chunk_bytes)
    assert outcome(parser) == expected((read_ftrace if reader == "ftrace" else read_perf)(data))


# -- a line that is there twice


def repeats(lines: list[bytes], reader: str = "ftrace") -> tuple[int, int]:
    """Return how many lines are repeats, and how many rows there are."""
    parser, rows = read(lines, reader)
    assert sum(classes(parser.account).values()) == parser.account.lines
    found = parser.account.kinds.get(("nothing_new", "repeat of an event"))
    return (0 if found is None else found.lines), len(rows)


ALLOC = b"mm_page_alloc: page=0 pfn=0x10 order=0 migratetype=1 gfp_flags=GFP_KERNEL"
ODD_ALLOC = ALLOC.replace(b"order=0", b"order=0 vendor=1")
OTHER = b"mm_page_free: page=0 pfn=0x99 order=0"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "what", [ALLOC, ODD_ALLOC, free(0x10, b"0"), b"mm_page_pcpu_drain: page=0 pfn=0x10 order=3 migratetype=1"]
)
def test_an_event_that_is_there_twice_is_stored_once_and_said(reader: str, what: bytes) -> None:
    one = line(1, what, reader)
    assert repeats([one, one, one], reader) == (2, 1)
    assert repeats([one, line(1, OTHER, reader, cpu=0), one], reader) == (1, 2)
    parser, _ = read([one, one], reader)
    assert parser.account.notes[-1].startswith("1 lines, the first of them line 2, repeat an event")
    assert sum(parser.account.entries.values()) == 1


@pytest.mark.parametrize(
    ("first", "between", "second"),
    [
        (line(1, ALLOC), b"", line(2, ALLOC)),
        (line(1, ALLOC), b"", line(1, ALLOC, cpu=0)),
        (line(1, ALLOC), b"", line(1, ALLOC.replace(b"KERNEL", b"NOWAIT"))),
        (line(1, ALLOC), line(1, free(0x10, b"0")), line(1, ALLOC)),
        (line(1, ALLOC), line(1, free(0, b"0", 5), cpu=0), line(1, ALLOC)),
        (line(1, ALLOC), b"CPU:1 [LOST 3 EVENTS]\n", line(1, ALLOC)),
    ],
    ids=["another time", "another CPU", "another mask", "freed between", "within a block between", "a loss between"],
)
def test_what_may_be_another_event_is_no_repeat(first: bytes, between: bytes, second: bytes) -> None:
    assert repeats([first, between, second])[0] == 0


@pytest.mark.parametrize(
    "what",
    [
        b"split_owner: (f+0x0/0x50) page=0xffd4000000212000 nr=32",
        b"copy_owner: (f+0x0/0xa0) new=0xffd4000004405000 old=0xffd4000004200000",
        b"tracing_mark_write: a marker",
    ],
)
def test_rare_events_are_compared_in_all_that_they_have(what: bytes) -> None:
    changed = (
        what.replace(b"nr=32", b"nr=16")
        .replace(b"old=0xffd4000004200000", b"old=0xffd4000004300000")
        .replace(b"a m", b"b m")
    )
    assert repeats([line(1, what), line(1, what)]) == (1, 1)
    assert repeats([line(1, what), line(1, changed)]) == (0, 2)


@pytest.mark.parametrize("stacks", [(0, 0, 1), (0, 1, 0, 1)], ids=["behind both", "behind each"])
def test_the_stack_of_a_repeat_is_that_of_its_event(stacks: tuple[int, ...]) -> None:
    stack = line(2, b"<stack trace>") + b" => one\n => two\n"
    lines = [stack if is_stack else line(1, ALLOC) for is_stack in stacks]
    earlier = line(0, OTHER)  # its stack never comes
    _, rows = read([earlier, *lines])
    assert [row.get("stack") for row in rows] == [None, "one\ntwo"]


def test_what_a_count_misses_is_missed_although_a_line_is_there_twice() -> None:
    header = b"# entries-in-buffer/entries-written: 3/3   #P:1\n"
    whole = [header, line(1, ALLOC), line(2, OTHER), line(3, free(0x10, b"0"))]
    assert not [row for row in read(whole)[1] if row["kind"] == Kind.GAP]
    overwritten = [header, line(1, ALLOC), line(1, ALLOC), line(3, free(0x10, b"0"))]
    assert [row for row in read(overwritten)[1] if row["kind"] == Kind.GAP]


def ret(call: str, code: int) -> bytes:
    return b"%b_ret: (f+0x0/0x50 <- g) ret=%d" % (call.encode(), code)


@pytest.mark.parametrize("codes", [(-16, -16), (-16, 0)])
@pytest.mark.parametrize("call", ["contig_range", "offline_pages"])
def test_calls_and_returns_of_one_time_are_no_repeats(call: str, codes: tuple[int, int]) -> None:
    fields = b"start=0x400 end=0x600 gfp=0xcc0" if call == "contig_range" else b"pfn=1024 nr_pages=512"
    entry = b"%b: (f+0x0/0x50) %b" % (call.encode(), fields)
    lines = [line(1, what) for code in codes for what in (entry, ret(call, code))]
    parser, rows = read(lines)
    assert (parser.account.not_understood, repeats(lines)[0], len(rows)) == (0, 0, 4)
