"""Questions while the store grows and changes shape: chains and tips, folds side by side, a replay at work; and without us."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.queries.export.parquet import export_spans
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.errors import NotFound
from pagetrail.schemas.owner import Evidence, How, State
from pagetrail.schemas.store.names import StoreFile
from pagetrail.schemas.store.tables import STORED, TABLES
from tests.oracles.packed import spans_of
from tests.queries.conftest import DEMO, fold, reframed

INSTANTS = ("12.5", "@2-t2", "23.75", "@4-t4")


FRAMES = 38
"""Of 62 of 4,096 events; the last of them ends in no dump, so there is a tip."""


def after(frames: int) -> Callable[[], bool]:
    """Return what stops a replay when so many frames are folded."""
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > frames  # once before the first read, and once after each frame

    return stop


def path_of(trail: Trail, file: StoreFile) -> Path:
    return store_of(trail.path).root / file.name


@pytest.mark.slow
def test_one_segment_or_many_answer_alike(audited: Trail, tmp_path: Path) -> None:
    api.ingest(tmp_path / "whole", DEMO)
    api.replay(tmp_path / "whole", correct=False)
    whole = api.open(tmp_path / "whole", correct=False)
    assert len(whole.stream().files) < len(audited.stream().files)
    for at in INSTANTS:
        assert whole.snapshot(at, everything=True).equals(audited.snapshot(at, everything=True))
    for pfn in (0x1802, 0x4D99, 300):
        assert whole.history(pfn).to_pylist() == audited.history(pfn).to_pylist()


@pytest.mark.slow
def test_a_stream_that_has_only_a_tip_answers(audited: Trail, chained: Path, tmp_path: Path) -> None:
    """GIVEN a replay that was stopped before anything was sealed WHEN asked THEN the tip answers, up to its horizon."""
    reframed(chained, tmp_path / "trail", frame_events=4_096)
    fold(tmp_path / "trail", correct=False, floor=10**9, stop=after(FRAMES))
    trail = api.open(tmp_path / "trail", correct=False)
    stream = trail.stream()
    assert [file.tip for file in stream.files] == [True]
    assert trail.streams().to_pylist()[0]["tip"]
    for at in ("12.5", "@1-boot"):
        assert trail.snapshot(at, everything=True).equals(audited.snapshot(at, everything=True))
    with pytest.raises(NotFound, match="horizon"):
        trail.owner([300], audited.stream().horizon)


@pytest.mark.slow
def test_a_trail_that_was_opened_answers_after_its_tip_was_replaced(chained: Path, tmp_path: Path) -> None:
    reframed(chained, tmp_path / "trail", frame_events=4_096)
    fold(tmp_path / "trail", correct=False, floor=10**9, stop=after(FRAMES))
    before = api.open(tmp_path / "trail", correct=False)
    expected = before.snapshot("12.5").to_pylist()
    fold(tmp_path / "trail", correct=False, floor=10**9)
    assert api.open(tmp_path / "trail", correct=False).snapshot("12.5").to_pylist() == expected
    assert before.snapshot("12.5").to_pylist() == expected


def test_both_folds_stand_side_by_side(chained: Path) -> None:
    correct, audited = (api.open(chained, correct=value) for value in (True, False))
    assert [row["applied"] for row in correct.audits().to_pylist()] == [True] * 5
    assert [row["applied"] for row in audited.audits().to_pylist()] == [True, False, False, False, False]
    digests = {trail.streams()["digest"][0].as_py() for trail in (correct, audited)}
    assert len(digests) == 2
    assert api.open(chained).streams().equals(correct.streams())  # where nobody says, the one that dumps corrected
    assert correct.snapshot("@1-boot").select(["pfn", "pid", "order"]) == audited.snapshot("@1-boot").select(
        ["pfn", "pid", "order"]
    )


def test_a_corrected_fold_is_never_less_sure(chained: Path) -> None:
    shares = {}
    for correct in (True, False):
        rows = api.open(chained, correct=correct).snapshot("@5-t5").to_pylist()
        shares[correct] = sum(row["nr_pages"] for row in rows if row["certain"])
    assert shares[True] >= shares[False]


@pytest.mark.slow
def test_questions_are_answered_while_a_replay_follows_the_log(ingested: Path, audited: Trail) -> None:
    """GIVEN a replay at work in another process WHEN asked again and again THEN answers grow, and are never wrong."""
    command = [sys.executable, "-m", "pagetrail", "replay", "--no-correct", "--follow", "--trail", str(ingested)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as replay:
        try:
            deadline = time.monotonic() + 90
            horizon = -1
            while horizon < audited.stream().horizon and time.monotonic() < deadline:
                assert replay.poll() is None
                try:
                    trail = api.open(ingested, correct=False)
                except NotFound:  # nothing yet
                    time.sleep(0.05)
                    continue
                assert trail.stream().horizon >= horizon
                horizon = trail.stream().horizon
                if horizon >= 12_500_000_000:
                    assert trail.owner([300, 0x1802], "12.5")["pid"].equals(audited.owner([300, 0x1802], "12.5")["pid"])
            assert horizon == audited.stream().horizon
            assert trail.snapshot("@4-t4").num_rows > 0
        finally:
            os.kill(replay.pid, signal.SIGTERM)
            assert replay.wait(60) == 0
            assert replay.stderr is not None
            assert b"Traceback" not in replay.stderr.read()


# -- without us --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[0, -1], ids=["first", "last"])
def segment(request: pytest.FixtureRequest, audited: Trail) -> Path:
    return path_of(audited, audited.stream().files[request.param])


def test_each_table_and_column_of_a_segment_says_what_it_is(segment: Path) -> None:
    with duckdb.connect(str(segment), read_only=True) as db:
        tables = dict(db.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        views = dict(db.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        columns = db.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    assert set(tables) == set(STORED)
    assert set(views) == {"spans", "live"}
    assert tables | views == {table.name: table.doc for table in TABLES}
    for table in TABLES:
        assert tuple(column[1:] for column in columns if column[0] == table.name) == table.columns


def test_views_show_what_runs_and_events_say(segment: Path) -> None:
    with duckdb.connect(str(segment), read_only=True) as db:
        tables = {name: db.sql(f"FROM {name}").to_arrow_table() for name in STORED}
        views = {name: db.sql(f"FROM {name}").to_arrow_table().to_pylist() for name in ("spans", "live")}
    said = spans_of(tables)
    assert sum(map(len, said)) > 100
    for name, rows in zip(("spans", "live"), said, strict=True):
        assert sorted(map(_words_of, views[name])) == sorted(map(_words_of, rows))


def _words_of(row: dict[str, object]) -> list[str]:
    return [f"{name} {row[name]}" for name in sorted(row)]


def test_times_say_their_unit_and_clock(segment: Path) -> None:
    with duckdb.connect(str(segment), read_only=True) as db:
        found = db.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal "
            "AND (column_name LIKE '%ts%' OR column_name LIKE 't\\_%' ESCAPE '\\')"
        ).fetchall()
    times = [(table, column, comment) for table, column, comment in found if column not in ("events", "counts")]
    assert len(times) > 15
    assert [row for row in times if "ns" not in row[2] or "clock" not in row[2]] == []


def test_the_table_words_explains_every_code_that_is_used(segment: Path) -> None:
    fields = {"state": "state", "evidence": "evidence", "how": "how", "end_how": "end_how"}
    with duckdb.connect(str(segment), read_only=True) as db:
        for column, field in fields.items():
            for table in ("spans", "live"):
                silent = db.execute(
                    f"SELECT DISTINCT {column} FROM {table} WHERE NOT EXISTS "
                    f"(SELECT 1 FROM words WHERE field = '{field}' AND code = {column})"
                ).fetchall()
                assert silent == []
        words = {
            (field, code): word for field, code, word in db.execute("SELECT field, code, word FROM words").fetchall()
        }
        kinds = db.execute("SELECT kind FROM anomalies").fetchall()
    for enum, field in ((State, "state"), (Evidence, "evidence"), (How, "how")):
        assert {int(member): words[field, member] for member in enum}.keys() == {int(member) for member in enum}
    assert all(("kind", kind) in words for (kind,) in kinds)


def test_every_span_is_in_the_segment_of_every_instant_that_it_covers(audited: Trail) -> None:
    """So a question about an instant reads one file."""
    files = audited.stream().files
    for earlier, later in pairwise(files):
        with duckdb.connect() as db:
            db.execute(f"ATTACH '{path_of(audited, earlier)}' AS a (READ_ONLY)")
            db.execute(f"ATTACH '{path_of(audited, later)}' AS b (READ_ONLY)")
            cover = "SELECT pfn + unnest(range(nr_pages)), begin_seq, kernel_view FROM"
            ((lost,),) = db.execute(
                f"SELECT count(*) FROM ({cover} a.live EXCEPT ({cover} b.spans UNION ALL {cover} b.live))"
            ).fetchall()
            assert lost == 0


def test_exported_spans_are_those_of_the_segments_in_words(audited: Trail, tmp_path: Path) -> None:
    stream = audited.stream()
    written = export_spans([stream], tmp_path)
    exported = pa.concat_tables([pq.ParquetFile(path).read() for path in written])
    words: Counter[tuple[object, ...]] = Counter()
    for position, file in enumerate(stream.files):
        last = position == len(stream.files) - 1
        with duckdb.connect(str(path_of(audited, file)), read_only=True) as db:
            source = "spans" + (" UNION ALL SELECT * FROM live" if last else "")
            words.update(
                db.execute(f"SELECT pfn, nr_pages, begin_seq, pid, state FROM (SELECT * FROM {source})").fetchall()
            )
    codes = {state.name.lower(): int(state) for state in State}
    columns = [exported[name].to_pylist() for name in ("pfn", "nr_pages", "begin_seq", "pid")]
    states = [codes[word] for word in exported["state"].to_pylist()]
    assert Counter(zip(*columns, states, strict=True)) == words
    assert set(exported["host"].to_pylist()) == {"host-b"}
    assert exported["end_ts"].null_count == sum(seq is None for seq in exported["end_seq"].to_pylist()) > 0
    assert not list(tmp_path.rglob("*.writing"))


def test_a_chain_has_no_hole_and_no_overlap(chained: Path) -> None:
    for correct in (True, False):
        files = api.open(chained, correct=correct).stream().place.chain()
        assert files[0].first_seq == 0
        assert all(later.first_seq == earlier.last_seq + 1 for earlier, later in pairwise(files))


def test_a_store_of_another_format_is_left_alone_and_replay_makes_one_beside_it(ingested: Path, tmp_path: Path) -> None:
    shutil.copytree(ingested, trail := tmp_path / "trail")
    shutil.rmtree(trail / "segments", ignore_errors=True)
    older = trail / "segments" / "host" / "boot" / "fold7" / "0-1.duckdb"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"of format 4")
    with pytest.raises(NotFound, match=r"of another format .* run 'pagetrail replay'"):
        api.open(trail)
    api.replay(trail)
    assert api.open(trail).streams().num_rows == 1
    assert older.read_bytes() == b"of format 4"
