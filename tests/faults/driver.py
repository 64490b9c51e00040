"""Ingest and replay as a process of its own: ``python -m tests.faults.driver ingest TRAIL FILE`` or ``replay TRAIL``.

It says ``ready`` when everything is imported, ``done`` at the end, and the name of the error where there is one. The library is
called, not the command line, as a test wants small frames and segments.
"""

import sys
from pathlib import Path

from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.recordings import open_recording
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.schemas.errors import PagetrailError
from tests.faults.small_frames import small_frames

FLOOR = 2_000


def ingest_file(trail: str, file: str) -> None:
    """Ingest *file* in small frames, each appended by itself."""
    sys.modules[ingest.__module__].APPEND_FRAMES = 1  # type: ignore[attr-defined]
    recording = open_recording(file)
    with SqliteLogWriter(Path(trail)) as log, small_frames():
        ingest(recording, origin_of(recording, producer_version="0"), log)


def replay(trail: str) -> None:
    """Replay in small segments and small reads, so that cuts are frequent."""
    with SqliteLogReader(Path(trail)) as log:
        Replayer(Path(trail), log, options=FoldOptions(floor=FLOOR, events_a_live=1), read_bytes=100_000).run()


COMMANDS = {"ingest": ingest_file, "replay": replay}


def main(command: str, *arguments: str) -> None:
    """Run one command; what pagetrail can explain becomes its name and exit code."""
    print("ready", flush=True)
    try:
        COMMANDS[command](*arguments)
    except PagetrailError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(error.exit_code) from None
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
