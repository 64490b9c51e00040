"""Make what the docs say by themselves true: the pages and tables made from code, and the outputs of commands that they show.

``python docs/generate.py`` writes them anew; with ``--check`` it only says what is stale (tests/test_docs.py does the same).

- docs/cli.md is made as a whole, from the command line's own help.
- In other pages, what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is the table NAME of ``TABLES_BY_NAME``.
- In a ``console`` block, lines that begin with ``$ `` are run by a shell in an empty folder in which ``pagetrail`` is the package's
  own folder, as in a clone; what follows each is its output (stdout, then stderr). Blocks of a page share that folder.
"""

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import typer

from pagetrail.cli import app
from pagetrail.schemas import details
from pagetrail.schemas.columns import COLUMNS, Kind
from pagetrail.schemas.feed import FEED_SCHEMAS, FEEDS, HEADER_MEANINGS
from pagetrail.schemas.frames import FrameHeader
from pagetrail.schemas.linux.page_owner import EarlyStamp
from pagetrail.schemas.linux.releases import RELEASES, Either, between
from pagetrail.schemas.linux.sources import rules
from pagetrail.schemas.linux.sources.functions import FUNCTIONS
from pagetrail.schemas.linux.sources.place import Place
from pagetrail.schemas.log.contract import DDL
from pagetrail.schemas.owner import ANOMALY_TEXT, DOUBT_TEXT, Evidence, How, State
from pagetrail.schemas.store.tables import TABLES

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PAGES: Final = ("README.md", "docs/guide.md", "docs/certainty.md", "docs/feeding.md", "docs/format.md", "docs/rules.md")
CLI_PAGE: Final = "docs/cli.md"

_REGION: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_CONSOLE: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)


def main() -> int:
    """Write, or with ``--check`` compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    parser.add_argument(
        "--no-outputs", action="store_true", help="run no command: pages and tables made from code alone"
    )
    given = parser.parse_args()
    stale = 0
    for name in (CLI_PAGE, *PAGES):
        path = REPOSITORY / name
        fresh = cli_page() if name == CLI_PAGE else with_tables(path.read_text())
        fresh = fresh if given.no_outputs else with_outputs(fresh)
        if path.exists() and path.read_text() == fresh:
            continue
        stale += 1
        sys.stdout.write(f"{name}: {'stale' if given.check else 'written'}\n")
        if not given.check:
            path.write_text(fresh)
    return int(given.check and stale > 0)


# -- tables ------------------------------------------------------------------------------------------------------------


def with_tables(page: str) -> str:
    """Return *page* with its generated regions made anew."""
    return _REGION.sub(lambda found: f"{found[1]}\n{TABLES_BY_NAME[found[2]]()}\n{found[3]}", page)


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _columns() -> str:
    rows = ((f"`{c.name}`", _arrow(str(c.type)), "yes" if c.nullable else "", c.doc) for c in COLUMNS)
    return table(("column", "type", "may be absent", "meaning"), rows)


def _arrow(kind: str) -> str:
    return "text (dictionary)" if kind.startswith("dictionary") else "text" if kind == "string" else kind


def _kinds() -> str:
    rows = []
    for kind in Kind:
        model = details.DETAIL_MODELS.get(kind)
        fields = "" if model is None else ", ".join(f"`{name}`" for name in model.model_fields)
        rows.append((int(kind), f"`{kind.name.lower()}`", fields))
    return table(("code", "kind", "fields of `detail`"), rows)


def _details() -> str:
    parts = []
    for kind, model in details.DETAIL_MODELS.items():
        rows = ((f"`{name}`", found.description or "") for name, found in model.model_fields.items())
        parts.append(f"`{kind.name.lower()}`\n\n" + table(("field", "meaning"), rows))
    return "\n".join(parts)


def _header() -> str:
    rows = (
        (f"`pagetrail.{found.name}`", getattr(found.type, "__name__", found.type))
        for found in dataclasses.fields(FrameHeader)
    )
    return table(("key", "value"), [("`pagetrail.schema`", "`pagetrail.events`"), *rows])


def _log() -> str:
    return "```sql\n" + ";\n".join(re.sub(r"\n    ", "\n", statement) for statement in DDL) + ";\n```\n"


def _segments() -> str:
    parts = []
    for found in TABLES:
        if found.name == "live":
            parts.append(f"### `live`\n\n{found.doc} Columns as in `spans`.\n")
            continue
        rows = ((f"`{name}`", kind, doc) for name, kind, doc in found.columns)
        parts.append(f"### `{found.name}`\n\n{found.doc}\n\n" + table(("column", "type", "meaning"), rows))
    return "\n".join(parts)


def _words() -> str:
    rows = []
    for name, words in (("state", State), ("evidence", Evidence), ("how, end_how", How)):
        rows.append((f"`{name}`", ", ".join(f"{int(w)} {w.name.lower().replace('_', ' ')}" for w in words)))
    return table(("column", "codes"), rows)


def _anomalies() -> str:
    return table(("code", "kind", "meaning"), ((int(k), f"`{k.name}`", text) for k, text in ANOMALY_TEXT.items()))


def _kernel_rules() -> str:
    rows = []
    for name, places in rules.PLACES.items():
        values = [_shown(getattr(found, name), mask=name.startswith("gfp_")) for found in RELEASES]
        read = {found.release: ", ".join(rules.READ[found.release]) for found in RELEASES}
        cells = [
            _placed(read[found.release] if name == "release" else value, places[found.release])
            for found, value in zip(RELEASES, values, strict=True)
        ]
        rows.append((f"`{name}`", *cells, _between(name)))
    return table(("field", *(found.release for found in RELEASES), "between two that differ"), rows)


def _between(name: str) -> str:
    """Return what a kernel between two releases has of a field in which they differ."""
    pairs = [pair for pair in pairwise(RELEASES) if getattr(pair[0], name) != getattr(pair[1], name)]
    if name in ("release", "gfp_flags"):
        return "both are named" if name == "release" else "the older one's: not certain where they differ"
    if not pairs:
        return "they do not differ"
    older, newer = pairs[0]
    value = getattr(between(older, newer), name)
    if value is None or value is Either.UNKNOWN:
        return "not known" if value is None else "either: not certain"
    return "the older one's" if value == getattr(older, name) else "either"


def _shown(value: object, *, mask: bool = False) -> str:
    """Return a value of a release's rules in short; a number that is a *mask* in hexadecimal."""
    if mask and isinstance(value, int):
        return hex(value)
    match value:
        case Either():
            return value.name.lower()
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return f"{len(value)} names"
        case (EarlyStamp(), *_):
            return " or ".join(
                f"{s.order}, {s.gfp_mask:#x}, pid {s.pid}" if s.comm else "0, 0x0, no pid" for s in value
            )
        case tuple():
            return f"{len(value)}, the last {value[-1]}"
    return str(value)


def _kernel_functions() -> str:
    rows = (
        (f"`{name}`", *(_placed("", places[found.release]) for found in RELEASES)) for name, places in FUNCTIONS.items()
    )
    return table(("function", *(found.release for found in RELEASES)), rows)


def _placed(value: str, place: Place) -> str:
    """Return a cell: a value, what the source does, and where."""
    said = ": ".join(part for part in (value, place.does) if part)
    where = f"{place.file}, " + ", ".join(f"`{name}`" for name in place.function.split(", "))
    return f"{said} ({where})" if said else where


def _doubts() -> str:
    own = {code: text for code, text in DOUBT_TEXT.items() if code not in {int(kind) for kind in ANOMALY_TEXT}}
    return table(("code", "why"), sorted(own.items()))


def _feed_headers() -> str:
    return table(("header", "value"), ((f"`pagetrail.{name}`", meaning) for name, meaning in HEADER_MEANINGS.items()))


def _feeds() -> str:
    parts = []
    for feed, schemas in FEEDS.items():
        for name in schemas:
            rows = ((f"`{f.name}`", _arrow(str(f.type)), f.metadata[b"doc"].decode()) for f in FEED_SCHEMAS[name])
            parts.append(f"### `{name}`, published as `{feed}`\n\n" + table(("column", "type", "meaning"), rows))
    return "\n".join(parts)


TABLES_BY_NAME: Final[dict[str, Callable[[], str]]] = {
    "columns": _columns, "kinds": _kinds, "details": _details, "header": _header, "log": _log,
    "segments": _segments, "words": _words, "anomalies": _anomalies, "doubts": _doubts,
    "feed_headers": _feed_headers, "feeds": _feeds, "kernel_rules": _kernel_rules, "kernel_functions": _kernel_functions,
}  # fmt: skip


# -- outputs -----------------------------------------------------------------------------------------------------------


def with_outputs(page: str) -> str:
    """Return *page* with the outputs in its console blocks made anew, in the page's order."""
    if not _CONSOLE.search(page):
        return page
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pagetrail").symlink_to(REPOSITORY / "pagetrail")
        return _CONSOLE.sub(lambda found: f"```console\n{_block(found[1], Path(folder))}```", page)


def _block(block: str, folder: Path) -> str:
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(f"$ {command}\n{run(command, folder)}" for command in commands)


def run(command: str, folder: Path) -> str:
    """Return what a shell command writes, run in *folder* with this environment's commands on the path.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PAGETRAIL"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120", "NO_COLOR": "1"}
    shell = ["sh", "-ec", command]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


# -- the command line --------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return docs/cli.md."""
    root = typer.main.get_command(app)
    parts = [_CLI_HEAD]
    for name, command in root.commands.items():  # type: ignore[attr-defined]  # it is a group
        inner = getattr(command, "commands", None)
        if inner is None:
            parts.append(_command(f"pagetrail {name}", command))
            continue
        parts.append(f"## pagetrail {name}\n\n{command.help}\n")
        parts += [_command(f"pagetrail {name} {sub}", found, "###") for sub, found in inner.items()]
    return "\n".join(parts)


def _command(name: str, command: typer.core.TyperCommand, mark: str = "##") -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = (
        " ".join([name, *command.collect_usage_pieces(context)]).replace("{", "").replace("}", "").removesuffix("...")
    )
    records = [record for found in command.params if (record := found.get_help_record(context))]
    rows = [
        (f"`{_plain(left)}`", right.replace("  [", " [")) for left, right in records if not left.startswith("--help")
    ]
    options = "\n" + table(("", ""), rows) if rows else ""
    return f"{mark} {name}\n\n{_prose(command.help or '')}\n\n```text\n{usage}\n```\n{options}"


def _plain(left: str) -> str:
    return left.replace(" <bool>", "").replace(" <list[str]>", "").replace(" [required]", "")


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


_CLI_HEAD: Final = """\
# Command line

<!-- Made by docs/generate.py from the commands' own help: change that, and run it again. -->

TIME, PFN and filters are explained in the [guide](guide.md). Data goes to stdout, all else to stderr. `pagetrail --version` shows
the version, `pagetrail --install-completion` sets up completion of your shell, `--help` works everywhere.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | an error of pagetrail's own |
| 2 | input or arguments that are not what they should be; `schema check`: not compatible |
| 3 | the thing asked for is not there |
| 4 | the trail itself: missing, of a newer version, in use, damaged, disk full; `replay`: a stream halted |
| 130 | stopped on request; what was done is kept |
"""


if __name__ == "__main__":
    sys.exit(main())
