"""trace.dat: what is read of each record of a ring, in which order, and what becomes of what is lost, cut or damaged."""

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.formats.trace_dat.buffers import CLOCK_OF_TOP
from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.producers.formats.perf_data.maker import EXTFRAG, REFILL, SPLIT, SWITCH
from tests.producers.formats.perf_data.test_perf_data import Rows, events, gaps, mutant
from tests.producers.formats.trace_dat import maker as mk
from tests.producers.formats.trace_dat.maker import Made, alloc, free, page, record

T = 1_000_000_000
WAYS = {
    "6": Made.version_6, "7": lambda made: made.version_7("none"), "7 zstd": Made.version_7,
    "7 zlib": lambda made: made.version_7("zlib", pages_in_chunk=1),
}  # fmt: skip
TWO = Made(
    cpus=(
        [page(T, [record(1, alloc(256, 2)), record(4, free(256, 2))]), page(T + 10, [record(0, free(300))])],
        [page(T + 2, [record(0, alloc(400, pid=9)), record(5, free(400, pid=8))])],
    )
)
EXPECTED = [
    {"trace_ts_nsec": T + 1, "kind": Kind.ALLOC, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 256, "order": 2, "gfp_mask": 0xCC0,
     "migratetype": 1},
    {"trace_ts_nsec": T + 2, "kind": Kind.ALLOC, "cpu": 1, "pid": 9, "comm": "other", "pfn": 400, "order": 0, "gfp_mask": 0xCC0,
     "migratetype": 1},
    {"trace_ts_nsec": T + 5, "kind": Kind.FREE, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 256, "order": 2},
    {"trace_ts_nsec": T + 7, "kind": Kind.FREE, "cpu": 1, "pid": 8, "pfn": 400, "order": 0},
    {"trace_ts_nsec": T + 10, "kind": Kind.FREE, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 300, "order": 0},
]  # fmt: skip


def read(tmp_path: Path, data: bytes, *, kernel: RecordedKernel | None = None) -> tuple[Rows, ReadAccount]:
    """Return the rows of a file, each without what it does not have, and the account."""
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    source = source_of(path)
    found, _ = recognised(source)
    assert found is TRACE_DAT
    assert found.opens is not None
    with source.open(text=True) as stream:
        parser = found.opens(stream, kernel or RecordedKernel())
        batches = list(parser.batches())
    rows = to_arrow(concat(batches)).to_pylist() if batches else []
    return [{name: value for name, value in row.items() if value is not None} for row in rows], parser.account


def one_cpu(tmp_path: Path, *pages: bytes, **said: object) -> tuple[Rows, ReadAccount]:
    """Return the same of a file with the pages of one CPU."""
    return read(tmp_path, replace(Made(), cpus=[list(pages)], **said).version_6())  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_pages_are_the_same_rows_in_every_version(way: str, tmp_path: Path) -> None:
    rows, account = read(tmp_path, WAYS[way](TWO))
    assert rows == EXPECTED
    assert dict(account.events) == {"mm_page_alloc": 2, "mm_page_free": 3}
    assert (account.truncated, account.not_understood, account.entries) == (None, 0, {0: 3, 1: 2})


def test_what_the_file_says_of_the_machine_is_used(tmp_path: Path) -> None:
    for data in (replace(TWO, clock="mono").version_6(), replace(TWO, clock="mono").version_7()):
        (tmp_path / "trace.dat").write_bytes(data)
        source = source_of(tmp_path / "trace.dat")
        said = TRACE_DAT.origin_of(source, source.head())
        assert (said.host, said.release, said.trace_clock) == ("made", "6.1.192", "mono")


# -- records of the ring ---------------------------------------------------------------------------------------------------------


def test_time_goes_on_by_deltas_extends_and_stamps(tmp_path: Path) -> None:
    top = 3 << 59  # bits that a stamp does not hold
    rows, account = one_cpu(
        tmp_path,
        page(T, [mk.extend(5 << 30), record(3, free(1)), mk.stamp(9 << 30), record(0, free(2)), record(1, free(3), long=True)]),
        page(top, [mk.stamp(top + 50), record(1, free(4)), mk.stamp(20), record(0, free(5))]),
    )  # fmt: skip
    assert events(rows) == [
        (T + (5 << 30) + 3, Kind.FREE, 1), (9 << 30, Kind.FREE, 2), ((9 << 30) + 1, Kind.FREE, 3), (top + 51, Kind.FREE, 4),
        ((4 << 59) + 20, Kind.FREE, 5),
    ]  # fmt: skip
    assert (account.not_understood, gaps(rows)) == (0, [])


def test_discarded_records_take_their_time_and_padding_ends_a_page(tmp_path: Path) -> None:
    rows, account = one_cpu(
        tmp_path,
        page(T, [mk.padding(4, 40), record(1, free(1)), bytes([29, 0, 0, 0]), bytes(100)]),
        page(0), page(T + 9, [record(0, free(2))]),
    )  # fmt: skip
    assert events(rows) == [(T + 5, Kind.FREE, 1), (T + 9, Kind.FREE, 2)]
    assert (account.not_understood, gaps(rows)) == (0, [])


@pytest.mark.parametrize("size", [1024, 4096, 16384, 65536])
@pytest.mark.parametrize("way", WAYS)
def test_pages_have_any_size(size: int, way: str, tmp_path: Path) -> None:
    pages = [page(T + 10_000 * n, [record(1, free(n))] * 9, size=size) for n in range(200)]
    pages[0] = page(T, [record(1, free(n)) for n in range(200, 200 + (size - 100) // 24)], size=size)
    rows, account = read(tmp_path, WAYS[way](replace(TWO, cpus=[pages], page_size=size)))
    assert len([row for row in rows if row["pfn"] == 199]) == 9
    assert account.events["mm_page_free"] == 199 * 9 + (size - 100) // 24


def test_a_32_bit_kernel_has_shorter_pages_heads_and_addresses(tmp_path: Path) -> None:
    chain = struct.pack("<HBBiii3I", mk.STACK, 0, 0, 7, 2, 0, 0xC1000105, 0xC1000010, 0)
    made = replace(TWO, commit_bytes=4, kallsyms=b"c1000000 T _text\nc1000100 t inner\n")
    made = replace(made, cpus=[[page(T, [record(1, free(1)), record(1, chain)], missed=3, commit_bytes=4)]])
    rows, _ = read(tmp_path, made.version_6())
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(0, T + 1, 3)]
    assert rows[1]["stack"] == "inner+0x5\n_text+0x10"


@pytest.mark.parametrize(
    ("factor", "shift"), [(1_431_655_765, 32), (0xFFFFFFFF, 32), (0xFFFFFFFF, 31), (3, 0), (1 << 31, 40)]
)
def test_a_clock_that_counts_becomes_nanoseconds_if_the_file_says_how(factor: int, shift: int, tmp_path: Path) -> None:
    rows, _ = one_cpu(
        tmp_path, page(3 * T, [record(1, free(1)), record(5, free(2))]), clock="x86-tsc",
        options=[mk.option(14, struct.pack("<IIQ", factor, shift, 0))],
    )  # fmt: skip
    assert [row["trace_ts_nsec"] for row in rows] == [ts * factor >> shift for ts in (3 * T + 1, 3 * T + 6)]


def test_an_offset_is_told_and_not_added(tmp_path: Path) -> None:
    rows, account = one_cpu(
        tmp_path, page(T, [record(1, free(1))]), options=[mk.option(1, b"0x10\0"), mk.option(7, b"-5\0")]
    )
    assert events(rows) == [(T + 1, Kind.FREE, 1)]
    assert "+15,995 ns" in account.notes[0]


def test_cpus_are_in_order_of_time_however_many(tmp_path: Path) -> None:
    rng = random.Random(17)
    cpus, expected = [], []
    for cpu in range(40):
        ts, pages = T, []
        for _ in range(rng.randrange(1, 6)):
            begin, records = ts, []
            for _ in range(rng.randrange(1, 30)):
                delta = rng.randrange(200)
                ts += delta
                pfn = 10_000 * cpu + len(expected)
                records.append(record(delta, free(pfn)))
                expected.append((ts, Kind.FREE, pfn))
            pages.append(page(begin, records))
        cpus.append(pages)
    rows, account = read(tmp_path, Made(cpus=cpus).version_7())
    assert events(rows) == sorted(expected, key=lambda one: (one[0], one[2]))
    assert (gaps(rows), account.clamped) == ([], 0)


# -- events ----------------------------------------------------------------------------------------------------------------------


def test_rare_events_mean_what_their_text_means(tmp_path: Path) -> None:
    base = 0xFFFFEA0000000000
    rows, account = one_cpu(
        tmp_path,
        page(T, [
            record(0, alloc(512, 9)), record(1, mk.raw(EXTFRAG, 512, 3, 5, 0, 1, 0)), record(1, mk.raw(REFILL, 768, 0, 1)),
            record(1, mk.raw(REFILL, 768, 3, 1)), record(1, mk.raw(SWITCH, 1)), record(1, mk.raw(SPLIT, base + 64 * 512, 512)),
            record(1, mk.marker("SNAPSHOT 1 begin")), record(1, mk.marker("printed", ip=0xFFFFFFFF82000000)),
            record(1, alloc(-1, 9)), record(1, alloc(0, 9)),
        ]),
    )  # fmt: skip
    assert [(row["kind"], row.get("pfn")) for row in rows] == [
        (Kind.ALLOC, 512), (Kind.EXTFRAG, 512), (Kind.REFILL, 768), (Kind.SPLIT, 512), (Kind.MARKER, None),
    ]  # fmt: skip
    assert '"text":"SNAPSHOT 1 begin"' in str(rows[4]["detail"])
    assert account.ignored == {"mm_page_alloc_zone_locked": 1, "sched_switch": 1, "tracing_mark_write": 1}
    assert (account.failed_allocs, account.not_understood) == (2, 0)


def test_a_stack_is_that_of_the_event_before_it_on_its_cpu(tmp_path: Path) -> None:
    chain = (0xFFFFFFFF81000105, 0xFFFFFFFFC0000020, 0xFFFFFFFF81000010)
    interrupted = [
        record(1, free(1)), record(1, free(2, pid=9)), record(1, mk.stack(0xFFFFFFFF81000001, pid=9)), record(1, mk.stack(*chain)),
        record(1, free(3)), record(1, mk.stack(*chain, pid=9)),  # of another thread
        record(1, free(4)), record(1, mk.stack(*chain, number=mk.USER_STACK)),
        record(1, mk.raw(SWITCH, 1)), record(1, mk.stack(*chain)),
        record(1, free(5)), record(1, mk.stack(*chain, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF81000010, count=5)),
        record(1, free(6)), record(1, mk.stack(*chain, count=1)),
    ]  # fmt: skip
    other = [record(1, free(90)), record(5, free(91))]
    rows, account = read(tmp_path, Made(cpus=[[page(T, interrupted)], [page(T, other)]]).version_6())
    text = "inner+0x5\nwork+0x20 [mod]\n_text+0x10"
    assert {row["pfn"]: row.get("stack") for row in rows} == {
        1: text, 2: "_text+0x1", 3: None, 4: None, 5: text, 6: "inner+0x5", 90: None, 91: None,
    }  # fmt: skip
    assert account.events["mm_page_free"] == 8
    assert account.entries == {0: 14, 1: 2}


def stacks(rows: Rows) -> dict[object, object]:
    """Return the stack of each page that has one."""
    return {row["pfn"]: row["stack"] for row in rows if "stack" in row}


def test_the_stack_of_an_event_that_is_not_understood_is_nobodys(tmp_path: Path) -> None:
    for wild in (struct.pack("<HBBi", 999, 0, 0, 7), free(1, 99)):
        records = [alloc(256), wild, mk.stack(0xFFFFFFFF81000001), mk.stack(0xFFFFFFFF81000002)]
        rows, _ = one_cpu(tmp_path, page(T, [record(1, one) for one in records]))
        assert stacks(rows) == {}  # the first may be that of 256, whose interrupt it was, too


def test_where_only_some_events_have_stacks_an_interrupts_event_takes_none(tmp_path: Path) -> None:
    chain = mk.stack(0xFFFFFFFF81000001)
    whole = [one for n in range(1, 30) for one in (free(1000 + n), alloc(n), chain)]
    interrupted = [alloc(100), *(free(1100 + n) for n in range(9)), chain]
    for records in (interrupted, [alloc(100), free(1100), chain], [*whole, *interrupted, *whole, *interrupted]):
        rows, _ = one_cpu(tmp_path, page(T, [record(1, one) for one in records], size=16384), page_size=16384)
        assert all(pfn < 100 for pfn in stacks(rows))  # type: ignore[operator]
    assert set(stacks(rows)) >= set(range(10, 30))
    kinds = [row for row in rows if row["kind"] == Kind.ALLOC and "stack" in row]
    assert len(kinds) > 45


def test_events_of_which_some_have_no_stack_take_none_where_others_wait(tmp_path: Path) -> None:
    chain = mk.stack(0xFFFFFFFF81000001)
    records = [one for n in range(1, 30) for one in (alloc(n), chain)] + [alloc(100 + n) for n in range(9)]
    records += [alloc(200, 3), alloc(300), chain]
    rows, _ = one_cpu(tmp_path, page(T, [record(1, one) for one in records], size=16384), page_size=16384)
    assert set(stacks(rows)) == set(range(1, 30))


def test_addresses_without_symbols_are_told(tmp_path: Path) -> None:
    rows, account = one_cpu(
        tmp_path, page(T, [record(1, free(1)), record(1, mk.stack(0xFFFFFFFF81000105))]), kallsyms=b""
    )
    assert rows[0]["stack"] == "0xffffffff81000105"
    assert "have no name" in account.notes[0]


@pytest.mark.parametrize("way", WAYS)
def test_every_buffer_with_events_of_pages_is_read_and_each_event_once(way: str, tmp_path: Path) -> None:
    made = Made(
        cpus=[[page(T, [record(1, alloc(1))])], [page(T, [record(2, alloc(2))])]],
        buffers={
            "frees": [[page(T, [record(3, free(3))])], [page(T + 9, [record(0, free(4))], missed=2)]],
            "switches": [[page(T, [record(1, mk.raw(SWITCH, 1))])], []],
            "again": [[page(T, [record(1, alloc(1))])], []],
        },
    )
    rows, account = read(tmp_path, WAYS[way](made))
    assert events(rows) == [
        (T + 1, Kind.ALLOC, 1),
        (T + 2, Kind.ALLOC, 2),
        (T + 3, Kind.FREE, 3),
        (T + 9, Kind.FREE, 4),
    ]
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [
        (0, T + 9, 2)
    ]  # not ended by another buffer's event
    assert [row["cpu"] for row in rows if row["kind"] == Kind.GAP] == [1]
    assert account.notes == [
        "the buffer again is not read: the top buffer has its mm_page_alloc, too, and more events",
        "the buffer switches is not read: it holds no event of pages",
        CLOCK_OF_TOP.format("the buffer frees", "local"),
    ]


# -- what is lost ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "lost"), [(True, 5), (False, None)], ids=["counted", "not counted"])
def test_missed_events_are_a_gap_of_their_cpu_from_the_event_before_to_the_next(
    stored: bool, lost: int | None, tmp_path: Path
) -> None:
    first = [page(T, [record(1, free(1))]), page(T + 20, [record(3, free(2))], missed=5, stored=stored)]
    rows, account = read(tmp_path, Made(cpus=[first, [page(T, [record(10, free(3))])]]).version_7())
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(T + 1, T + 23, lost)]
    assert account.lost_events == (lost or 0)


@pytest.mark.parametrize(
    ("stats", "lost"),
    [
        ("CPU: 0\nentries: 0\noverrun: 5\ndropped events: 0\nread events: 2\n", 5),
        ("CPU: 0\nentries: 2\noverrun: 5\ndropped events: 0\nread events: 0\n", 5),
        ("CPU: 0\nentries: 0\noverrun: 9\ndropped events: 0\nread events: 2\n", 9),
        ("CPU: 0\nentries: 1\noverrun: 5\ndropped events: 0\nread events: 2\n", 6),
        ("CPU: 0\nentries: 0\noverrun: 5\ndropped events: 7\nread events: 2\n", 12),
    ],
    ids=["located", "counted before the last read", "not all located", "missing", "dropped"],
)
def test_what_the_ring_counts_and_no_page_tells_of_is_lost_at_an_unknown_time(
    stats: str, lost: int, tmp_path: Path
) -> None:
    pages = [page(T, [record(1, free(1))]), page(T + 20, [record(3, free(2))], missed=5)]
    rows, account = one_cpu(tmp_path, *pages, stats=stats)
    everywhere = [] if lost == 5 else [(0, T + 23, lost - 5)]
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(T + 1, T + 23, 5), *everywhere]
    assert account.lost_events == lost


@pytest.mark.parametrize(
    "data",
    [free(1 << 60), free(1, 99), struct.pack("<HBBi", 999, 0, 0, 7), struct.pack("<HBBi", 301, 0, 0, 7)],
    ids=["pfn", "order", "no format", "short"],
)
def test_an_event_that_no_kernel_writes_so_is_a_gap_and_is_told(data: bytes, tmp_path: Path) -> None:
    rows, account = one_cpu(tmp_path, page(T, [record(1, free(1)), record(1, data), record(1, free(2))]))
    assert [row["pfn"] for row in rows if row["kind"] != Kind.GAP] == [1, 2]
    assert [(gap.t_lo, gap.t_hi) for gap in gaps(rows)] == [(T + 1, T + 3)]
    assert account.not_understood == 1
    assert "at byte" in account.examples[0].text


WILD = [
    page(T + 10, [record(1, free(2))], commit=5000),
    page(1 << 61, [record(1, free(2))]),
    page(1 << 63, [record(1, free(2))]),
    page(T + 10, [mk.extend(1 << 58), record(1, free(2))]),
    page(T + 10, [struct.pack("<II", 0, 3), bytes(40)]),
    page(T + 10, [struct.pack("<II", 0, 5000), bytes(40)]),
    page(T + 10, [struct.pack("<I", 28)]),
]


@pytest.mark.parametrize("wild", WILD, ids=["commit", "time", "negative", "extend", "length", "length beyond", "cut"])
def test_a_damaged_page_is_a_gap_of_its_cpu(wild: bytes, tmp_path: Path) -> None:
    rows, account = one_cpu(tmp_path, page(T, [record(1, free(1))]), wild, page(T + 20, [record(1, free(3))]))
    assert [row["pfn"] for row in rows if row["kind"] != Kind.GAP] == [1, 3]
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(T + 1, T + 21, None)]
    assert account.not_understood == 1


def test_a_page_without_a_number_tells_of_what_was_overwritten_and_of_nothing_else(tmp_path: Path) -> None:
    pages = [page(T, [record(1, free(1))]), page(T + 20, [record(3, free(2))], missed=3, stored=False)]
    for dropped, everywhere in ((0, []), (50, [(0, T + 23, 50)])):
        stats = f"CPU: 0\nentries: 2\noverrun: 3\ncommit overrun: 0\ndropped events: {dropped}\nread events: 0\n"
        rows, _ = one_cpu(tmp_path, *pages, stats=stats)
        assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(T + 1, T + 23, None), *everywhere]


def test_what_is_missing_of_a_ring_is_not_made_up_for_by_another(tmp_path: Path) -> None:
    stats = "CPU: 0\nentries: 3\nread events: 0\n\nBuffer: frees\n\nCPU: 0\nentries: 0\nread events: 1\n"
    wild = record(1, struct.pack("<HBBi", 999, 0, 0, 7))
    for frees in ([record(3, free(3))] * 2, [record(3, free(3)), wild]):
        made = Made(cpus=[[page(T, [record(1, alloc(1))] * 2)]], buffers={"frees": [[page(T, frees)]]}, stats=stats)
        rows, _ = read(tmp_path, made.version_6())
        assert (0, 1) in [(gap.t_lo, gap.lost) for gap in gaps(rows)]


def test_a_time_that_goes_back_is_harm(tmp_path: Path) -> None:
    rows, account = one_cpu(tmp_path, page(T, [record(9, alloc(256)), mk.stamp(T + 5), record(1, free(256))]))
    assert events(rows) == [(T + 9, Kind.ALLOC, 256)]
    assert (account.not_understood, len(gaps(rows))) == (1, 1)


# -- what is harmed --------------------------------------------------------------------------------------------------------------


def test_of_a_file_that_was_cut_what_is_whole_is_read_and_the_rest_is_a_gap(tmp_path: Path) -> None:
    whole = TWO.version_6()
    start = len(whole) - 3 * 4096
    for size in (start + 20, start + 16 + 44, start + 4096, start + 4096 + 30, start + 2 * 4096 + 60, len(whole) - 1):
        rows, account = read(tmp_path, whole[:size])
        assert [row for row in EXPECTED if row in rows] == [row for row in rows if row["kind"] != Kind.GAP]
        assert "the file does at byte" in str(account.truncated)
        assert any(gap.t_hi >= max(row["trace_ts_nsec"] for row in rows) for gap in gaps(rows))  # type: ignore[type-var]


def test_of_chunks_that_were_cut_what_is_whole_is_read(tmp_path: Path) -> None:
    pages = [page(T + 10 * n, [record(1, free(n))]) for n in range(8)]
    data = bytearray(replace(TWO, cpus=[pages]).version_7())
    at = data.rfind(b"\x28\xb5\x2f\xfd")
    data[at + 6 : at + 20] = bytes(14)
    rows, account = read(tmp_path, bytes(data))
    assert [row["pfn"] for row in rows if row["kind"] != Kind.GAP] == [0, 1, 2, 3, 4, 5]
    assert "in a chunk at byte" in str(account.truncated)
    assert len(gaps(rows)) == 1


THREE = [record(1, alloc(256)), record(1, free(256)), record(1, alloc(300))]


@pytest.mark.parametrize(
    ("pages", "kept"),
    [
        ([page(T, THREE)[: 16 + len(THREE[0])]], 1),
        ([page(T, THREE)[:200]], 3),
        ([page(T, THREE), page(T + 9, [record(1, free(300))])[:12]], 3),
        ([page(T, THREE), page(T + 9, [record(1, free(300))])[:30]], 3),
    ],
    ids=["at a record's end", "behind its records", "within a head", "within a record"],
)
def test_a_stream_that_ends_within_a_page_is_a_gap(pages: list[bytes], kept: int, tmp_path: Path) -> None:
    rows, account = one_cpu(tmp_path, *pages)
    assert len(events(rows)) == kept
    assert gaps(rows)
    assert account.not_understood


def test_chunks_whose_count_is_not_that_of_the_data_are_a_gap(tmp_path: Path) -> None:
    pages = [page(T + 2 * n, [record(1, alloc(n + 1))]) for n in range(3)]
    data = replace(TWO, cpus=[pages]).version_7(pages_in_chunk=1)
    at = next(
        n for n in range(len(data)) if data[n : n + 4] == b"\3\0\0\0" and data[n + 12 : n + 16] == b"\x28\xb5\x2f\xfd"
    )
    for count in (1, 2):
        rows, account = read(tmp_path, data[:at] + bytes([count]) + data[at + 1 :])
        assert len(events(rows)) == count
        assert len(gaps(rows)) == 1
        assert f"its {count} chunks end at byte" in str(account.truncated)


def test_a_buffer_that_is_not_there_is_a_gap_everywhere(tmp_path: Path) -> None:
    made = Made(cpus=[[page(T, [record(1, alloc(256))])]], buffers={"frees": [[page(T + 3, [record(1, free(256))])]]})
    data = made.version_6()
    rows, account = read(tmp_path, data[: data.rfind(b"flyrecord\0")])
    assert "the buffer frees is not there" in str(account.truncated)
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(0, T + 1, None)]


@pytest.mark.parametrize("way", ["6", "7"])
def test_the_clock_is_that_of_the_buffer_that_is_read(way: str, tmp_path: Path) -> None:
    switches, pages = [[page(T, [record(1, mk.raw(SWITCH, 1))])]], [[page(T, [record(1, alloc(256))])]]
    made = Made(cpus=switches, buffers={"pages": pages})
    data = made.version_7("none").replace(b"pages\0local\0", b"pages\0mono_\0")
    if way == "6":
        data = Made(cpus=switches, buffers={"pages": pages}, clock_of_buffers="mono_").version_6()
    rows, account = read(tmp_path, data)
    assert len(events(rows)) == 1
    assert account.trace_clock == "mono_"
    assert "the clock of the buffer pages" in account.notes[-1]
    source = source_of(tmp_path / "trace.dat")
    assert TRACE_DAT.origin_of(source, source.head()).trace_clock == "mono_"


def test_a_cpu_that_no_machine_has_is_refused(tmp_path: Path) -> None:
    data = bytearray(TWO.version_7("none"))
    at = data.rfind(struct.pack("<II", 4096, 2)) + 28
    for cpu in (8192, 65536):
        data[at : at + 4] = struct.pack("<I", cpu)
        with pytest.raises(InputError, match=f"CPU {cpu}, of at most 8192"):
            read(tmp_path, bytes(data))


HEAD = TWO.version_6()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEAD[:10], "the version without an end"),
        (HEAD.replace(b"tracing6", b"tracing9"), "version '9'"),
        (HEAD[:12] + b"\1" + HEAD[13:], "big-endian"),
        (HEAD[:14] + struct.pack("<I", 4095) + HEAD[18:], "pages of 4095 bytes"),
        (HEAD[:400], "beyond the end, at byte"),
        (HEAD.replace(b"flyrecord", b"latency\0\0"), "latency tracer"),
        (HEAD.replace(b"flyrecord", b"flyrecore"), "in place of the CPUs' data"),
        (HEAD.replace(b"header_page", b"header_rage"), "no header_page"),
        (TWO.version_7()[:-60], "beyond the end of the file"),
        (TWO.version_7()[:-200], "a file that was cut: options"),
        (TWO.version_7().replace(b"zstd\0", b"zstq\0"), "the compression 'zstq'"),
    ],
    ids=[
        "cut",
        "version",
        "big-endian",
        "page size",
        "cut formats",
        "latency",
        "kind",
        "header_page",
        "cut options",
        "no options",
        "packing",
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected") as refused:
        read(tmp_path, data)
    assert said in str(refused.value)


def test_a_frame_that_says_to_expand_to_more_takes_no_memory(tmp_path: Path) -> None:
    data = bytearray(replace(TWO, cpus=TWO.cpus[1:]).version_7())
    at = data.rfind(b"\x28\xb5\x2f\xfd")
    data[at + 4 : at + 13] = b"\xe0" + struct.pack("<Q", 1 << 60)
    rows, account = read(tmp_path, bytes(data))
    assert "say that they expand to 1152921504606846976 bytes, not to 4096" in str(account.truncated)
    assert [row["kind"] for row in rows] == [Kind.GAP]


def test_rings_that_overlap_are_refused(tmp_path: Path) -> None:
    data = TWO.version_6()
    first = data.find(struct.pack("<QQ", len(data) - 3 * 4096, 2 * 4096))
    with pytest.raises(InputError, match="data of CPU 0 that end at byte"):
        read(tmp_path, data[: first + 8] + struct.pack("<Q", 3 * 4096) + data[first + 16 :])


def test_windows_of_all_rings_fit_into_memory(tmp_path: Path) -> None:
    many = struct.pack("<I", 1 << 20) + struct.pack("<I", 300)
    cpus = b"".join(struct.pack("<IQQ", cpu, 1 << 30 | cpu << 20, 1 << 20) for cpu in range(300))
    data = replace(TWO, page_size=1 << 20, cpus=()).version_7("none")
    at = data.rfind(struct.pack("<HI", 3, 8 + 1 + 6 + 8))
    wide = (
        data[: at + 2]
        + struct.pack("<I", 23 + len(cpus))
        + data[at + 6 : at + 21]
        + many
        + cpus
        + mk.option(0, bytes(8))
    )
    head = data.rfind(struct.pack("<HHI", 0, 0, 0), 0, at)
    wide = wide[: head + 8] + struct.pack("<Q", len(wide) - head - 16) + wide[head + 16 :]
    with pytest.raises(InputError, match="300 rings, two pages of each of which have 629,145,600 bytes"):
        read(tmp_path, wide)


def test_a_chunk_expands_within_a_limit(tmp_path: Path) -> None:
    data = TWO.version_7()
    at = data.rfind(struct.pack("<I", 4096) + b"\x28\xb5\x2f\xfd")
    rows, account = read(tmp_path, data[:at] + struct.pack("<I", 1 << 31) + data[at + 4 :])
    assert "expands to 2,147,483,648 bytes, which is more than" in str(account.truncated)
    assert gaps(rows)


MUTANTS = 20_000 if settings.get_current_profile_name() == "nightly" else 300


def test_no_mutant_of_a_file_ends_otherwise_than_with_rows_or_a_word(tmp_path: Path) -> None:
    rng = random.Random(17)
    chain = (0xFFFFFFFF81000105, 0xFFFFFFFFC0000020)
    cpus = []
    for cpu in range(3):
        pages = []
        for ts in range(T, T + 500, 100):
            records = [
                mk.extend(1),
                record(1, alloc(ts % 512)),
                record(1, mk.stack(*chain)),
                record(2, free(ts % 512)),
                mk.padding(1),
            ]
            records += [
                record(1, mk.raw(EXTFRAG, 512, 3, 5, 0, 1, 0)),
                mk.stamp(ts + 50),
                record(1, mk.marker("SNAPSHOT 1 begin")),
            ]
            pages.append(page(ts, records, size=1024, missed=cpu or None))
        cpus.append(pages)
    made = Made(cpus=cpus, buffers={"other": cpus[:1]}, page_size=1024, stats="CPU: 0\noverrun: 3\nread events: 9\n")
    refused = 0
    for data in [way(made) for way in WAYS.values()]:
        for _ in range(MUTANTS // 4):
            try:
                rows, _ = read(tmp_path, mutant(data, rng))
            except InputError:
                refused += 1
                continue
            times = [int(str(row["trace_ts_nsec"])) for row in rows]
            assert all(0 <= one < 1 << 63 for one in times)
    assert 0 < refused < MUTANTS
