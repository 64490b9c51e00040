"""``python -m benchmarks.performance.page RESULTS.json FOLDER``: performance.md, and its picture, from what was measured."""

import sys
from itertools import groupby
from pathlib import Path

from benchmarks.performance.picture import picture
from benchmarks.performance.results import Line, Results, read_results, rows_of

PAGE, PICTURE = "performance.md", "performance.svg"
_HEAD = """\
# Performance

`make bench` makes this page from [the results of one run](../benchmarks/results/performance.json). Each figure is the median of its
runs; behind it are the lowest and the highest one, and what is wanted. Commands are measured as whole processes, with the start of
Python; jit functions were compiled before, and files are in memory. The guide says
[what the load is](guide.md#a-load-to-measure-with).
"""


def write(results: Results, folder: Path) -> list[Path]:
    """Write the page and its picture; return the files."""
    drawing = picture(results)
    files = [folder / PAGE]
    files[0].write_text(page(results, drawn=drawing is not None))
    if drawing is not None:
        files.append(folder / PICTURE)
        files[1].write_text(drawing)
    return files


def page(results: Results, *, drawn: bool) -> str:
    """Return the page."""
    parts = [
        _HEAD,
        "| | |\n| --- | --- |\n" + "".join(_row(*item) for item in (results.machine | results.settings).items()),
    ]
    by_part = sorted(results.lines, key=lambda line: line.part)
    for part, lines in groupby(by_part, key=lambda line: line.part):
        parts.append(f"## {part}\n")
        if drawn and part.startswith("6."):
            parts.append(f"![Seconds and memory by the number of events]({PICTURE})\n")
        parts.append(_table(list(lines), results))
    if results.left_out:
        parts.append("## Not measured\n")
        parts.append("".join(f"- {why}\n" for why in results.left_out))
    return "\n".join(parts)


def _table(lines: list[Line], results: Results) -> str:
    rows = ["| what | median | lowest to highest; wanted |\n", "| --- | --- | --- |\n"]
    for line in lines:
        name = f"{line.name}" if line.command == line.name else f"{line.name}<br>`{line.command}`"
        for value, rest in rows_of(line, results):
            rows.append(_row(name, value, rest))
            name = ""
    return "".join(rows)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    for written in write(read_results(Path(sys.argv[1])), Path(sys.argv[2])):
        print(f"written: {written}")
