"""``python -m tests.schemas.jit_programs``: run programs that compile functions, each forked from a process that has loaded numba.

For each line of stdin, a program and whether it checks indices, it writes a line: the output, and the exit code.
"""

import json
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pagetrail.schemas import jit
from tests.conftest import REPOSITORY

FORK = multiprocessing.get_context("fork")


class Programs:
    """The process, seen from a test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, program: Path, *, checked: bool = False) -> str:
        """Run *program* with a cache beside it; return what it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([str(program), checked]), file=self._process.stdin, flush=True)
        output, code = json.loads(self._process.stdout.readline())
        assert code == 0, output
        return str(output).strip()


@contextmanager
def started() -> Iterator[Programs]:
    """Start the process, and end it."""
    command = [sys.executable, "-m", "tests.schemas.jit_programs"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Programs(process)


def main() -> None:
    """Load the compiler by compiling something; run programs until stdin ends."""
    jit.numba.njit(_identity)(1)
    for line in sys.stdin:
        program, checked = json.loads(line)
        output = Path(program).with_suffix(".output")
        child = FORK.Process(target=_run, args=(Path(program), checked, output))
        child.start()
        child.join()
        print(json.dumps([output.read_text(), child.exitcode]), flush=True)


def _run(program: Path, checked: bool, output: Path) -> None:
    os.environ |= {"NUMBA_CACHE_DIR": str(program.parent / "cache"), "NUMBA_BOUNDSCHECK": str(int(checked))}
    jit.numba.config.reload_config()
    del sys.modules[jit.__name__]  # the program imports it anew, as it reads that configuration
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(program.parent))
    with output.open("w") as sys.stdout:
        runpy.run_path(str(program), run_name="__main__")


def _identity(value: int) -> int:
    return value


if __name__ == "__main__":
    main()
