"""Processes to kill, each forked from one that has imported everything: so it is at work at once, and costs little."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.loaded"])
PATIENCE = 120.0
"""How long a process may take that nobody disturbs, seconds."""


class Forked:
    """A call of *main* as a process of its own, ready to begin. What it writes is read when it has ended; it is little.

    Parameters
    ----------
    main
        A function of a module. It writes ``ready`` first.
    most
        No file that the process writes may have more bytes.
    """

    def __init__(self, main: Callable[..., None], *arguments: str | Path, most: int | None = None) -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(writer, most, main, *map(str, arguments)), daemon=True)
        self._process.start()
        writer.close()
        self._output = os.fdopen(os.dup(reader.fileno()))
        reader.close()
        assert self._output.readline() == "ready\n"

    def runs(self, seconds: float) -> bool:
        """Let it run so long; say whether it still does."""
        self._process.join(max(seconds, 0))
        return self._process.exitcode is None

    def send(self, what: signal.Signals) -> bool:
        """Send a signal; say whether it was still there."""
        pid = self._process.pid
        if self._process.exitcode is not None or pid is None:
            return False
        os.kill(pid, what)
        return True

    def outcome(self) -> tuple[int, str]:
        """Wait for its end; return the exit code, negative for a signal, and what it wrote since it was ready."""
        late = self.runs(PATIENCE)
        if late:
            self.send(signal.SIGKILL)
            self._process.join()
        with self._output:
            said = self._output.read()
        assert not late, f"a process did not end within {PATIENCE:g} s; it said: {said}"
        code = self._process.exitcode
        assert code is not None
        return code, said


def _run(writer: Connection, most: int | None, main: Callable[..., None], *arguments: str) -> None:
    """Be that process."""
    os.dup2(writer.fileno(), 1)
    writer.close()
    if most is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    main(*arguments)
