"""Pairs of a file are answered row by row, and bad rows are errors of their own."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pagetrail
from pagetrail import api
from tests.commands.conftest import Run

PAIRS = 'pfn,time,comm,note\n0x1802,@5-t5,cat,one\n19865,30s,dd,"two, or\n three"\n1073741824,-0s,,\n'
COLUMNS = ("asked_pfn", "asked_ts", "state", "pid", "comm", "certain")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.csv"
    file.write_text(PAIRS)
    return file


def test_each_pair_has_the_answer_of_owner_beside_what_was_given(run: Run, pairs: Path, demo_trail: Path) -> None:
    done = run("owners", pairs)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["given_pfn"], row["time"], row["given_comm"], row["note"]) for row in rows] == [
        ("0x1802", "@5-t5", "cat", "one"), ("19865", "30s", "dd", "two, or\n three"), ("1073741824", "-0s", "", ""),
    ]  # fmt: skip
    trail = pagetrail.open(demo_trail)
    for row, (pfn, at) in zip(rows, [(0x1802, "@5-t5"), (19865, "30s"), (1 << 30, "-0s")], strict=True):
        (answer,) = trail.owner([pfn], at).to_pylist()
        assert row["uncertain"] == " ".join(answer["uncertain"])
        for name in ("asked_pfn", "asked_ts", "pfn", "state", "pid", "comm", "stack", "why", "log_offset"):
            assert row[name] == ("" if answer[name] is None else str(answer[name]))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow"])
def test_the_end_of_the_name_says_what_is_written(run: Run, pairs: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out.{suffix}"
    assert run("owners", pairs, "-o", output, "--columns", ",".join(COLUMNS)).returncode == 0
    if suffix == "parquet":
        rows = pq.read_table(output).to_pylist()
    elif suffix == "arrow":
        rows = pa.ipc.open_stream(output.read_bytes()).read_all().to_pylist()
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert list(rows[0]) == ["pfn", "time", "given_comm", "note", *COLUMNS, "error"]
    assert [str(row["asked_pfn"]) for row in rows] == ["6146", "19865", "1073741824"]
    assert [row["state"] for row in rows][::2] == ["owned", "absent"]


def test_parquet_of_numbers_and_csv_of_texts_are_answered_alike(run: Run, tmp_path: Path, demo_trail: Path) -> None:
    at = pagetrail.open(demo_trail).instant("30s")
    pq.write_table(
        pa.table({"pfn": pa.array([6146, 19865], pa.uint64()), "time": [at, at]}), tmp_path / "pairs.parquet"
    )
    found = run("owners", tmp_path / "pairs.parquet", "--columns", ",".join(COLUMNS))
    text = run(
        "owners", "-", "--columns", ",".join(COLUMNS), stdin=f"\ufeffpfn,time\r\n6146,{at}\r\n0x4d99,30.0\r\n".encode()
    )
    cut = [[line.split(",", 2)[2] for line in done.stdout.splitlines()] for done in (found, text)]
    assert cut[0] == cut[1]
    assert len(cut[0]) == 3


def test_a_bad_row_is_named_with_its_line_and_loses_no_other(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(
        b'pfn,time,note\n0x1802,@5-t5,"a\nb"\n\nsix,@5-t5,c\n7,99h,d\n8,@5-t5\n9,@5-t5,\xff\n0x4d99,@5-t5,e\n'
    )
    done = run("owners", file, "--columns", "state")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 2
    assert [row["state"] for row in rows] == ["owned", "", "", "", "", "owned"]
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, True, False]
    places = [line.split(": ")[0] for line in done.stderr.splitlines()]
    assert places[:-1] == [f"{file}:{line}" for line in (5, 6, 7, 8)]
    for line, row in zip(done.stderr.splitlines(), rows[1:], strict=True):
        assert row["error"] in line or line.startswith("4 of 6 pairs")
    assert "expected 3 fields, found 2" in done.stderr
    assert "horizon" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "expected a header line"),
        ("a.csv", "pfn,when\n1,2\n", "found: pfn, when"),
        ("a.csv", "pfn,time,x,x\n1,2,3,4\n", "twice"),
        ("a.csv", "pfn,time,stream,host\n1,2,3,4\n", "found both"),
        ("a.parquet", "pfn,time\n", "expected a Parquet file"),
        ("a.txt", "pfn,time\n", "NAME.csv, NAME.parquet"),
    ],
)
def test_what_is_no_file_of_pairs_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    done = run("owners", tmp_path / name, "-o", tmp_path / "out.csv")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_a_file_is_not_written_over_itself_and_names_say_what_they_mean(run: Run, pairs: Path, tmp_path: Path) -> None:
    assert run("owners", pairs, "-o", pairs).returncode == 2
    assert pairs.read_text() == PAIRS
    assert run("owners", pairs, "-o", tmp_path / "out.xls").returncode == 2
    assert "expected some of asked_pfn" in run("owners", pairs, "--columns", "state,who").stderr


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_parts_of_a_file_are_the_file(pairs: Path, tmp_path: Path, rows: int) -> None:
    pq.write_table(pa.table({"pfn": [1, 2, 3], "time": [4, 5, 6]}), tmp_path / "pairs.parquet")
    for file in (pairs, tmp_path / "pairs.parquet"):
        (whole,) = api.read_pairs(file)
        parts = list(api.read_pairs(file, rows=rows))
        assert pa.concat_tables([part.pairs for part in parts]).equals(whole.pairs)
        assert [number for part in parts for number in part.numbers] == [*whole.numbers]
        assert max(part.pairs.num_rows for part in parts) <= rows
