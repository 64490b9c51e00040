"""A command that is killed, or that the system refuses to write for, at a chosen step: as a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pagetrail import api
from pagetrail.schemas.errors import PagetrailError
from tests.faults.deadline import Deadline, count_calls

KEPT: Final = 5
"""ns of each stream that gc keeps."""


def gc(trail: str) -> None:
    """Remove what is older than the last ``KEPT`` ns."""
    api.remove_outdated(trail)
    api.remove_beyond(trail, KEPT)


def export(trail: str, folder: str) -> None:
    """Export all spans."""
    api.open(trail).export_spans(folder)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"gc": gc, "export": export}


def main(how: str, steps: str, command: str, *arguments: str) -> None:
    """Run a command, with a ``Deadline`` of so many steps. It says ``done`` at the end, or the name of the error."""
    print("ready", flush=True)
    count_calls(Deadline(int(steps), how))
    try:
        COMMANDS[command](*map(Path, arguments))
    except PagetrailError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        print(f"OSError: {error}", flush=True)
        raise SystemExit(2) from None
    print("done", flush=True)
