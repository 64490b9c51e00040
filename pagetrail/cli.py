"""The command line: the root, and the one place that turns errors into exit codes.

Exit codes: 0 done; 1 an error of pagetrail's own; 2 input or arguments that are not what they should be; 3 the thing asked for
is not there; 4 the trail itself (missing, newer, busy, damaged, full disk); 130 stopped on request.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pagetrail.commands import audit, event, holders, ingest, pages, replay, sections, snapshot, trail
from pagetrail.commands.demo import demo
from pagetrail.commands.options import TRAIL_VARIABLE, say
from pagetrail.commands.publish import publish
from pagetrail.commands.schema import schema_app
from pagetrail.commands.topic import topic_app
from pagetrail.schemas.errors import InputError, PagetrailError
from pagetrail.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Who owned this page then, how do we know, and how sure are we?",
    epilog="Exit codes: 0 done, 2 bad input, 3 not there, 4 the trail (missing, newer, busy, damaged, full), 130 stopped.",
)
for command in (
    demo, ingest.ingest, replay.replay, pages.owner, event.event, pages.history, snapshot.snapshot, holders.top, holders.leaks,
    sections.sections, audit.audit, trail.export, publish, trail.streams, trail.doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(schema_app, name="schema")
app.add_typer(topic_app, name="topic")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"pagetrail {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    trail: Annotated[
        Path | None, typer.Option("--trail", help="Directory of the trail; the same option behind a command wins.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Record of what happened to every physical page of a Linux machine, and answers about any instant of it."""
    del version  # its callback has shown it
    if trail is not None:
        context.obj = trail
        context.with_resource(_trail_of_commands(trail))


@contextmanager
def _trail_of_commands(trail: Path) -> Iterator[None]:
    """Let *trail* be the default of commands, before the one that the environment names."""
    before = os.environ.get(TRAIL_VARIABLE)
    os.environ[TRAIL_VARIABLE] = str(trail)
    try:
        yield
    finally:
        del os.environ[TRAIL_VARIABLE]
        if before is not None:
            os.environ[TRAIL_VARIABLE] = before


def main() -> None:
    """Run the command line; every error that can be explained becomes one line on stderr and an exit code."""
    try:
        app()
    except PagetrailError as error:
        say.print(f"pagetrail: {error}", markup=False)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        _nobody_reads()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer made it an exit of 1
            _nobody_reads()
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say.print(
            f"pagetrail: {where}expected a file or directory that can be used so, found: {error.strerror or error}; "
            "check the path, its permissions and the space there",
            markup=False,
        )
        raise SystemExit(InputError.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _nobody_reads() -> NoReturn:
    """Who reads us has read enough (``pagetrail snapshot … | head``): that is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0) from None
