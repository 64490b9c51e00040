"""``python -m tests.faults.steps TRAIL FOLDER``: replay copies of a trail, each killed at a later step of writing.

A step is a call that changes what is on disk, of the system or of DuckDB. The kills are forked from this process before it has any
thread. Prints how many steps there were before a copy came to its end.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from pagetrail.replay.run.warm import compile_jit_functions
from tests.faults.deadline import Deadline, count_calls, killed_at_each_step
from tests.replay.states import replay

STATEMENTS = ("ATTACH", "BEGIN", "COMMIT", "CHECKPOINT", "DETACH")


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
    count_calls(deadline)
    connect = duckdb.connect

    def connected(*arguments: Any, config: Mapping[str, Any], **more: Any) -> Connection:
        # rows are found by the name of a variable in the frame of the caller, which here is that of Connection.execute
        return Connection(connect(*arguments, config={**config, "python_scan_all_frames": True}, **more), deadline)

    duckdb.connect = connected  # type: ignore[assignment]
    replay(trail)


def main(trail: str, folder: str) -> None:
    """Make copies 0, 1, ... of *trail* in *folder*, each killed one step later than the one before."""
    compile_jit_functions()  # once, or every copy's process would load them
    steps = killed_at_each_step(die_at, Path(trail), Path(folder))
    print(steps)


if __name__ == "__main__":
    main(*sys.argv[1:])
