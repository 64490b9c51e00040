"""A large dump: the most memory that ingest, replay, top, leaks and snapshot take for it, beside a small dump and the bare imports.

``python -m benchmarks.large_dumps [--records 1200000] [--stacks 3000]``. Each command is a process of its own; what is compiled
has been compiled before.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.large_dumps import commands, peak, write_dump

SMALL = 1000
IMPORTS = "import duckdb, numba, pyarrow"


def main() -> int:
    """Write the dumps, run the commands, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_200_000)
    parser.add_argument("--stacks", type=int, default=3000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        small = write_dump(at / "small.txt", SMALL, stacks=asked.stacks)
        large = write_dump(at / "large.txt", asked.records, stacks=asked.stacks)
        print(
            f"{asked.records:,} records in {large.stat().st_size >> 20:,} MiB; {IMPORTS}: {peak('-c', IMPORTS) >> 20} MiB"
        )
        for command in commands(small, at / "compiled").values():
            peak(*command)
        floors = {name: peak(*command) for name, command in commands(small, at / "of_small").items()}
        for name, command in commands(large, at / "of_large").items():
            began = time.monotonic()
            most = peak(*command)
            print(
                f"{name}: {most >> 20} MiB in {time.monotonic() - began:.0f} s; of {SMALL:,} records {floors[name] >> 20} MiB; "
                f"{(most - floors[name]) / asked.records:.0f} bytes a record more"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
