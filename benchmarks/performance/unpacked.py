"""``python -m benchmarks.performance.unpacked FILE.zst``: its uncompressed bytes, to stdout.

A process of its own, as a window of 128 MiB would count as memory of each process that is started afterwards.
"""

import sys
from pathlib import Path

import zstandard

WINDOW = 1 << 27


if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as packed:
        zstandard.ZstdDecompressor(max_window_size=WINDOW).copy_stream(packed, sys.stdout.buffer)
