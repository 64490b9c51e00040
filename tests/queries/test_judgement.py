"""A judgement is codes; what is made of them is what its words would have given."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagetrail import api
from pagetrail.queries.core.judgement import Judgement, Reason
from pagetrail.queries.core.row_columns import ROW_SCHEMA, unknown_records
from pagetrail.queries.core.rows import Asked, rows_at
from pagetrail.queries.core.runs import Rows, joined
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.details import Gap
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.owner import DOUBT_DTYPE, DOUBT_TEXT, RUN_DTYPE
from tests.oracles.runs import joined_by_words

SECTION = 16
"""Pages a section."""


def few(*values: int) -> st.SearchStrategy[int]:
    """Return a choice of few values, so that neighbours are often equal."""
    return st.sampled_from(values)


FACTS = st.lists(few(0, 1, 2), min_size=2, max_size=3).map(
    lambda kinds: Facts(
        gaps=[
            (seq, (None, 1, 1)[kind], Gap(t_lo=1, t_hi=5, lost=(None, None, 6)[kind], reason="the ring was full"))
            for seq, kind in enumerate(kinds)
        ]
    )
)
"""Facts with losses; some of these read the same."""


@st.composite
def doubts(draw: st.DrawFn) -> NDArray[np.void]:
    """Return doubts; some of them read the same."""
    found = draw(st.lists(st.tuples(st.sampled_from(sorted(DOUBT_TEXT)[:2]), few(7, 8)), min_size=2, max_size=3))
    rows = np.zeros(len(found), DOUBT_DTYPE)
    for row, (reason, seq) in zip(rows, found, strict=True):
        row["reason"], row["seq"] = reason, seq
    return rows


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Runs by pfn, the kernel's records, and how sure the runs are."""

    rows: Rows
    kernel_records: NDArray[np.void]
    judgement: Judgement


@st.composite
def judged_runs(draw: st.DrawFn) -> Judged:
    """Return runs, most of them side by side, each like the one before in all but one thing; rules need not allow them."""
    known, doubted = draw(FACTS), draw(doubts())
    reasons = st.sets(st.sampled_from([Reason.GAP, Reason.DOUBT, Reason.SPLIT, Reason.INFERRED]))
    choices = {
        "lost": few(0, 1, 63), "reasons": reasons.map(sum), "begin": few(3, 4),
        "gap": st.integers(0, len(known.gaps) - 1),
        "doubt": st.integers(0, doubted.size - 1),
        "kernel_row": few(-1, 0, 1, 2), "generation": few(1, 2), "pid": few(5, 6), "nr_pages": few(1, 2), "hole": few(0, 1),
    }  # fmt: skip
    first = draw(st.fixed_dictionaries(choices))
    told = [first]
    for name in draw(st.lists(st.sampled_from(["nothing", "gap", "doubt", *choices]), max_size=12)):
        told.append(told[-1] | ({} if name == "nothing" else {name: draw(choices[name])}))

    def column(name: str, dtype: type) -> NDArray[np.generic]:
        return np.array([row[name] for row in told], dtype)

    runs, records = np.zeros(len(told), RUN_DTYPE), unknown_records(len(told))
    for name in ("nr_pages", "generation"):
        runs[name] = column(name, np.int64)
    runs["pfn"] = np.cumsum(runs["nr_pages"] + column("hole", np.int64)) - runs["nr_pages"]
    records["pid"], records["evidence_ts"] = column("pid", np.int64), column("begin", np.int64)
    kernel_records = unknown_records(3)
    kernel_records["pid"] = [1, 1, 2]
    return Judged(
        rows=Rows(runs=runs, records=records, kernel_row=column("kernel_row", np.int64)),
        kernel_records=kernel_records,
        judgement=Judgement(
            lost=column("lost", np.int16), reasons=column("reasons", np.int32), gap=column("gap", np.int64),
            doubt=column("doubt", np.int64), begin=column("begin", np.int64), facts=known, doubts=doubted,
        ),
    )  # fmt: skip


@given(judged_runs(), st.sets(st.integers(0, 12), max_size=3))
def test_runs_are_joined_by_codes_as_they_would_be_by_words(judged: Judged, borders: set[int]) -> None:
    rows, records, before = judged.rows, judged.kernel_records, judged.judgement
    uncertain, why = before.uncertain().to_pylist(), before.why().to_pylist()
    expected = joined_by_words(rows, records, uncertain, why, SECTION, borders)
    found, judgement = joined(rows, records, before, SECTION, np.array(sorted(borders), np.int64))
    runs = zip(found.runs["pfn"].tolist(), found.runs["nr_pages"].tolist(), strict=True)
    assert list(runs) == [(pfn, pages) for pfn, pages, _ in expected]
    assert judgement.why().to_pylist() == [why[i] for _, _, i in expected]
    assert judgement.uncertain().to_pylist() == [uncertain[i] for _, _, i in expected]
    assert found.records.tolist() == [rows.records[i].item() for _, _, i in expected]


@given(judged_runs(), st.data())
def test_words_of_some_rows_are_the_words_of_those_rows(judged: Judged, data: st.DataObject) -> None:
    judgement = judged.judgement
    which = np.array(data.draw(st.lists(st.integers(0, judgement.lost.size - 1))), np.int64)
    some = judgement.take(which)
    assert some.why() == judgement.why().take(which)
    assert some.uncertain() == judgement.uncertain().take(which)
    assert some.certain.tolist() == [names == [] for names in some.uncertain().to_pylist()]


def test_each_reason_and_each_doubt_reads_differently() -> None:
    doubt = np.zeros(1, DOUBT_DTYPE)
    doubt["reason"] = min(DOUBT_TEXT)
    size = len(Reason)
    judged = Judgement(
        lost=np.ones(size, np.int16), reasons=np.array(list(Reason), np.int32), gap=np.zeros(size, np.int64),
        doubt=np.zeros(size, np.int64), begin=np.zeros(size, np.int64), doubts=doubt,
        facts=Facts(gaps=[(0, None, Gap(t_lo=1, t_hi=2, reason="lost"))]),
    )  # fmt: skip
    assert len(set(judged.why().to_pylist())) == size
    assert len(set(DOUBT_TEXT.values())) == len(DOUBT_TEXT)


@pytest.mark.parametrize("at", ["12.5", "@4-t4"])
def test_columns_that_are_asked_for_are_those_of_all(audited: api.Trail, at: str) -> None:
    stream = audited.stream()
    whole = rows_at(stream, stream.instant(at), Asked(everything=True))
    assert whole.schema.equals(ROW_SCHEMA, check_metadata=True)
    for columns in (["why"], ["certain", "pfn"], ["kernel_says", "stack"], ROW_SCHEMA.names[::-3]):
        found = rows_at(stream, stream.instant(at), Asked(everything=True, columns=columns))
        assert found.equals(whole.select(columns))
        assert found.schema.equals(whole.select(columns).schema, check_metadata=True)
    pfns = whole["pfn"].to_pylist()[::50]
    some = rows_at(stream, stream.instant(at), Asked(pfns=pfns))
    assert rows_at(stream, stream.instant(at), Asked(pfns=pfns, columns=["nr_pages"])).equals(some.select(["nr_pages"]))


def lose_texts(file: Path) -> None:
    """Damage the blocks of a segment that hold its texts, and no others: its tables are there, and these cannot be read."""
    lost = "<lost>" * 2000  # so long that it has blocks of its own
    with duckdb.connect(str(file)) as db:
        db.execute("PRAGMA force_compression = 'uncompressed'")
        db.execute(f"UPDATE stacks SET frames = '{lost}', raw = '{lost}'; UPDATE comms SET comm = '{lost}'; CHECKPOINT")
    content = file.read_bytes()
    many = 500
    assert b"<lost>" * many in content
    file.write_bytes(content.replace(b"<lost>" * many, b"<LOST>" * many))


@pytest.mark.slow
def test_a_question_reads_the_texts_that_it_shows_and_no_others(chained: Path, tmp_path: Path) -> None:
    """GIVEN segments that have lost their texts THEN whatever shows none is answered as before."""
    trail = tmp_path / "trail"
    shutil.copytree(chained, trail)
    whole = api.open(chained)
    for file in trail.rglob("*.duckdb"):
        file.chmod(0o600)
        lose_texts(file)
    bare = api.open(trail)
    assert bare.top("@4-t4", "order").equals(whole.top("@4-t4", "order"))
    assert bare.leaks("@2-t2", "@4-t4", "order").equals(whole.leaks("@2-t2", "@4-t4", "order"))
    for by in ("comm", "stack", "pid"):  # a pid has a name
        with pytest.raises(SegmentDamaged, match="checksum"):
            bare.top("@4-t4", by)
