"""Large dumps: the most memory that ingest, replay and the questions take for them, beside a small dump and the bare imports.

``python -m benchmarks.large_dumps [--records 1200000] [--stacks 3000] [--shape rising|mixed|two|all]``. The page frame numbers of a
*rising* dump rise, those of a *mixed* one do not; *two* are dumps of one boot with other owners each; *resumed* is a replay that
continues within the rising one. Each command is a process of its own; what is compiled has been compiled before.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.large_dumps import commands, peak, write_dump

SMALL = 1000
IMPORTS = "import duckdb, numba, pyarrow"
STOP = (
    "import sys; from pathlib import Path; from tests.replay.states import replay; "
    "replay(Path(sys.argv[1]), frames=int(sys.argv[2]))"
)
"""Replay so many frames, and write a tip."""

FRAME_RECORDS = 1 << 16


def main() -> int:
    """Write the dumps, run the commands, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_200_000)
    parser.add_argument("--stacks", type=int, default=3000)
    parser.add_argument("--shape", choices=("rising", "mixed", "two", "all"), default="all")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        print(f"{asked.records:,} records; {IMPORTS}: {peak('-c', IMPORTS) >> 20} MiB")
        small = write_dump(at / "small.txt", SMALL, stacks=asked.stacks)
        for command in commands(small, trail=at / "compiled").values():
            peak(*command)
        floors = {name: peak(*command) for name, command in commands(small, trail=at / "of_small").items()}
        for shape in ("rising", "mixed", "two") if asked.shape == "all" else (asked.shape,):
            dump = write_dump(at / "dump.txt", asked.records, stacks=asked.stacks, mixed=shape == "mixed")
            dumps = [dump]
            if shape == "two":
                dumps.append(write_dump(at / "later.txt", asked.records, stacks=asked.stacks, seed=6))
            print(f"{shape}: {sum(one.stat().st_size for one in dumps) >> 20:,} MiB")
            trail = at / shape
            measure(commands(*dumps, trail=trail), floors)
            if shape == "rising":
                measure_resumed(trail, asked.records, floors["replay"])
            shutil.rmtree(trail)
    return 0


def measure(named: Mapping[str, tuple[str, ...]], floors: Mapping[str, int]) -> None:
    """Run commands, and print what they took beside what they take of a small dump."""
    for name, command in named.items():
        began = time.monotonic()
        most = peak(*command)
        print(
            f"  {name}: {most >> 20} MiB in {time.monotonic() - began:.0f} s; of {SMALL:,} records {floors[name] >> 20} MiB"
        )


def measure_resumed(trail: Path, records: int, floor: int) -> None:
    """Replay again, with a stop within the dump."""
    shutil.rmtree(trail / "segments")
    peak("-c", STOP, str(trail), str(records // FRAME_RECORDS))
    measure({"resumed": ("-m", "pagetrail", "replay", "--trail", str(trail))}, {"resumed": floor})


if __name__ == "__main__":
    sys.exit(main())
