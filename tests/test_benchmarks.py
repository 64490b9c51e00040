"""The benchmark measures what it says, and the page of the docs says what was measured. How fast anything is, is not tested."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.performance.page import page, write
from benchmarks.performance.results import BYTES, CPU, RATE, SECONDS, Line, Results, read_results
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results" / "performance.json"
PAGE = REPOSITORY / "docs" / "performance.md"
TINY = (
    "--events",
    "2k",
    "--pages",
    "1k",
    "--live",
    "400",
    "--runs",
    "1",
    "--copies",
    "1",
    "--questions",
    "20",
    "--sizes",
    "1k,2k",
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return the results of a tiny run, which knows no recordings but the demo's."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "benchmarks.performance", *TINY, "--output", folder / "out.json", "--page", folder]
    environment = os.environ | {"PAGETRAIL_CAPTURES": str(folder / "none"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read_results(folder / "out.json")
    assert (folder / "performance.md").read_text() == page(found, drawn=True)
    assert (folder / "performance.svg").read_text().startswith("<svg ")
    for line in found.lines:
        assert f"{line.name}: {line.command}" in done.stdout
    return found


@pytest.mark.slow
def test_each_part_is_measured_with_its_command(measured: Results) -> None:
    parts = {line.part[0] for line in measured.lines}
    assert parts == set("123456")
    names = [line.name for line in measured.lines]
    assert len(set(names)) == len(names)
    assert {"Trail.owner", "Trail.owners", "Trail.snapshot", "Trail.top", "Trail.leaks", "pagetrail --help"} <= {*names}
    assert all(line.command for line in measured.lines)
    assert any("probes" in why for why in measured.left_out)


@pytest.mark.slow
def test_every_figure_is_a_positive_number_of_each_run(measured: Results) -> None:
    for line in measured.lines:
        assert line.figures
        for values in line.figures.values():
            assert len(values) == 1
            assert all(value > 0 for value in values)


@pytest.mark.slow
def test_a_replay_is_compared_with_its_limits_and_with_what_is_wanted(measured: Results) -> None:
    replay = measured.line("synthetic load: replay")
    assert {SECONDS, RATE, CPU} <= {*replay.figures}
    assert replay.goals[RATE] == ("at least", 3)
    assert len(replay.beside) == 2
    assert measured.line("synthetic load: store").figures[BYTES][0] > 0


@pytest.mark.slow
def test_a_snapshot_of_the_load_has_the_live_pages(measured: Results) -> None:
    (rows,) = measured.line("Trail.snapshot").figures["rows"]
    assert 400 - 400 // 64 - 1 <= rows <= 400


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    line = Line(
        part="1. A", name="a | b", command="c", figures={SECONDS: [1.0, 3.0, 2.0]}, goals={SECONDS: ("at most", 5)}
    )
    slow = Line(part="1. A", name="d", command="d", figures={SECONDS: [8.0]}, beside=["a | b"])
    kept = Results(
        machine={"date": "today"}, settings={"runs": "3"}, lines=[line, slow], left_out=["e: it is not there"]
    )
    kept.write(tmp_path / "kept.json")
    assert read_results(tmp_path / "kept.json") == kept
    (file,) = write(kept, tmp_path)
    text = file.read_text()
    assert "| a \\| b<br>`c` | 2 s | 1 to 3; at most 5 |" in text
    assert "4 times a \\| b" in text
    assert "- e: it is not there" in text


def test_the_page_of_the_docs_is_made_of_the_results_that_are_kept() -> None:
    drawn = (PAGE.parent / "performance.svg").exists()
    assert PAGE.read_text() == page(read_results(RESULTS), drawn=drawn)
    assert not re.search(r"(?<!\w)/(tmp|home)/", json.dumps(json.loads(RESULTS.read_text())))
