"""A question takes one file and a method of ``Trail``; its command takes one file and a line: CONTRIBUTING.md.

They are added to a copy of pagetrail, as anybody would add them to the tree.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pagetrail import api
from tests.conftest import REPOSITORY

QUESTION = '''
"""How many extensions each section has had."""

from collections import Counter

import pyarrow as pa

from pagetrail.queries.core.stream import Stream


def generations(stream: Stream) -> pa.Table:
    """Return a row a section: its number, and how many extensions it has had."""
    counts = Counter(extension.section_nr for extension in stream.history.sections)
    return pa.table({"section_nr": list(counts), "extensions": list(counts.values())})
'''

METHOD = '''\
    def generations(self, stream: str | None = None) -> pa.Table:
        """Return how many extensions each section of a stream has had."""
        from pagetrail.queries.questions import generations

        return generations.generations(self.stream(stream))

'''

COMMAND = '''
"""pagetrail generations: how many extensions each section has had."""

from pagetrail import api
from pagetrail.commands.options import DEFAULT_TRAIL, JsonOption, TrailOption, out
from pagetrail.text.json_text import json_text
from pagetrail.text.tables import table_text


def generations(trail: TrailOption = DEFAULT_TRAIL, as_json: JsonOption = False) -> None:
    """Count the extensions of each section."""
    found = api.open(trail).generations()
    out(json_text(found) if as_json else table_text(found.column_names, [r.values() for r in found.to_pylist()]))
'''


def insert(file: Path, before: str, text: str) -> None:
    """Write *text* into a file, before the only line that is *before*."""
    lines = file.read_text()
    assert lines.count(before) == 1, before
    file.write_text(lines.replace(before, text + before))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with a copy of pagetrail to which the question and its command were added."""
    package = tmp_path / "pagetrail"
    shutil.copytree(REPOSITORY / "pagetrail", package, ignore=shutil.ignore_patterns("__pycache__", "demo_data"))
    (package / "queries" / "questions" / "generations.py").write_text(QUESTION)
    insert(package / "trail.py", "    def quarantined(", METHOD)
    (package / "commands" / "questions" / "generations.py").write_text(COMMAND)
    insert(package / "cli.py", '    "schema",\n', '    "questions.generations",\n')
    return tmp_path


@pytest.mark.slow
def test_a_question_and_its_command_are_a_file_and_a_line_each(tree: Path, chained: Path) -> None:
    expected = {e.section_nr: e.generation for e in api.open(chained).stream().history.sections}

    def run(*arguments: str | Path) -> str:
        program = [sys.executable, "-m", "pagetrail", "--trail", str(chained), *arguments]
        return subprocess.run(program, cwd=tree, check=True, capture_output=True, text=True).stdout

    rows = json.loads(run("generations", "--json"))
    assert {row["section_nr"]: row["extensions"] for row in rows} == expected
    assert run("generations").splitlines()[0] == "section_nr  extensions"
    assert "Count the extensions of each section." in run("--help")
