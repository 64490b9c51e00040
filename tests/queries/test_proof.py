"""An answer names the events that prove it, and the log holds them there."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.queries.questions.events import EVENTS_SCHEMA
from pagetrail.schemas.errors import BadArgument, NotFound
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.kernel import ModelKernel
from tests.oracles.answers import numbered
from tests.queries.test_answers import sample
from tests.stories import told

CONFIG = ModelConfig(weights={"dump": 5, "huge": 4, "migrate": 6})
FROM_A_DUMP = ("baseline", "early", "confirmed", "split by page ext")


def proofs(trail: Trail, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the event that began a state, and the one that its evidence goes back to."""
    (began,) = api.events(trail.path, row["log_offset"], [row["event"]]).to_pylist()
    (evidence,) = api.events(trail.path, row["evidence_log_offset"], [row["evidence_event"]]).to_pylist()
    assert (began["recording"], evidence["recording"]) == (row["recording"], row["evidence_recording"])
    return began, evidence


def pages_of(event: dict[str, Any]) -> range:
    return range(event["pfn"], event["pfn"] + (event["nr_pages"] or 1 << (event["order"] or 0)))


def check(trail: Trail, row: dict[str, Any]) -> tuple[str, str]:
    """Hold an answer against its events; return their kinds."""
    began, evidence = proofs(trail, row)
    assert began["trace_ts_nsec"] == row["begin_ts"]
    if row["how"] in FROM_A_DUMP:
        assert began["kind"] == "baseline_end"
    else:
        assert row["asked_pfn"] in pages_of(began)
    assert evidence["trace_ts_nsec"] >= row["evidence_ts"]
    if evidence["kind"] == "baseline_entry" and row["how"] != "migrate":
        assert row["asked_pfn"] in pages_of(evidence)
    elif evidence["kind"] in ("alloc", "isolate", "free", "drain", "refill"):
        assert evidence["trace_ts_nsec"] == row["evidence_ts"]
    if row["state"] == "owned" and evidence["kind"] in ("alloc", "isolate", "baseline_entry"):
        assert (evidence["pid"], evidence["gfp_mask"]) == (row["pid"], row["gfp_mask"])
    return began["kind"], evidence["kind"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(effort(1, 20)))
def test_the_event_that_an_answer_names_is_where_it_says_and_says_what_is_answered(seed: int, tmp_path: Path) -> None:
    history = ModelKernel(seed, config=CONFIG).run(400)
    trail = told(tmp_path / "trail", numbered(history.events), correct=seed % 2 == 0, floor=600)
    kinds: Counter[tuple[str, str]] = Counter()
    for at in ("-0s", "-300ms", "-1s"):
        for row in trail.owner(range(0, CONFIG.nr_pages, 2), at).to_pylist():
            if row["evidence"] not in ("none", "inferred"):
                kinds[check(trail, row)] += 1
    assert kinds["split", "alloc"] + kinds["split", "isolate"]
    assert kinds["migrate", "alloc"] + kinds["migrate", "baseline_entry"]
    assert kinds["baseline_end", "baseline_entry"]


def test_an_answer_of_a_real_recording_names_its_events(audited: Trail) -> None:
    kinds = Counter(
        check(audited, row)
        for row in audited.owner(sample(audited, 12, seed=4)[:-1], "@5-t5").to_pylist()
        if row["evidence"] != "none"
    )
    assert sum(kinds.values()) > 8


def test_without_its_log_a_trail_answers_and_says_that_the_event_is_not_there_any_more(
    audited: Trail, tmp_path: Path
) -> None:
    shutil.copytree(audited.path, tmp_path / "trail")
    shutil.rmtree(tmp_path / "trail" / "log")
    moved = api.open(tmp_path / "trail", correct=False)
    theirs, ours = (trail.owner([0x1802], "@5-t5").to_pylist()[0] for trail in (audited, moved))
    nowhere = dict.fromkeys(("log_partition", "log_offset", "evidence_log_partition", "evidence_log_offset"))
    assert theirs["log_offset"] is not None
    assert ours == theirs | nowhere


def test_the_events_of_a_frame_are_all_of_them_in_the_schema_that_is_documented(audited: Trail) -> None:
    frame = api.events(audited.path, 0)
    assert frame.schema.equals(EVENTS_SCHEMA)
    assert frame["seq"].to_pylist() == list(range(frame.num_rows))
    assert isinstance(frame, pa.Table)
    assert frame["kind"][0].as_py() == "recording_begin"


def test_what_is_not_in_the_log_is_not_found(audited: Trail) -> None:
    with pytest.raises(NotFound, match="the log holds offsets 0 to"):
        api.events(audited.path, 999)
    with pytest.raises(BadArgument, match="holds events 0 to"):
        api.events(audited.path, 0, [10**9])
