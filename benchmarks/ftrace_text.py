"""Events a second of ftrace text without stacks, beside a line reader that does nothing: ``make bench``.

The input is the trace that the demo ships, its stacks cut out, repeated for parsing; or the file named as the first argument. It is
parsed on one core, and ingested as the command does it: named by its content, parsed, and appended to a log that is durable.
"""

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from pagetrail.ingesting import ingest
from pagetrail.producers.formats.text.ftrace import FtraceText

DEMO = Path(__file__).parents[1] / "pagetrail" / "demo_data" / "host-b" / "trace.txt.zst"


def best(work: Callable[[], int], rounds: int = 5) -> tuple[int, float]:
    """Return what *work* counted, and its best time in seconds; the first, compiling, round is left out."""
    count = work()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return count, min(times)


def ingested(data: bytes, rounds: int = 5) -> tuple[int, float, float]:
    """Return how many events an ingest of *data* stores, and the median seconds that it takes: of the clock, and of processors."""
    times = []
    events = 0
    with tempfile.TemporaryDirectory() as folder:
        (trace := Path(folder) / "trace.txt").write_bytes(data)
        for nr in range(rounds + 1):
            begin, used = time.perf_counter(), time.process_time()
            events = ingest(Path(folder) / f"trail-{nr}", trace).events
            times.append((time.perf_counter() - begin, time.process_time() - used))
    clock, processors = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return events, clock, processors


def main() -> None:
    """Print the rates and their ratio."""
    if len(sys.argv) > 1:
        data = one = Path(sys.argv[1]).read_bytes()
    else:
        lines = zstandard.ZstdDecompressor().stream_reader(DEMO.open("rb")).read().splitlines(keepends=True)
        one = b"".join(line for line in lines if not line.startswith(b" =>") and b"<stack trace>" not in line)
        data = one * 4
    events, parse = best(lambda: sum(len(batch) for batch in FtraceText(io.BytesIO(data), source="bench").batches()))
    _, read = best(lambda: sum(1 for _ in io.BytesIO(data)))
    stored, clock, processors = ingested(one)  # four boots would be four recordings
    sys.stdout.write(
        f"{events:,} events, {len(data) / 1e6:.0f} MB of text\n"
        f"pagetrail parses      {events / parse / 1e6:.2f} M events/s ({len(data) / parse / 1e6:.0f} MB/s)\n"
        f"Python reads lines    {events / read / 1e6:.2f} M events/s ({len(data) / read / 1e6:.0f} MB/s)\n"
        f"ratio                 {read / parse:.2f}\n"
        f"pagetrail ingests     {stored / clock / 1e6:.2f} M events/s, {processors / stored * 1e6:.2f} us of processors an event\n"
    )


if __name__ == "__main__":
    main()
