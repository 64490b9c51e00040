"""The docs say what is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pagetrail.producers.capture.clock import parse_marker
from pagetrail.queries.core.judgement import Reason

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_what_is_made_from_the_code_is_what_the_code_gives() -> None:
    assert generated("--check", "--no-outputs") == "", "run: python docs/generate.py"


@pytest.mark.slow
def test_the_outputs_that_are_shown_are_what_the_commands_say() -> None:
    assert generated("--check") == "", "run: python docs/generate.py"


def generated(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text().replace("/tmp/pagetrail-tour", str(tmp_path / "tour"))
    blocks = [block for block in re.findall(r"```sh\n(.*?)```", text, re.S) if "make " not in block]
    assert sum(block.count("\npagetrail ") for block in blocks) >= 14
    script = "set -e\n" + "".join(blocks)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tour" / "then.txt").read_text().startswith("Page allocated via order")


def test_every_test_that_the_rules_name_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "rules.md").read_text()))
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named
    assert named <= there


def test_every_place_that_the_rules_name_is_there() -> None:
    """A place is ``module.function``; modules of that name may stand in several rooms."""
    files = [file for room in ("schemas/linux", "replay") for file in (ROOT / room).rglob("*.py")]
    for module, name in re.findall(r"`(\w+)\.(\w+)`", (ROOT / "docs" / "rules.md").read_text()):
        there = [file.read_text() for file in files if file.stem == module]
        assert any(f"def {name}(" in text for text in there), f"{module}.{name}"


def test_every_reason_is_explained() -> None:
    text = (ROOT / "docs" / "certainty.md").read_text()
    named = {row[0] for row in re.findall(r"^\| ([a-z ]+) \|([^|]+\|){3}$", text, re.M)} - {"reason"}
    meant = {"unknown": "no evidence"} | {
        r.name.lower(): r.name.lower().replace("_", " ") for r in Reason if r.name != "UNKNOWN"
    }
    assert named == set(meant.values())


def test_the_shell_of_the_guide_is_a_shells() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "guide.md").read_text(), re.S)
    done = subprocess.run(["sh", "-n"], input="\n".join(blocks), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_guides_markers_are_snapshots(tmp_path: Path) -> None:
    """The clocks of its recipe are read as they are written."""
    text = (ROOT / "docs" / "guide.md").read_text()
    (clocks,) = re.findall(r"^clocks\(\) .*?; }$", text, re.S | re.M)
    script = f'{clocks}\necho "SNAPSHOT before begin $(clocks)"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    marker = parse_marker(said.strip())
    assert marker is not None
    assert None not in (marker.monotonic, marker.monotonic_raw, marker.boottime, marker.realtime)


@pytest.mark.slow
def test_what_the_readme_shows_of_the_demo_is_what_the_demo_says(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from pagetrail.cli import main; main()",
        "demo",
        "--trail",
        str(tmp_path / "trail"),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (block,) = re.findall(r"ends like this:\n\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert [line for line in block.splitlines() if line.strip() != "…" and line not in said] == []


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    import pagetrail
    from pagetrail import api

    api.ingest(tmp_path, ROOT / "pagetrail" / "demo_data" / "host-b")
    api.replay(tmp_path, correct=False)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names: dict[str, object] = {"pagetrail": pagetrail}
    exec(block.replace("/tmp/pagetrail-tour", str(tmp_path)), names)
    assert isinstance(names["trail"], pagetrail.Trail)


def test_the_guides_python_runs(tmp_path: Path) -> None:
    (tmp_path / "pagetrail").symlink_to(ROOT / "pagetrail")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guide.md").read_text(), re.S)
    done = subprocess.run([sys.executable, "-P", "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Page allocated via order")
