"""The command line: the root, the commands, and the one place that turns errors into exit codes.

Exit codes: 0 done; 1 an error of pagetrail's own; 2 bad input or arguments; 3 the thing asked for is not there; 4 the trail itself
(missing, newer, busy, damaged, full disk); 130 stopped on request.
"""

import gc
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from typer.main import get_command

from pagetrail import api
from pagetrail.commands.options import say
from pagetrail.schemas.errors import InputError, PagetrailError, StorageFull, TrailError
from pagetrail.schemas.store.space import FULL
from pagetrail.version import __version__

COMMANDS: Final = (
    "demo",
    "ingest",
    "replay",
    "questions.owner",
    "questions.owners",
    "questions.event",
    "questions.history",
    "questions.snapshot",
    "questions.top",
    "questions.leaks",
    "questions.sections",
    "questions.audit",
    "export",
    "publish",
    "questions.streams",
    "questions.doctor",
    "schema",
    "topic",
    "gc",
    "verify",
    "synth",
)
"""Files of ``pagetrail/commands``, in the order of the help. Each has a function, or a group of functions, of its own name."""

UNUSED: Final = {"OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""Settings of libraries, in the environment: without threads for algebra and a search for plugins they load faster."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Who owned this page then, how do we know, and how sure are we?",
    epilog="Exit codes: 0 done, 2 bad input, 3 not there, 4 the trail (missing, newer, busy, damaged, full), 130 stopped.",
)


def _add(file: str) -> None:
    name = file.rpartition(".")[2]
    command = getattr(import_module(f"pagetrail.commands.{file}"), name)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


for _file in COMMANDS:
    _add(_file)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"pagetrail {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: ARG001  # its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    trail: Annotated[  # noqa: ARG001  # read by ``chosen_trail``
        Path | None, typer.Option("--trail", help="Directory of the trail; a --trail after the command comes first.")
    ] = None,
) -> None:
    """Show who owned a page at any recorded instant, how that is known, and how sure it is."""
    api.give_back_at_once()


@cache
def _command() -> Callable[[], None]:
    """Return what Typer makes of all commands: it looks at each parameter of each, which is done once a process."""
    return get_command(app)


def main() -> None:
    """Run the command line; every error that can be explained becomes one line on stderr and an exit code."""
    for setting, value in UNUSED.items():
        os.environ.setdefault(setting, value)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # recorded text may have what a terminal's encoding has not
    try:
        _command()()
    except PagetrailError as error:
        say(f"pagetrail: {error}")
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        _end_quietly()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer made it an exit of 1
            _end_quietly()
        raise
    except OSError as error:
        _end_if_full(error)
        where = f"{error.filename}: " if error.filename else ""
        say(
            f"pagetrail: {where}expected a file or directory that can be used, found: {error.strerror or error}; "
            "check the path, its permissions and the free space",
        )
        raise SystemExit(InputError.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not _is_of_memory(error):
            raise
        say(f"pagetrail: {_memory_advice(error)}")
        raise SystemExit(TrailError.exit_code) from None
    finally:
        gc.freeze()  # the process ends here: to look through all that was imported for garbage takes longer than a question


def _end_if_full(error: OSError) -> None:
    if error.errno in FULL:
        say(f"pagetrail: {StorageFull(path=str(error.filename or 'a file'), reason=error.strerror or str(error))}")
        raise SystemExit(StorageFull.exit_code) from None


def _is_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: Python's and Arrow's, or DuckDB's, whose class is known by name, as few commands load it."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException"


def _memory_advice(error: BaseException) -> str:
    """Return how much was asked for, as the library that asked says it, and what to do."""
    asked = " ".join(str(error).split("\n", 1)[0].split()) or "the system does not say how much was asked for"
    return (
        f"expected enough memory, found too little: {asked}; give the process more (ulimit -v, the limit of its cgroup), or ask "
        "for less: 'replay' takes --memory SIZE, questions take a --stream and a time. Stored data is intact"
    )


def _end_quietly() -> NoReturn:
    """End without an error: the reader closed the pipe (``pagetrail snapshot … | head``)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0) from None
