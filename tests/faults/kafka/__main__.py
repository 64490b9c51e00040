"""Many rounds of each fault at random instants: ``python -m tests.faults.kafka --rounds 20 [--seed N] [--only NAME]``.

Three brokers, four hosts on four partitions, three copies of each. After each round the store has to be, file by file and
digest by digest, that of an undisturbed replay of the same frames, without a hole, each event counted once.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.kafka.bench import Bench
from tests.faults.kafka.rounds import ROUNDS
from tests.kafka.cluster import Cluster


def main() -> int:
    """Run what was asked for, a line a fault; return 1 when a round failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kafka", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", choices=sorted(ROUNDS), action="append")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pagetrail-faults-") as folder, Cluster(brokers=3) as cluster:
        bench = Bench(cluster, Path(folder), random.Random(asked.seed))
        for name in asked.only or ROUNDS:
            failed += _fault(bench, name, asked.rounds)
    return 1 if failed else 0


def _fault(bench: Bench, name: str, rounds: int) -> int:
    hits = failed = 0
    began = time.monotonic()
    for number in range(rounds):
        bench.cluster.heal()
        try:
            hits += ROUNDS[name](bench)
        except Exception:  # noqa: BLE001  # a round that failed is told, and the next one begins
            failed += 1
            print(f"{name}, round {number}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    took = time.monotonic() - began
    print(f"{name}: {rounds} rounds, {hits} hit work under way, {failed} failed, {took:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
