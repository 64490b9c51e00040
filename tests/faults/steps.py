"""``python -m tests.faults.steps TRAIL FOLDER``: replay copies of a trail, each killed at a later step of writing.

A step is a call that changes what is on disk, of the system or of DuckDB; a copy dies right before its n-th. The kills are
forked from this process before it has any thread. Prints how many steps there were before a copy came to its end.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from tests.replay.states import replay

CALLS = ("link", "fsync", "unlink", "replace")
STATEMENTS = ("ATTACH", "BEGIN", "COMMIT", "CHECKPOINT", "DETACH")


class Deadline:
    """Counts steps; at the n-th the process kills itself."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        """Count one step."""
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call*, counted."""

        def counted(*arguments: Any, **named: Any) -> Any:
            self.step()
            return call(*arguments, **named)

        return counted


class Connection:
    """A DuckDB connection whose statements that write are counted."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Execute a statement; it is counted when it writes."""
        if statement.startswith(STATEMENTS):
            self._deadline.step()
        return self._connection.execute(statement, *arguments)

    def cursor(self) -> "Connection":
        """Return another connection, counted as this one."""
        return Connection(self._connection.cursor(), self._deadline)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def die_at(steps: int, trail: Path) -> None:
    """Replay *trail*, and die before a step."""
    deadline = Deadline(steps)
    for name in CALLS:
        setattr(os, name, deadline.before(getattr(os, name)))
    connect = duckdb.connect
    duckdb.connect = lambda *a, **k: Connection(connect(*a, **k), deadline)  # type: ignore[assignment, return-value]
    replay(trail)


def main(trail: str, folder: str) -> None:
    """Make copies 0, 1, ... of *trail* in *folder*, each killed one step later than the one before."""
    steps = 0
    while True:
        copy = Path(folder) / str(steps)
        shutil.copytree(trail, copy)
        child = os.fork()
        if child == 0:
            die_at(steps, copy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        steps += 1
    print(steps)


if __name__ == "__main__":
    main(*sys.argv[1:])
