"""perf.data: what is read of each record, in which order, and what becomes of what is lost, cut or damaged."""

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from pagetrail.producers.formats.perf_data.perf_data import PERF_DATA
from pagetrail.producers.formats.tracepoints.symbols import Symbols
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import Meaning, NothingNew, RecordedKernel, Refused, Row
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.linux import kmem_events as ke
from pagetrail.schemas.stacks import canonical_stack
from tests.effort import effort
from tests.producers.formats.binary_rows import Rows, events, gaps, mutant, rows_of
from tests.producers.formats.perf_data import maker as mk
from tests.producers.formats.perf_data.maker import (
    ALLOC,
    ALLOC_32,
    EXTFRAG,
    FREE,
    REFILL,
    REFILL_TOLD,
    ROUND,
    SPLIT,
    SWITCH,
    Made,
)

MADE = Made()
SYMBOLS = Symbols(
    [
        (0xFFFFFFFF81000000, "T", "_text", ""),
        (0xFFFFFFFF81000000, "T", "startup", ""),
        (0xFFFFFFFF81000100, "t", "inner", ""),
        (0xFFFFFFFFC0000000, "t", "work", "mod"),
    ]
)


def read(tmp_path: Path, data: bytes, *, kernel: RecordedKernel | None = None) -> tuple[Rows, ReadAccount]:
    """Return the rows of a file, and the account."""
    path = tmp_path / "perf.data"
    path.write_bytes(data)
    return rows_of(path, PERF_DATA, kernel)


RECORDS = [
    MADE.comm(0, 7, "first"),
    MADE.sample(ALLOC, 1_000_000_001, 256, 2, 0xCC0, 1),
    MADE.sample(FREE, 1_000_000_002, 256, 2, cpu=1, tid=8, tgid=7),
    ROUND,
]  # fmt: skip
EXPECTED = [
    {"trace_ts_nsec": 1_000_000_001, "kind": Kind.ALLOC, "cpu": 0, "pid": 7, "tgid": 7, "comm": "first", "pfn": 256, "order": 2,
     "gfp_mask": 0xCC0, "migratetype": 1},
    {"trace_ts_nsec": 1_000_000_002, "kind": Kind.FREE, "cpu": 1, "pid": 8, "tgid": 7, "pfn": 256, "order": 2},
]  # fmt: skip


@pytest.mark.parametrize("way", ["file", "pipe", "packed", "packed2", "piped and packed"])
def test_the_same_records_are_the_same_rows_by_every_way(way: str, tmp_path: Path) -> None:
    records = RECORDS
    if "packed" in way:
        records = [*mk.packed(RECORDS[:-1], kind=83 if way == "packed2" else 81, step=30), ROUND]
    data = MADE.pipe(records) if "pipe" in way else MADE.file(records)
    rows, account = read(tmp_path, data)
    assert rows == EXPECTED
    assert dict(account.events) == {"kmem:mm_page_alloc": 1, "kmem:mm_page_free": 1}
    assert (account.truncated, account.not_understood) == (None, 0)


@pytest.mark.parametrize(
    "sample_type",
    [
        mk.USUAL | mk.ADDR | mk.STREAM_ID | mk.ID,
        mk.USUAL & ~mk.IDENTIFIER | mk.ID,
        mk.TID | mk.TIME | mk.CPU | mk.RAW | mk.ID | mk.READ | mk.CALLCHAIN | mk.STREAM_ID,
        mk.TID | mk.TIME | mk.CPU | mk.RAW | mk.IDENTIFIER | mk.READ,
    ],
    ids=hex,
)
@pytest.mark.parametrize("read_format", [0, 4, 7, 20, 8 | 4 | 1, 8 | 31, 1 << 63 | 4])
def test_fields_are_found_wherever_the_sample_type_puts_them(
    sample_type: int, read_format: int, tmp_path: Path
) -> None:
    made = replace(MADE, sample_type=sample_type, read_format=read_format)
    records = [
        made.comm(0, 7, "first"), made.sample(ALLOC, 1_000_000_001, 256, 2, 0xCC0, 1),
        made.sample(FREE, 1_000_000_002, 256, 2, cpu=1, tid=8, tgid=7),
    ]  # fmt: skip
    assert read(tmp_path, made.file(records))[0] == EXPECTED


def test_what_the_file_says_of_the_machine_is_used(tmp_path: Path) -> None:
    for data in (replace(MADE, clockid=1).file(RECORDS), replace(MADE, clockid=1).pipe(RECORDS)):
        (tmp_path / "perf.data").write_bytes(data)
        source = source_of(tmp_path / "perf.data")
        said = PERF_DATA.origin_of(source, source.head())
        assert (said.host, said.release, said.trace_clock) == ("made", "6.1.192", "mono")


def test_rows_are_in_order_of_time_whatever_the_order_of_rings(tmp_path: Path) -> None:
    rng = random.Random(5)
    records, expected = [], []
    for turn in range(30):
        for cpu in (0, 1):
            times = sorted(rng.sample(range(turn * 1000 + 700 * cpu, (turn + 1) * 1000 + 700 * cpu), 20))
            times = [1 + 2 * ts + cpu for ts in times]
            records += [MADE.sample(FREE, ts, ts, 0, cpu=cpu) for ts in times]
            expected += times
        records.append(ROUND)
    rows, account = read(tmp_path, MADE.file(records))
    assert [row["trace_ts_nsec"] for row in rows] == sorted(expected)
    assert account.clamped == 0


def test_a_thread_has_the_name_that_it_had_then(tmp_path: Path) -> None:
    records = [
        MADE.comm(0, 7, "shell"),
        MADE.sample(FREE, 20, 20, 0), MADE.fork(25, 9, 7), MADE.sample(FREE, 30, 30, 0, tid=9), MADE.comm(35, 9, "child"),
        MADE.sample(FREE, 40, 40, 0, tid=9), MADE.sample(FREE, 45, 45, 0), MADE.sample(FREE, 50, 50, 0, tid=0),
        MADE.sample(FREE, 55, 55, 0, tid=-1),
        MADE.comm(15, 7, "before", cpu=1), MADE.sample(FREE, 10, 10, 0, cpu=1),
    ]  # fmt: skip
    rows, _ = read(tmp_path, MADE.file(records))
    assert [(row["pfn"], row.get("comm"), row.get("pid")) for row in rows] == [
        (10, "shell", 7), (20, "before", 7), (30, "before", 9), (40, "child", 9), (45, "before", 7), (50, "swapper", 0),
        (55, None, None),
    ]  # fmt: skip


# -- what is lost ----------------------------------------------------------------------------------------------------------------


def test_a_loss_is_a_gap_of_its_cpu_from_the_event_before_it_to_the_next(tmp_path: Path) -> None:
    records = [
        MADE.sample(FREE, 10, 10, 0), MADE.sample(FREE, 11, 11, 0, cpu=1), MADE.lost(20, 5), MADE.sample(FREE, 15, 15, 0, cpu=1),
        MADE.sample(FREE, 30, 30, 0), MADE.sample(FREE, 40, 40, 0),
    ]  # fmt: skip
    rows, account = read(tmp_path, MADE.file(records))
    found = gaps(rows)
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in found] == [(10, 30, 5)]
    assert [row["cpu"] for row in rows if row["kind"] == Kind.GAP] == [0]
    assert account.lost_events == 5


LOSSES = {
    "later than the sample behind it, before 5.11": ([("a", 100), ("lost", 205), ("b", 200), ("b", 900)], (100, 200)),
    "of the time of the sample behind it, from 5.11 on": ([("a", 100), ("lost", 200), ("b", 200), ("b", 900)], (100, 200)),
    "before all of its ring": ([("lost", 205), ("b", 200), ("b", 900)], (0, 200)),
    "behind samples of an interrupt within the one behind it": ([("a", 100), ("b", 205), ("lost", 200), ("b", 200), ("b", 900)],
                                                                (205, 900)),
    "behind one that an interrupt came before": ([("b", 205), ("a", 200), ("lost", 300), ("b", 300)], (205, 300)),
}  # fmt: skip


@pytest.mark.parametrize("way", LOSSES)
def test_a_loss_is_where_it_is_in_its_ring_whatever_time_it_says(way: str, tmp_path: Path) -> None:
    ring, expected = LOSSES[way]
    records = [MADE.lost(ts, 3) if what == "lost" else MADE.sample(FREE, ts, ts, 0) for what, ts in ring]
    other = [MADE.sample(FREE, 1 + ts, ts, 0, cpu=1) for ts in range(0, 2000, 100)]
    rows, _ = read(tmp_path, MADE.file([*records, *other, ROUND]))
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [(*expected, 3)]


def test_what_perf_counts_at_its_end_and_no_record_places_is_lost_everywhere(tmp_path: Path) -> None:
    body = [MADE.sample(FREE, 10, 10, 0), MADE.lost(20, 5), MADE.sample(FREE, 30, 30, 0)]
    for total, missing in ((5, 0), (9, 4)):
        rows, account = read(
            tmp_path, MADE.file([*body, mk.record(13, struct.pack("<Q", total) + MADE.trailer(0, 0, 0))])
        )
        assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(rows)] == [
            (10, 30, 5),
            *[(0, 30, missing)] * bool(missing),
        ]
        assert account.lost_events == total


def test_while_an_event_is_throttled_its_samples_are_lost(tmp_path: Path) -> None:
    records = [MADE.sample(FREE, 10, 10, 0), MADE.throttle(20), MADE.sample(FREE, 30, 30, 0)]
    assert [(gap.t_lo, gap.t_hi, gap.lost) for gap in gaps(read(tmp_path, MADE.file(records))[0])] == [(10, 30, None)]


def test_an_event_that_no_kernel_writes_so_is_a_gap_and_is_told(tmp_path: Path) -> None:
    records = [
        MADE.sample(FREE, 10, 10, 0),
        MADE.sample(FREE, 20, 1 << 60, 0),
        MADE.sample(FREE, 30, 30, 99),
        MADE.sample(FREE, 40, 40, 0),
    ]
    rows, account = read(tmp_path, MADE.file(records))
    assert events(rows) == [(10, Kind.FREE, 10), (40, Kind.FREE, 40)]
    assert [(gap.t_lo, gap.t_hi) for gap in gaps(rows)] == [(10, 40)]
    assert account.not_understood == 2
    assert "kmem:mm_page_free at byte" in account.examples[0].text


def test_an_event_that_is_there_twice_is_stored_once(tmp_path: Path) -> None:
    twice = MADE.sample(ALLOC, 10, 256, 0, 0xCC0, 1)
    rows, account = read(tmp_path, MADE.file([twice, twice]))
    assert len(rows) == 1
    assert "1 samples repeat" in account.notes[0]


# -- events ----------------------------------------------------------------------------------------------------------------------


def test_a_failed_allocation_is_counted(tmp_path: Path) -> None:
    records = [MADE.sample(ALLOC, 10, -1, 9, 0xCC0, 1), MADE.sample(ALLOC, 11, 0, 9, 0xCC0, 1)]
    rows, account = read(tmp_path, MADE.file(records))
    assert (rows, account.failed_allocs, account.events["kmem:mm_page_alloc"]) == ([], 2, 2)


def test_a_failed_allocation_of_a_32_bit_kernel_is_one(tmp_path: Path) -> None:
    made = Made(events=(ALLOC_32,))
    pfns = (0xFFFFFFFF, 0, 0xFFFFFFFE)
    rows, account = read(tmp_path, made.file([made.sample(ALLOC_32, pfn + 1, pfn, 0, 0xCC0, 1) for pfn in pfns]))
    assert ([row["pfn"] for row in rows], account.failed_allocs) == ([0xFFFFFFFE], 2)


def test_rare_events_mean_what_their_text_means(tmp_path: Path) -> None:
    made = Made(events=(ALLOC, EXTFRAG, REFILL, SWITCH, SPLIT))
    base = 0xFFFFEA0000000000
    records = [
        made.sample(ALLOC, 10, 512, 9, 0xCC0, 1), made.sample(EXTFRAG, 20, 512, 3, 5, 0, 1, 0), made.sample(REFILL, 30, 768, 0, 1),
        made.sample(REFILL, 31, 768, 3, 1), made.sample(SWITCH, 40, 1), made.sample(SPLIT, 50, base + 64 * 512, 512),
    ]  # fmt: skip
    rows, account = read(tmp_path, made.file(records))
    assert [(row["kind"], row["pfn"]) for row in rows] == [
        (Kind.ALLOC, 512), (Kind.EXTFRAG, 512), (Kind.REFILL, 768), (Kind.SPLIT, 512),
    ]  # fmt: skip
    assert '"fragmenting":1' in str(rows[1]["detail"])
    assert '"pageblock_order":9' in str(rows[1]["detail"])
    assert (rows[3]["nr_pages"], rows[3]["order"]) == (512, 0)
    assert account.ignored == {"kmem:mm_page_alloc_zone_locked": 1, "sched:sched_switch": 1}


@pytest.mark.parametrize("told", [None, 0, 1, 2, -1])
@pytest.mark.parametrize("order", [0, 3, 64])
@pytest.mark.parametrize("migratetype", [0, -1, -2])
def test_a_refill_that_is_read_compiled_means_what_its_fields_mean(
    told: int | None, order: int, migratetype: int, tmp_path: Path
) -> None:
    event = REFILL if told is None else REFILL_TOLD
    values = (768, order, migratetype, *([] if told is None else [told]))
    made = Made(events=(event,))
    rows, account = read(tmp_path, made.file([made.sample(event, 30, *values)]))
    fields = {
        "pfn": 768,
        "order": order,
        "migratetype": migratetype,
        "percpu_refill": order == 0 if told is None else told,
    }
    expected = Meaning(RecordedKernel(), lambda: 0).outcome(ke.MM_PAGE_ALLOC_ZONE_LOCKED, fields, pid=7)
    assert account.not_understood == isinstance(expected, Refused)
    assert account.ignored.total() == isinstance(expected, NothingNew)
    columns = [
        {name: row[name] for name in ("pfn", "order", "migratetype")} for row in rows if row["kind"] == Kind.REFILL
    ]
    assert columns == ([expected.columns] if isinstance(expected, Row) else [])


CHAIN = (mk.KERNEL, 0xFFFFFFFF81000105, 0xFFFFFFFFC0000020, 0xFFFFFFFF81000010, mk.USER, 0x401000)


def with_chain() -> bytes:
    """Return a file with three samples: with ``CHAIN``, with a chain of the process alone, and with none."""
    made = replace(MADE, sample_type=mk.USUAL | mk.CALLCHAIN)
    name = b"[kernel.kallsyms]_text\0\0"
    where = struct.pack("<iiQQQ", -1, 0, 0xFFFFFFFF81000000, 0x10000000, 0xFFFFFFFF81000000) + name
    records = [
        mk.record(1, where + made.trailer(0, 0, 0), misc=1), made.sample(FREE, 10, 10, 0, chain=CHAIN),
        made.sample(FREE, 11, 11, 0, chain=(mk.USER, 0x401000)), made.sample(FREE, 12, 12, 0),
    ]  # fmt: skip
    return made.file(records)


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (SYMBOLS, "inner+0x5\nwork+0x20 [mod]\nstartup+0x10"),
        (None, "_text:0x105\n0xffffffffc0000020\n_text:0x10"),
    ],
    ids=["with symbols", "without"],
)
def test_the_kernels_part_of_a_call_chain_is_the_stack(symbols: Symbols | None, expected: str, tmp_path: Path) -> None:
    rows, account = read(tmp_path, with_chain(), kernel=RecordedKernel(symbols=symbols))
    assert [row.get("stack") for row in rows] == [expected, None, None]
    assert ["3 addresses of stacks have no name" in note for note in account.notes] == [True] * (symbols is None)
    assert canonical_stack(expected).frames.count("\n") == 2  # each of them is another function


def test_symbols_of_another_boot_name_nothing(tmp_path: Path) -> None:
    moved = Symbols([(0xFFFFFFFF82000000, "T", "_text", ""), (0xFFFFFFFF80000000, "t", "wrong", "")])
    rows, account = read(tmp_path, with_chain(), kernel=RecordedKernel(symbols=moved))
    assert str(rows[0]["stack"]).startswith("_text:0x105\n")
    assert "_text is at 0xffffffff82000000 in them, and was at 0xffffffff81000000" in account.notes[0]


# -- what is harmed --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"2ELIFREP" + bytes(100), "big-endian"),
        (b"PERFILE2", "found 8 bytes, at byte 0"),
        (MADE.file(RECORDS)[:200], "beyond the end of the file"),
        (MADE.file(RECORDS)[:-300], "a section of"),
        (MADE.file(RECORDS, data_size=0), "no formats of tracepoints"),
        (replace(MADE, formats=b"\x17\x08\x44trading").file(RECORDS), "damaged formats"),
        (replace(MADE, sample_type=mk.USUAL & ~mk.TIME).file(RECORDS), "record with perf record -T"),
        (replace(MADE, sample_type=mk.USUAL & ~mk.IDENTIFIER).file(RECORDS), "which of 2 events"),
    ],
    ids=["big-endian", "magic alone", "cut header", "cut features", "killed", "formats", "times", "ids"],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected") as refused:
        read(tmp_path, data)
    assert said in str(refused.value)


def test_of_a_pipe_that_was_cut_what_is_whole_is_read(tmp_path: Path) -> None:
    whole = MADE.pipe(RECORDS[:3])
    start = len(MADE.pipe([]))
    for size in range(start, len(whole)):
        rows, account = read(tmp_path, whole[:size])
        found = [row for row in rows if row["kind"] != Kind.GAP]
        assert found == EXPECTED[: len(found)]
        ends = [start, *(start + sum(map(len, RECORDS[:n])) for n in (1, 2, 3))]
        assert (account.truncated is None) == (size in ends), size
        assert bool(gaps(rows)) == (size not in ends), size  # other rings may have had records of the same time


def test_a_damaged_record_is_a_gap_of_every_cpu_around_it(tmp_path: Path) -> None:
    harmed = bytearray(MADE.sample(FREE, 30, 30, 0))
    harmed[8:16] = struct.pack("<Q", 999)  # an id of no event
    turns = [[MADE.sample(FREE, ts, ts, 0), ROUND] for ts in (10, 20, 40, 50, 60, 70, 80)]
    turns.insert(2, [bytes(harmed), ROUND])
    rows, account = read(tmp_path, MADE.file([one for turn in turns for one in turn]))
    (gap,) = gaps(rows)
    assert [ts for ts, *_ in events(rows)] == [10, 20, 40, 50, 60, 70, 80]
    assert gap.t_lo <= 20
    assert 40 <= gap.t_hi <= 80
    assert "could not be read" in gap.reason
    assert account.not_understood == 1


def test_a_record_that_has_no_size_ends_what_is_read(tmp_path: Path) -> None:
    rows, account = read(tmp_path, MADE.file([*RECORDS, struct.pack("<IHH", 9, 0, 3), *RECORDS]))
    assert events(rows) == [(row["trace_ts_nsec"], row["kind"], row["pfn"]) for row in EXPECTED]
    assert "expected a record of at least 8 bytes, found one of 3" in str(account.truncated)
    assert gaps(rows)


def test_damaged_records_of_a_round_are_one_gap(tmp_path: Path) -> None:
    harmed = bytearray(MADE.sample(FREE, 30, 30, 0))
    harmed[8:16] = struct.pack("<Q", 999)
    records = [MADE.sample(FREE, 10, 10, 0), *[bytes(harmed)] * 5_000, MADE.sample(FREE, 40, 40, 0)]
    rows, account = read(tmp_path, MADE.file(records))
    (gap,) = gaps(rows)
    assert (gap.t_lo, gap.t_hi, gap.count, account.not_understood) == (0, 40, 5_000, 5_000)
    assert "5,000 records, the first of them at byte" in gap.reason


@pytest.mark.parametrize("kind", [13, 71], ids=["lost samples", "data of a tracer"])
def test_a_count_that_nobody_counts_is_damage(kind: int, tmp_path: Path) -> None:
    wild = mk.record(kind, struct.pack("<Q", (1 << 64) - 1) + MADE.trailer(0, 0, 0))
    rows, account = read(tmp_path, MADE.file([MADE.sample(FREE, 10, 10, 0), wild, MADE.sample(FREE, 30, 30, 0)]))
    assert events(rows) == [(10, Kind.FREE, 10), (30, Kind.FREE, 30)]
    assert (len(gaps(rows)), account.lost_events, account.not_understood) == (1, 0, 1)


def test_a_record_expands_within_a_limit(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 28))
    assert len(bomb) < 1 << 16
    rows, account = read(tmp_path, MADE.file([*RECORDS, mk.record(81, bomb)]))
    assert [row for row in rows if row["kind"] != Kind.GAP] == EXPECTED
    assert "more than 67,108,864 bytes in one record" in str(account.truncated)


MUTANTS = effort(300, 20_000)


def test_no_mutant_of_a_file_ends_otherwise_than_with_rows_or_a_word(tmp_path: Path) -> None:
    rng = random.Random(16)
    made = replace(MADE, sample_type=mk.USUAL | mk.CALLCHAIN, events=(ALLOC, FREE, EXTFRAG))
    body = [made.comm(0, 7, "first")]
    for ts in range(10, 400, 10):
        body += [
            made.sample(ALLOC, ts, ts, 0, 0xCC0, 1, chain=CHAIN),
            made.sample(FREE, ts + 5, ts, 0, cpu=1),
            made.lost(ts + 6, 1),
        ]
        body.append(ROUND)
    refused = 0
    for data in (made.file(body), made.pipe(body), made.file(mk.packed(body))):
        for _ in range(MUTANTS // 3):
            try:
                rows, _ = read(tmp_path, mutant(data, rng))
            except InputError:
                refused += 1
                continue
            times = [int(str(row["trace_ts_nsec"])) for row in rows]
            assert all(0 <= one < 1 << 63 for one in times)
    assert 0 < refused < MUTANTS
