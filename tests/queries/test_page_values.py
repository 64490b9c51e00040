"""What clients of page_ext held of a page is answered for any instant, from a chain of segments."""

import random
from pathlib import Path

import numpy as np
import pytest

from pagetrail import api
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.text.owner import owner_text
from tests.model.config import ModelConfig
from tests.model.kernel import History, ModelKernel
from tests.model.page_ext import PageState
from tests.model.recording import ModelHost, ModelRecording, model_recording
from tests.queries.conftest import fold

CONFIG = ModelConfig(flags=True, weights={"guards": 6, "offline": 6, "online": 6})
HOST = ModelHost(host="model", seed=11, events=1500, boot_id="boot")


@pytest.fixture(scope="module")
def told() -> History:
    return ModelKernel(HOST.seed, config=CONFIG).run(HOST.events)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> api.Trail:
    folder: Path = tmp_path_factory.mktemp("flags") / "trail"
    recording = model_recording(ModelRecording(HOST, config=CONFIG))
    with SqliteLogWriter(folder) as log:
        ingest(recording, origin_of(recording, producer_version="1"), log)
    fold(folder, correct=True, floor=400)
    opened = api.open(folder)
    assert len(opened.stream().files) > 4
    return opened


@pytest.mark.slow
def test_flags_of_any_instant_are_those_that_the_pages_had_then(trail: api.Trail, told: History) -> None:
    times = sorted(random.Random(1).sample(np.unique(told.events.columns["trace_ts_nsec"]).tolist(), 25))
    rows = [int(np.searchsorted(told.events.columns["trace_ts_nsec"], ts, side="right")) - 1 for ts in times]
    known = 0
    for ts, truth in zip(times, told.journal.truths(rows), strict=True):
        answers = trail.owner(list(range(CONFIG.nr_pages)), ts)["page_ext"].to_pylist()
        for page, said in enumerate(answers):
            real = truth.actual.pages[page]
            assert [value["field"] for value in said] == (
                [] if real["state"] == PageState.ABSENT else ["poison", "guard"]
            )
            for value in said:
                assert value["value"] in (None, int(real[value["field"]])), (ts, page, value)
                assert (value["value"] is None) == (value["begin_ts"] is None) == (value["evidence"] == "none")
                assert value["begin_ts"] is None or value["begin_ts"] <= ts
                known += value["value"] is not None
    assert known


def test_no_flag_is_certain_as_no_recording_can_declare_that_it_saw_all(trail: api.Trail) -> None:
    answers = trail.owner(list(range(CONFIG.nr_pages)), "-0s")["page_ext"].to_pylist()
    said = [value for values in answers for value in values]
    assert said
    assert not any(value["certain"] for value in said)


def test_owner_shows_flags_with_the_event_that_told_of_them(trail: api.Trail) -> None:
    row = next(
        row for row in trail.owner(list(range(CONFIG.nr_pages)), "-0s").to_pylist()
        if {value["field"]: value["value"] for value in row["page_ext"]} == {"poison": 1, "guard": None}
    )  # fmt: skip
    text = owner_text(row, trail.wall_time("-0s"))
    assert "  page_ext  debug.poison: 1, observed at " in text
    assert "            debug.guard: unknown (advisory)" in text
