"""``python -m benchmarks.performance.limits TRAIL RUNS``: the least that a replay of a log can take, as JSON: seconds of each run.

To decode its frames, without anything that follows; and to copy the bytes of their columns, in memory.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log.contract import EMBEDDED_PARTITION


def decoded(trail: Path) -> Iterator[EventBatch]:
    """Yield the events of each frame of a trail's log."""
    with SqliteLogReader(trail) as log:
        offset = 0
        while records := log.read(EMBEDDED_PARTITION, offset):
            for record in records:
                yield decode_frame(record.payload)[1]
            offset = records[-1].offset + 1


def main() -> None:
    """Print the seconds."""
    trail, runs = Path(sys.argv[1]), int(sys.argv[2])
    seconds: dict[str, list[float]] = {"decode only": [], "memcpy of the decoded columns": []}
    for _ in range(runs + 1):
        decoding = copying = 0.0
        began = time.perf_counter()
        for batch in decoded(trail):
            decoding += time.perf_counter() - began
            began = time.perf_counter()
            for column in batch.columns.values():
                np.copy(column)
            copying += time.perf_counter() - began
            began = time.perf_counter()
        seconds["decode only"].append(decoding)
        seconds["memcpy of the decoded columns"].append(copying)
    print(json.dumps({name: taken[1:] for name, taken in seconds.items()}))


if __name__ == "__main__":
    main()
