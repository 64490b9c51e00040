"""Run a broker for as long as somebody uses it: ``guard.py PLAN``, a JSON file that Cluster writes.

Every process that uses a cluster holds a shared lock on one file; the kernel takes it away from whoever dies, however it
dies. A guard waits for the exclusive lock: it gets it when nobody is left, and stops its broker. So brokers outlive the
one of several test processes that happened to start them, and never the last of them. A broker dies with its guard.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
GRACE_SECONDS = 10


def main(plan_file: str) -> int:
    """Start the broker in a process of its own, say the broker's pid, and leave that process to guard it."""
    plan = json.loads(Path(plan_file).read_text())
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        pid = os.read(reader, 32).decode()
        print(pid, flush=True)
        return 0 if pid else 1
    os.close(reader)
    os.setsid()  # the terminal's Ctrl-C is for whoever started us
    _guard(plan, writer)
    return 0


def _guard(plan: dict[str, Any], writer: int) -> None:
    log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((null, 0), (log, 1), (log, 2)):
        os.dup2(ours, standard)
    prctl = ctypes.CDLL(None).prctl
    broker = subprocess.Popen(
        plan["command"], cwd=plan["folder"], preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    )
    pid_file = Path(plan["pid"])
    aside = pid_file.with_suffix(".new")
    aside.write_text(str(broker.pid))
    aside.replace(pid_file)
    os.write(writer, str(broker.pid).encode())
    os.close(writer)
    unused = threading.Event()
    threading.Thread(target=_stop_when_unused, args=(plan, broker, unused), daemon=True).start()
    broker.wait()
    pid_file.unlink(missing_ok=True)
    if plan["throw_away"] and unused.is_set():
        shutil.rmtree(plan["data"], ignore_errors=True)


def _stop_when_unused(plan: dict[str, Any], broker: "subprocess.Popen[bytes]", unused: threading.Event) -> None:
    with Path(plan["users"]).open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        Path(plan["closed"]).touch()
        unused.set()
        if not plan["throw_away"]:
            broker.terminate()
            try:
                broker.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            else:
                return
        broker.kill()
        broker.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
