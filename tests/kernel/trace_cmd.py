"""trace-cmd record, also where the kernel withholds files that it wants to empty first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.kernel.tracefs import TRACEFS

_SWITCH: Final = Path("/proc/sys/kernel/ftrace_enabled")


def _withheld(path: Path) -> bool:
    """Return whether not even root may write a file."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
        if path == _SWITCH:
            path.write_text("1")
    except OSError:
        return path.exists()
    return False


@contextmanager
def allowed(folder: Path) -> Iterator[list[str]]:
    """Give the beginning of a command that runs where files for function tracing, which trace-cmd empties, may be written."""
    found = [path for path in (*TRACEFS.glob("set_ftrace_*"), *TRACEFS.glob("set_graph_*"), _SWITCH) if _withheld(path)]
    if not found:
        yield []
        return
    empty = folder / "empty"
    empty.write_text("1\n")
    mounts = "".join(f"mount --bind '{empty}' '{path}' && " for path in found)
    elsewhere = "umount -R /sys/kernel/debug 2>/dev/null; "  # trace-cmd would take tracefs below it, if it is mounted there, too
    yield ["unshare", "-m", "sh", "-c", f'{elsewhere}{mounts}exec "$@"', "-"]
