"""trace.dat: what becomes of what is lost, cut or damaged."""

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.inputs import source_of
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.effort import effort
from tests.producers.formats.binary_rows import events, gaps, mutant
from tests.producers.formats.perf_data.maker import EXTFRAG, SWITCH
from tests.producers.formats.trace_dat import maker as mk
from tests.producers.formats.trace_dat.maker import Made, alloc, free, page, record
from tests.producers.formats.trace_dat.reading import EXPECTED, TWO, WAYS, T, one_cpu, read

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


MUTANTS = effort(300, 20_000)


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
