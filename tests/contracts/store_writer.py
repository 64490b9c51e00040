"""Processes that write into a store: ``python -m tests.contracts.store_writer COMMAND BACKEND PLACE ARGUMENT…``.

``publish SEED COUNT`` and ``replace SEED COUNT`` wait for a line of stdin, write, and print the names that they published. ``stop
NAME`` is killed while it publishes that name. ``steps COMMAND FOLDER`` makes copies of PLACE, in each of which one command was
killed a step later, and prints how many steps there were.
"""

import os
import signal
import sys
from pathlib import Path

from tests.contracts.stores import BACKENDS, content, publish
from tests.faults.deadline import Deadline, killed_at_each_step

NEW, OLD = "host/boot/fold/new", "old.json"
SIZE = 300_000


def race_to_publish(backend: str, place: str, seed: str, count: str) -> None:
    """Publish names 0, 1, ...; print those that were published."""
    store = BACKENDS[backend].store(Path(place))
    print("ready", flush=True)
    sys.stdin.readline()
    won = [str(number) for number in range(int(count)) if publish(store, f"a/{number}", content(seed))]
    print(" ".join(won), flush=True)


def race_to_replace(backend: str, place: str, seed: str, count: str) -> None:
    """Replace one name again and again."""
    store = BACKENDS[backend].store(Path(place))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(count)):
        store.replace(OLD, content(seed))
    print("done", flush=True)


def stop(backend: str, place: str, name: str) -> None:
    """Die while *name* is written."""

    def write(draft: Path) -> None:
        draft.write_bytes(b"half")
        Path(f"{draft}.wal").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    BACKENDS[backend].store(Path(place)).publish_if_absent(name, write)


def steps(backend: str, place: str, command: str, folder: str) -> None:
    """Publish ``NEW``, or replace ``OLD``, in copies; print how many steps that takes."""

    def act(last: int, copy: Path) -> None:
        deadline = Deadline(last)
        BACKENDS[backend].count_steps(deadline)
        store = BACKENDS[backend].store(copy)

        def write(draft: Path) -> None:
            with draft.open("wb") as file:
                file.write(content("new", SIZE)[: SIZE // 2])
                file.flush()
                deadline.step()
                file.write(content("new", SIZE)[SIZE // 2 :])

        if command == "publish":
            store.publish_if_absent(NEW, write)
        else:
            store.replace(OLD, content("new", SIZE))

    print(killed_at_each_step(act, Path(place), Path(folder)))


COMMANDS = {"publish": race_to_publish, "replace": race_to_replace, "stop": stop, "steps": steps}


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
