"""A command that is killed, or that the system refuses to write for, at a chosen step: as a process of its own."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pagetrail import api
from pagetrail.schemas.errors import PagetrailError
from tests.faults.deadline import CALLS

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
    """Run a command. From its step *steps* on, *how* is what happens: ``kill``, or the name of an error of the system.

    A file can still be removed then. It says ``done`` at the end, or the name of the error; its code is 9, if that is none of ours.
    """
    left = int(steps)

    def before(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if left < 0 and name != "unlink":
                code = getattr(errno, how)
                raise OSError(code, os.strerror(code), str(given[0]))
            return call(*given, **named)

        return counted

    print("ready", flush=True)
    for name in CALLS:
        setattr(os, name, before(name, getattr(os, name)))
    try:
        COMMANDS[command](*map(Path, arguments))
    except PagetrailError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        print(f"OSError: {error}", flush=True)
        raise SystemExit(2) from None
    print("done", flush=True)
