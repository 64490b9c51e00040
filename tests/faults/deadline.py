"""A process that kills itself at a chosen step, and copies of a folder in each of which one did so a step later."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("link", "fsync", "unlink", "replace", "mkdir")
"""Calls of the system that change what is on disk."""


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


def count_calls(deadline: Deadline) -> None:
    """Count every call of ``CALLS`` from now on."""
    for name in CALLS:
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
