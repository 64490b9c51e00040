"""Run the command line: here, where many runs have to be quick; or as a process of its own, where that matters."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from pagetrail import cli

PROGRAM = (sys.executable, "-c", "from pagetrail.cli import main; main()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a run ended, and what it wrote."""

    code: int
    out: str
    err: str
    binary: bytes = b""


def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """Run ``pagetrail ARGUMENTS`` in this process; nothing but an exit may come out of it."""
    out, err = _Captured(), _Captured()
    code = 0
    given = ["pagetrail", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", given),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    done = Done(code=code, out=out.text(), err=err.text(), binary=out.bytes())
    assert "Traceback" not in done.err
    return done


def process(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run ``pagetrail ARGUMENTS`` as a process of its own."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, **options)  # type: ignore[call-overload]
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done  # type: ignore[no-any-return]


class _Captured(io.TextIOWrapper):
    """A text stream over bytes, which are there afterwards."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", write_through=True)

    def bytes(self) -> bytes:
        self.flush()
        return self._bytes.getvalue()

    def text(self) -> str:
        return self.bytes().decode(errors="replace")
