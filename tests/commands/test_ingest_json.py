"""What ``ingest --json`` says: the lines of each recording by kind, which add up."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pagetrail.cli import app

LINE = "              sh-43      [001] .....     {}.000000: {}\n"
TEXT = (
    "# tracer: nop\n"
    + LINE.format(1, "mm_page_free: page=0 pfn=0x10 order=0")
    + LINE.format(2, "mm_page_fsee: page=0 pfn=0x10 order=0")
    + LINE.format(3, "sched_switch: x")
)


@pytest.mark.parametrize("times", [1, 2])
def test_ingest_says_what_each_line_was_also_of_what_was_stored_before(tmp_path: Path, times: int) -> None:
    (tmp_path / "trace.txt").write_text(TEXT)
    for _ in range(times):
        ran = CliRunner().invoke(
            app, ["ingest", "--json", "--trail", str(tmp_path / "trail"), str(tmp_path / "trace.txt")]
        )
        assert ran.exit_code == 0, ran.output
    (said,) = json.loads(ran.stdout)
    kinds = {(kind["what"], kind["kind"]): (kind["lines"], kind["first_line"]) for kind in said["lines_of_kinds"]}
    assert kinds == {
        ("bookkeeping", "comment"): (1, 1),
        ("event", "mm_page_free"): (1, 2),
        ("not_understood", "mm_page_fsee whose fields are not its own"): (1, 3),
        ("nothing_new", "sched_switch"): (1, 4),
    }
    assert said["lines"] == sum(lines for lines, _ in kinds.values())
