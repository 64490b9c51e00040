"""A process that kills itself at a chosen step, or is refused it; and copies of a folder in which one did so a step later each."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("link", "fsync", "unlink", "replace", "mkdir")
"""Calls of the system that change what is on disk."""


class Deadline:
    """Counts steps; at the n-th the process kills itself, or from then on each is refused with an error of the system.

    Parameters
    ----------
    how
        ``kill``, or the name of the error.
    """

    def __init__(self, steps: int, how: str = "kill") -> None:
        self.left, self.how = steps, how

    def step(self, path: object = "") -> None:
        """Count one step, which is about *path*."""
        self.left -= 1
        if self.left >= 0:
            return
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how)
        raise OSError(code, os.strerror(code), str(path))

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return *call*, counted."""

        def counted(*arguments: Any, **named: Any) -> Any:
            self.step(*arguments[:1])
            return call(*arguments, **named)

        return counted


def count_calls(deadline: Deadline) -> None:
    """Count every call of ``CALLS`` from now on; where there is an error, a file can still be removed."""
    for name in CALLS:
        if name == "unlink" and deadline.how != "kill":
            continue
        setattr(os, name, deadline.before(getattr(os, name)))


def killed_at_each_step(act: Callable[[int, Path], object], begun: Path, folder: Path) -> int:
    """Make copies 0, 1, ... of *begun* in *folder*, and *act* on each until its n-th step; return how many were killed.

    The last copy is one on which *act* came to its end.
    """
    steps = 0
    while True:
        copy = folder / str(steps)
        shutil.copytree(begun, copy)
        child = os.fork()
        if child == 0:
            act(steps, copy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            return steps
        assert os.WTERMSIG(status) == signal.SIGKILL
        steps += 1
