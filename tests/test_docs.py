"""The docs say what is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    import pagetrail
    from pagetrail import api

    api.ingest(tmp_path, ROOT / "pagetrail" / "demo_data" / "host-b")
    api.replay(tmp_path, correct=False)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names: dict[str, object] = {"pagetrail": pagetrail}
    exec(block.replace("/tmp/pagetrail-tour", str(tmp_path)), names)
    assert isinstance(names["trail"], pagetrail.Trail)
