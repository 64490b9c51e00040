"""Many (page, time) pairs are answered as each of them alone: every column, in every kind of history."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.queries.core import instant
from pagetrail.queries.core.runs import overlaps
from pagetrail.queries.pairs import asked as asked_pairs
from pagetrail.queries.pairs.asked import files_of, last_of
from pagetrail.queries.pairs.given import instants_of, pfns_of
from pagetrail.queries.questions.owner import ANSWER_SCHEMA
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.owner import RUN_DTYPE
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.damage import lose_stretches, lossy_ring, skew, without_probes
from tests.model.kernel import History, ModelKernel
from tests.oracles.answers import numbered
from tests.queries.test_answers import INSTANTS, sample
from tests.stories import told

SEEDS = range(effort(1, 40))
STEPS, FLOOR, PAIRS = 200, 250, effort(80, 120)

PLAIN = ModelConfig()

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of history: the machine, and what is done to its recording."""

    config: ModelConfig = PLAIN
    damage: Callable[[History, int], EventBatch] = lambda history, seed: history.events
    correct: bool = True
    skew: int = 0


KINDS = {
    "dumps and hotplug": Kind(ModelConfig(weights={"dump": 8, "offline": 9, "online": 9})),
    "dumps that correct nothing": Kind(ModelConfig(weights={"dump": 8, "migrate": 6}), correct=False),
    "early pages, huge pages": Kind(ModelConfig(page_owner_step=60, weights={"bulk": 6, "huge": 6, "migrate": 3})),
    "flags": Kind(ModelConfig(flags=True, weights={"guards": 5, "offline": 6, "online": 6})),
    "flat memory": Kind(ModelConfig(memory_model="FLATMEM", flags=True)),
    "losses": Kind(ModelConfig(weights={"dump": 4}), lambda history, seed: lose_stretches(history, seed).events),
    "a lossy ring": Kind(ModelConfig(cpus=4), lambda history, seed: lossy_ring(history, seed).events),
    "no probes": Kind(damage=lambda history, seed: without_probes(history, ("migrate", "isolate", "split")).events),
    "skewed clocks": Kind(
        ModelConfig(cpus=4), lambda history, seed: skew(history, seed, bound=5_000_000).events, skew=5_000_000
    ),
}


def pairs_of(trail: Trail, pages: int, seed: int, count: int) -> list[tuple[int, str | int]]:
    """Return pairs at random: also of pages that were never there, of markers, and from before the first event."""
    rng, stream = random.Random(seed), trail.stream()
    first = stream.piece(stream.files[0]).first_ts
    dumps = [f"@{audit.name}" for audit in stream.history.audits if audit.view == "page_owner"]
    marks = [mark for mark in {*dumps} if dumps.count(mark) == 1] or ["-0s"]
    events = [int(ts) for ts in np.linspace(first, stream.horizon, 9)]
    times: list[Callable[[], str | int]] = [
        lambda: rng.randint(first, stream.horizon), lambda: rng.choice(events), lambda: first - rng.randint(0, 9),
        lambda: rng.choice(marks), lambda: f"-{rng.randint(0, 90)}ms",
    ]  # fmt: skip
    return [(rng.randrange(pages + 70), rng.choices(times, (6, 2, 1, 2, 1))[0]()) for _ in range(count)]


def one_by_one(trail: Trail, pairs: list[tuple[int, str | int]], as_of: str | None = None) -> Iterator[Row]:
    for pfn, at in pairs:
        yield from trail.owner([pfn], at, as_of=as_of).to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", KINDS)
def test_pairs_are_answered_as_each_of_them_alone(
    name: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    history = ModelKernel(seed, config=kind.config).run(STEPS)
    events = numbered(kind.damage(history, seed), kind.skew)
    trail = told(tmp_path / "trail", events, correct=kind.correct, floor=FLOOR)
    pairs = pairs_of(trail, kind.config.nr_pages, seed, PAIRS)
    expected = list(one_by_one(trail, pairs))
    assert trail.owners(pairs).to_pylist() == expected
    assert trail.owners(pairs).schema.equals(ANSWER_SCHEMA, check_metadata=True)
    assert len({row["state"] for row in expected}) > 2
    monkeypatch.setattr(asked_pairs, "_AT_ONCE", 3)  # as if each had more rows than fit into memory
    assert trail.owners(pairs).to_pylist() == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dumps and hotplug", "losses", "skewed clocks"])
def test_as_of_a_time_pairs_are_answered_as_each_of_them_alone(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    history = ModelKernel(5, config=kind.config).run(STEPS)
    trail = told(tmp_path / "trail", numbered(kind.damage(history, 5), kind.skew), floor=FLOOR)
    stream = trail.stream()
    for share in (0.4, 0.8):
        first = stream.piece(stream.files[0]).first_ts
        as_of = int(first + share * (stream.horizon - first))
        pairs = [
            (pfn, at) for pfn, at in pairs_of(trail, kind.config.nr_pages, 1, 60) if isinstance(at, int) and at <= as_of
        ]
        assert trail.owners(pairs, as_of=as_of).to_pylist() == list(one_by_one(trail, pairs, str(as_of)))


@pytest.mark.slow
def test_pairs_of_a_real_recording_are_answered_as_each_of_them_alone(audited: Trail) -> None:
    rng = random.Random(3)
    pairs: list[tuple[int, str | int]] = [(pfn, rng.choice(INSTANTS)) for pfn in sample(audited, 60, seed=11)]
    assert audited.owners(pairs).to_pylist() == list(one_by_one(audited, pairs))


def test_columns_that_are_asked_for_are_those_of_all(audited: Trail) -> None:
    pairs = pa.table({"pfn": [4096, 1 << 30, 0x1802], "time": ["@2-t2", "33.125", "-0s"]})
    whole = audited.owners_of(pairs)
    for columns in (["why"], ["event", "state"], ["kernel_says", "asked_ts", "page_ext"]):
        found = audited.owners_of(pairs, columns=columns)
        assert found.select(columns).equals(whole.select(columns))
        assert found.column_names == ["pfn", "time", *columns, "error"]


# -- what is given -----------------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_read_or_answered_is_an_error_and_loses_no_other(audited: Trail) -> None:
    pairs = pa.table({
        "pfn": ["0x1802", "-1", "6146", "six", None, "0X1802", "6146"],
        "time": ["33.125", "33.125", "9999s", "33.125", "33.125", "then", "33.125"],
        "stream": [None, None, None, None, None, None, "nobody"],
        "comm": list("abcdefg"),
    })  # fmt: skip
    found = audited.owners_of(pairs)
    rows = found.to_pylist()
    assert [row["given_comm"] for row in rows] == list("abcdefg")
    assert [row["error"] is None for row in rows] == [True] + [False] * 6
    alone = audited.owner([0x1802], "33.125").to_pylist()[0]
    assert {name: rows[0][name] for name in alone if name != "pfn"} == {n: v for n, v in alone.items() if n != "pfn"}
    assert all(row[name] is None for row in rows[1:] for name in ANSWER_SCHEMA.names)
    for row in (2, 5):
        with pytest.raises((BadArgument, NotFound)) as error:
            audited.owner([6146], pairs["time"][row].as_py())
        assert rows[row]["error"] == str(error.value)


def test_rows_that_were_refused_are_not_asked(audited: Trail) -> None:
    pairs = pa.table({"pfn": [4096, 4097], "time": ["@2-t2", "@2-t2"]})
    states = audited.owners_of(pairs, refused={0: "a word"}).select(["state", "error"]).to_pylist()
    assert states[0] == {"state": None, "error": "a word"}
    assert states[1]["state"] is not None


@pytest.mark.parametrize(
    "columns", [{"pfn": [1]}, {"pfn": [1], "time": [1.5]}, {"pfn": [1], "time": [1], "given_pfn": [2]}]
)
def test_a_table_without_pairs_is_refused(audited: Trail, columns: dict[str, list[object]]) -> None:
    with pytest.raises(BadArgument, match="expected"):
        audited.owners_of(pa.table(columns))


TIMES = st.one_of(
    st.integers(-5, 40_000_000_000).map(str),
    st.decimals(0, 34, places=3).map(lambda value: f"{value}s"),
    st.decimals(0, 40, places=9).map(str),
    st.sampled_from(
        ["@2-t2", "-5s", "19s", "1_000", "٣", "", " 20s ", "20.s", "1m", "-0s", "1e3", "99999999999999999999"]
    ),
)


@given(st.lists(TIMES, max_size=12))
def test_times_in_a_column_are_those_of_each_text(audited: Trail, texts: list[str]) -> None:
    stream = audited.stream()
    found, errors = instants_of(stream, pa.chunked_array([pa.array(texts, pa.utf8())]))
    for row, text in enumerate(texts):
        if row in errors:
            with pytest.raises((BadArgument, NotFound), match=f"^{re.escape(errors[row])}$"):
                stream.instant(text)
        else:
            at = instant.Instants.of([stream.instant(text)])
            assert (found.ts[row], found.seq[row]) == (at.ts[0], at.seq[0])


@given(
    st.lists(
        st.one_of(st.integers(0, 1 << 53).map(str), st.integers(0, 1 << 53).map(hex), st.text(max_size=3)), max_size=9
    )
)
def test_pfns_in_a_column_are_those_of_each_text(texts: list[str]) -> None:
    found, errors = pfns_of(pa.chunked_array([pa.array(texts, pa.utf8())]))
    for row, text in enumerate(texts):
        number = (
            int(text, 0)
            if text.isascii() and ((text.isdecimal() and text.lstrip("0") == text) or text[:2] == "0x")
            else None
        )
        if number is not None and number < 1 << 52:
            assert (found[row], row in errors) == (number, False)


# -- searches ----------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5))), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)))
)
def test_overlaps_are_found_once_each(runs: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    def ranges(rows: list[tuple[int, int]]) -> NDArray[np.void]:
        found = np.zeros(len(rows), RUN_DTYPE)
        found["pfn"], found["nr_pages"] = np.array(rows, np.int64).reshape(-1, 2).T
        return found

    found = [
        pair for a, b in overlaps(ranges(runs), ranges(others)) for pair in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert sorted(found) == [
        (i, j) for i, (a, n) in enumerate(runs) for j, (b, m) in enumerate(others) if a < b + m and b < a + n
    ]


KEYED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=9)


@given(KEYED, KEYED)
def test_the_last_entry_of_a_key_is_the_one_that_a_look_at_all_finds(
    entries: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    keys, times = np.array(entries, np.int64).reshape(-1, 2).T
    wanted, at = np.array(asked, np.int64).reshape(-1, 2).T
    expected = [
        max((i for i, (k, t) in enumerate(entries) if k == key and t <= ts), key=lambda i: (times[i], i), default=-1)
        for key, ts in asked
    ]
    assert last_of(keys, times, wanted, at).tolist() == expected


def test_every_instant_is_answered_by_the_file_that_holds_it(audited: Trail) -> None:
    stream = audited.stream()
    edges = [ts + step for file in stream.files for ts in (stream.piece(file).first_ts, stream.piece(file).last_ts)
             for step in (-1, 0, 1)]  # fmt: skip
    instants = [instant.Instant(ts=ts) for ts in edges]
    instants += [instant.Instant(ts=0, seq=file.last_seq + step) for file in stream.files for step in (0, 1)]
    found = files_of(stream, instant.Instants.of(instants))
    assert found.tolist() == [stream.holding(at) for at in instants]


def test_no_pairs_make_an_answer_without_rows(audited: Trail) -> None:
    assert audited.owners([]).num_rows == 0
    none = pa.table({"pfn": pa.array([], pa.int64()), "time": pa.array([], pa.utf8())})
    assert audited.owners_of(none).num_rows == 0
    assert isinstance(audited, api.Trail)
