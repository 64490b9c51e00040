"""One trail of the demo's recording, and a way to run commands on it."""

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import cli
from tests.shared import folder_of_the_run, made_once

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "pagetrail" / "demo_data" / "host-b"

Run = Callable[..., subprocess.CompletedProcess[str]]


def run_in(folder: Path, trail: Path) -> Run:
    """Return a function that runs commands in *folder*, and in this process: a process for each would cost a second."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as environment:
            environment.setenv("PAGETRAIL", str(trail))
            done = cli.run(*arguments, stdin=stdin)
        return subprocess.CompletedProcess(arguments, done.code, done.out, done.err)

    return run


@pytest.fixture(scope="session")
def demo_trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's recording, ingested and replayed without corrections. All processes read it, none writes it."""

    def make(trail: Path) -> None:
        run = run_in(trail.parent, trail)
        for arguments in (["ingest", DEMO], ["replay", "--no-correct"]):
            done = run(*arguments)
            assert done.returncode == 0, done.stderr

    return made_once(folder_of_the_run(tmp_path_factory), "demo", make)


@pytest.fixture
def run(tmp_path: Path, demo_trail: Path) -> Run:
    """Run pagetrail on the demo's trail."""
    return run_in(tmp_path, demo_trail)


@pytest.fixture
def run_fresh(tmp_path: Path) -> Run:
    """Run pagetrail on a trail that is not there yet."""
    return run_in(tmp_path, tmp_path / "trail")
