"""trace.dat: what is read of each record of a ring, and in which order."""

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pagetrail.producers.formats.trace_dat.buffers import CLOCK_OF_TOP
from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.inputs import source_of
from pagetrail.schemas.columns import Kind
from tests.producers.formats.binary_rows import Rows, events, gaps
from tests.producers.formats.perf_data.maker import EXTFRAG, REFILL, SPLIT, SWITCH
from tests.producers.formats.trace_dat import maker as mk
from tests.producers.formats.trace_dat.maker import Made, alloc, free, page, record
from tests.producers.formats.trace_dat.reading import EXPECTED, TWO, WAYS, T, one_cpu, read


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
