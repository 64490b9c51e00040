"""Recordings of real kernels, cut and read at odd sizes, fold to the same facts."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import pytest

from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.replayer import Replayer
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.frames import Frame, decode_frame, encode_frame, frame_digest
from tests.captures.conftest import ReplayedCapture
from tests.replay.states import store


def recut(trail: Path, sizes: Sequence[int]) -> Iterator[Frame]:
    """Yield the events of a trail of one recording in frames of other sizes, over and over."""
    with SqliteLogReader(trail) as log:
        records, offset = [], 0
        while found := log.read(0, offset):
            records += found
            offset += len(found)
    whole: EventBatch = concat([decode_frame(record.payload)[1] for record in records])
    start = 0
    for number, size in enumerate(cycle(sizes)):
        batch = whole.slice(start, start + size)
        if not len(batch):
            return
        seq, ts = batch.column("seq"), batch.column("trace_ts_nsec")
        header = dataclasses.replace(
            records[0].header, frame=number, rows=len(batch), first_seq=int(seq[0]), last_seq=int(seq[-1]),
            first_ts=int(ts[0]), last_ts=int(ts[-1]),
        )  # fmt: skip
        payload = encode_frame(batch, header)
        yield Frame(header=header, payload=payload, digest=frame_digest(payload))
        start += size


@pytest.mark.parametrize(("capture", "sizes"), [("small", (7_919, 1, 30_011, 3)), ("probes", (99_991, 17, 200_003))])
def test_odd_frames_and_reads_fold_a_capture_to_the_same_store(
    replayed_capture: ReplayedCapture, tmp_path: Path, capture: str, sizes: tuple[int, ...]
) -> None:
    expected = replayed_capture(capture)
    with SqliteLogWriter(tmp_path) as log:
        log.append(list(recut(expected.path, sizes)))
    with SqliteLogReader(tmp_path) as reader:
        Replayer(tmp_path, reader, options=FoldOptions(correct=False), read_bytes=333_333).run()
    assert store(tmp_path) == store(expected.path)


def test_a_capture_stopped_again_and_again_folds_to_the_same_store(
    replayed_capture: ReplayedCapture, tmp_path: Path
) -> None:
    expected = replayed_capture("small")
    with SqliteLogWriter(tmp_path) as log:
        log.append(list(recut(expected.path, (40_009,))))
    for most in range(1, 20):  # more each time: a stop in the middle of a dump goes back to its beginning
        with SqliteLogReader(tmp_path) as reader:
            replayer = Replayer(tmp_path, reader, options=FoldOptions(correct=False))
            if replayer.run(stop=lambda r=replayer, n=most: r.report.frames >= n).frames < most:  # type: ignore[misc]
                break
    assert store(tmp_path) == store(expected.path)
