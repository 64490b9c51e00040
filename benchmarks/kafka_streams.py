"""Many small streams on one replayer: its memory, with all of them busy in turns, silent, and back again.

``python -m benchmarks.kafka_streams [--streams 1000] [--memory MIB] [--idle SECONDS]``. Hosts of the workload model, on one
partition of a broker of its own or the one at $PAGETRAIL_KAFKA. The frames come in two halves, one frame of each host in turn.
"""

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from benchmarks import brokers
from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.ingest import origin_of
from pagetrail.replay.log.kafka import KafkaLogReader
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from tests.contracts.test_log_kafka import as_message, send_raw
from tests.model.recording import ModelHost, ModelRecording, model_recording

FRAME_EVENTS = 100


def main() -> int:
    """Send, replay, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--memory", type=int, default=2048, help="MiB that streams may take before they leave")
    parser.add_argument("--idle", type=float, default=1.0, help="seconds until a silent stream leaves")
    asked = parser.parse_args()
    with brokers.kafka() as kafka, tempfile.TemporaryDirectory() as folder:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(name)
        address = parse_log_address(f"kafka://{kafka.bootstrap}/{name}")
        hosts = [_frames(number) for number in range(asked.streams)]
        print(f"{asked.streams} streams, {sum(f.header.rows for h in hosts for f in h):,} events", flush=True)
        settings = ReplaySettings(
            store=store_of(Path(folder)), read_bytes=1 << 20, idle_seconds=asked.idle, memory_bytes=asked.memory << 20
        )
        with KafkaLogReader(address) as reader:
            part = PartitionReplay(reader, 0, settings, ReplayReport())
            _say("before", part)
            for half in (0, 1):
                middle = [len(host) // 2 for host in hosts]
                _send(address, [h[m:] if half else h[:m] for h, m in zip(hosts, middle, strict=True)])
                _replay(part, "first half" if half == 0 else "second half")
                time.sleep(asked.idle + 0.1)  # what is measured is what silence leaves
                part.step()
                _say("  after silence", part)
            end = reader.high_watermark(0)
            print(f"offset needed by a resume: {part.resume_offset}, end of the log: {end}")
    return 0


def _frames(number: int) -> list[Frame]:
    host = ModelHost(host=f"host-{number}", seed=number, events=300, boot_id=f"boot-{number}")
    recording = model_recording(ModelRecording(host))
    framer = Framer(origin_of(recording, producer_version="0"), frame_events=FRAME_EVENTS)
    frames = [frame for batch in recording.parser.batches() for frame in framer.add(batch)]
    return frames + list(framer.finish())


def _send(address: KafkaAddress, hosts: Sequence[Sequence[Frame]]) -> None:
    """Send frames of all hosts in turns."""
    turns = range(max(map(len, hosts), default=0))
    send_raw(address, *(as_message(host[turn]) for turn in turns for host in hosts if turn < len(host)))


def _replay(part: PartitionReplay, what: str) -> None:
    began, most = time.monotonic(), 0
    while part.step():
        most = max(most, len(part.streams))
    _say(f"{what}: {time.monotonic() - began:.0f} s, at most {most} streams in memory;", part)


def _say(what: str, part: PartitionReplay) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(
        f"{what} RSS {pages * os.sysconf('SC_PAGE_SIZE') >> 20} MiB (most {int(peak.split()[1]) >> 10}), "
        f"{len(part.streams)} streams in memory",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
