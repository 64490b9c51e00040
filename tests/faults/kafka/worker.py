"""A producer or a replayer as a process of its own: ``python -m tests.faults.kafka.worker produce|replay JSON``.

It says ``ready`` when everything is imported, and ``done`` at the end; what pagetrail can explain becomes its name.
The library is called, not the command line, as a test wants small segments, steps and times.
"""

import json
import signal
import sys
import threading
from pathlib import Path

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader, ReadLimits
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.group import GroupReplayer, Membership
from pagetrail.replay.run.partition import ReplaySettings
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.errors import LogUnreachable, PagetrailError
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address

FLOOR = 2_000
"""Events of a segment, at least: so that sealing is frequent."""

STEP_BYTES = 30_000
TIMES = {
    "session.timeout.ms": "1500",
    "heartbeat.interval.ms": "300",
    "reconnect.backoff.ms": "50",
    "reconnect.backoff.max.ms": "500",
    "topic.metadata.refresh.interval.ms": "1000",
}


def address(log: str) -> KafkaAddress:
    """Return the address of a log, with sessions that are over soon."""
    parsed = parse_log_address(log)
    return KafkaAddress(brokers=parsed.brokers, topic=parsed.topic, settings=TIMES)


def frames_of(trail: Path) -> list[Frame]:
    """Return the frames of an embedded log, in its order."""
    frames: list[Frame] = []
    with SqliteLogReader(trail) as log:
        end = log.high_watermark(0)
        while len(frames) < end:
            found = log.read(0, len(frames))
            frames += [Frame(header=r.header, payload=r.payload, digest=r.digest) for r in found]
    return frames


def produce(*, log: str, source: str) -> None:
    """Send what an embedded log holds, a few frames at a time; an append that failed is done again by a new writer."""
    frames = frames_of(Path(source))
    for _ in range(20):
        try:
            with KafkaLogWriter(parse_log_address(log)) as topic:
                for at in range(0, len(frames), 4):
                    topic.append(frames[at : at + 4])
            return
        except LogUnreachable as error:
            print(f"again: {error}", flush=True)
    raise SystemExit(4)


def replay(*, log: str, trail: str, group: str, follow: bool = False, floor: int = FLOOR) -> None:
    """Replay as a member of a group."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    settings = ReplaySettings(
        store=store_of(Path(trail)),
        options=FoldOptions(floor=floor, events_a_live=1),
        read_bytes=STEP_BYTES,
        tip_seconds=0.5,
        idle_seconds=1.0,
    )
    where = address(log)
    with KafkaLogReader(where, ReadLimits(seconds=15)) as reader:
        replayer = GroupReplayer(reader, Membership(address=where, group=group), settings)
        report = replayer.run(follow=follow, stop=stopped.is_set)
    print(json.dumps({"events": report.events, "lost": report.losses}), flush=True)


COMMANDS = {"produce": produce, "replay": replay}


def main(command: str, arguments: str) -> None:
    """Run one command."""
    print("ready", flush=True)
    try:
        COMMANDS[command](**json.loads(arguments))
    except PagetrailError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise SystemExit(error.exit_code) from None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # an interpreter that ends takes our handler back
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
