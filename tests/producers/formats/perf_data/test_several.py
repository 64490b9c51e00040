"""Several files of one perf record are one recording: those of --switch-output, and the folder of --threads."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pagetrail.ingesting import ingest_all
from pagetrail.producers.formats.perf_data.several import outputs_among, outputs_in, outputs_of
from pagetrail.producers.inputs import Source
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.producers.formats.perf_data import maker as mk
from tests.producers.formats.perf_data.maker import FREE, ROUND, Made

MADE = Made()
Events = list[tuple[object, ...]]
STAMPS = ("2026112814011658", "2026112814011704", "2026112814011741")


def events(source: Source | Path) -> tuple[Events, str | None]:
    """Return time, kind, pfn and comm of the rows of a recording that are no BOOT, and why it was cut."""
    with open_recording(source) as recording:
        batches = list(recording.parser.batches())
        cut = recording.parser.account.truncated
    rows = to_arrow(concat(batches)).to_pylist() if batches else []
    kept = [row for row in rows if row["kind"] != Kind.BOOT]
    return [(row["trace_ts_nsec"], row["kind"], row["pfn"], row["comm"]) for row in kept], cut


def frees(*times: int, cpu: int = 0, tid: int = 7) -> list[bytes]:
    return [MADE.sample(FREE, ts, ts, 0, cpu=cpu, tid=tid) for ts in times]


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


SPLIT = [
    [MADE.comm(0, 7, "first"), *frees(10, 20), ROUND],
    [MADE.comm(0, 8, "new"), *frees(15, cpu=1), *frees(30, tid=8), MADE.comm(31, 7, "later"), ROUND],
    [MADE.comm(0, 7, "fresh"), *frees(40), *frees(40, cpu=1, tid=8), ROUND],
]
AS_ONE = [
    (10, Kind.FREE, 10, "first"), (15, Kind.FREE, 15, "first"), (20, Kind.FREE, 20, "first"), (30, Kind.FREE, 30, "new"),
    (40, Kind.FREE, 40, "fresh"), (40, Kind.FREE, 40, "new"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["files", "folder", "one behind another", "packed"])
def test_outputs_of_a_switch_are_one_recording_in_order_of_time(way: str, tmp_path: Path) -> None:
    files = [MADE.file(records) for records in SPLIT]
    if way == "packed":
        packed = mk.packed([b"".join(records) for records in SPLIT], step=1 << 16)
        files = [MADE.file([record, ROUND]) for record in packed]
    paths = written(tmp_path, {f"perf.data.{stamp}": data for stamp, data in zip(STAMPS, files, strict=False)})
    whole = written(tmp_path, {"whole": b"".join(files)})[0] if way == "one behind another" else None
    source = whole or (tmp_path if way == "folder" else outputs_of(paths))
    assert events(source) == (AS_ONE if way != "packed" else events(source)[0], None)
    assert [one[:3] for one in events(source)[0]] == [one[:3] for one in AS_ONE]


def test_records_of_threads_are_merged_by_time(tmp_path: Path) -> None:
    times = [range(100 + cpu, 60_000, 2) for cpu in range(2)]
    threads = {f"data.{cpu}": b"".join(frees(*times[cpu], cpu=cpu)) for cpu in range(2)}
    written(tmp_path, {"data": MADE.file([MADE.comm(0, 7, "first")]), **threads})
    found, cut = events(tmp_path)
    assert [one[0] for one in found] == sorted(ts for each in times for ts in each)
    assert ({one[3] for one in found}, cut) == ({"first"}, None)


def test_a_file_that_was_cut_does_not_run_into_the_next_one(tmp_path: Path) -> None:
    whole, behind = MADE.pipe(SPLIT[0]), MADE.pipe(SPLIT[2])
    paths = written(tmp_path, {f"perf.data.{STAMPS[0]}": whole[:-20], f"perf.data.{STAMPS[1]}": behind})
    found, cut = events(outputs_of(paths))
    assert found[0] == AS_ONE[0]
    assert "a record ends behind" in str(cut)
    assert Kind.GAP in [one[1] for one in found]
    assert 40 not in [one[0] for one in found]


def killed(data: bytes, *records: bytes) -> bytes:
    """Return a file as perf leaves it that is killed: with records, and nothing behind them."""
    (start,) = struct.unpack_from("<Q", data, 40)
    return data[:48] + bytes(8) + data[56:start] + b"".join(records)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_several_files_the_last_may_be_of_a_perf_that_was_killed(count: int, tmp_path: Path) -> None:
    last = [MADE.comm(0, 7, "fresh"), *frees(40, 50)[:count]]
    files = [MADE.file(SPLIT[0]), MADE.file(SPLIT[1]), killed(MADE.file(SPLIT[2]), *last)]
    paths = written(tmp_path, {f"perf.data.{stamp}": data for stamp, data in zip(STAMPS, files, strict=True)})
    found, cut = events(outputs_of(paths))
    assert [one for one in found if one[1] == Kind.FREE] == [
        *AS_ONE[:4], *[(ts, Kind.FREE, ts, "fresh") for ts in (40, 50)[:count]]
    ]  # fmt: skip
    assert [one[1] for one in found].count(Kind.GAP) == 1
    assert "at byte" in str(cut)


def test_what_is_wrong_with_one_of_several_files_is_said_with_its_name(tmp_path: Path) -> None:
    other = replace(MADE, events=(FREE,))
    for last, said in (
        (MADE.file(SPLIT[1])[:60], "expected a whole perf.data, found the end of the file, at byte 60"),
        (killed(other.file([])), "found other events or another machine in it than in the first"),
    ):
        paths = written(tmp_path, {f"perf.data.{STAMPS[0]}": MADE.file(SPLIT[0]), f"perf.data.{STAMPS[1]}": last})
        with pytest.raises(InputError, match=said) as refused:
            events(outputs_of(paths))
        assert str(refused.value).startswith(f"perf.data.{STAMPS[1]}: ")


def test_files_of_two_recordings_are_refused_as_one(tmp_path: Path) -> None:
    other = replace(MADE, host="elsewhere").file(SPLIT[1])
    paths = written(tmp_path, {f"perf.data.{STAMPS[0]}": MADE.file(SPLIT[0]), f"perf.data.{STAMPS[1]}": other})
    with pytest.raises(
        InputError, match="expected the files of one perf record, found other events or another machine"
    ):
        events(outputs_of(paths))


def test_what_one_perf_record_wrote_is_told_by_name_and_content(tmp_path: Path) -> None:
    data = MADE.file(SPLIT[0])
    paths = written(tmp_path, {f"perf.data.{stamp}": data for stamp in STAMPS[:2]})
    other = written(tmp_path, {f"other.{STAMPS[0]}": data, f"trace.{STAMPS[0]}": b"text\n", "perf.data": data})
    given = [str(path) for path in (paths[1], other[0], paths[0], *other[1:])]
    assert outputs_among(given) == {
        str(paths[1]): paths, str(other[0]): [other[0]], **{str(path): [path] for path in other[1:]}
    }  # fmt: skip
    assert outputs_in(tmp_path) is None  # there are other files in it


def test_outputs_are_stored_once_whichever_way_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    paths = written(tmp_path / "out", {f"perf.data.{s}": MADE.file(r) for s, r in zip(STAMPS, SPLIT, strict=True)})
    (first,) = ingest_all(tmp_path / "trail", paths)
    (again,) = ingest_all(tmp_path / "trail", tmp_path / "out")
    assert (first.duplicates, again.duplicates, first.origin) == (0, first.frames, again.origin)
