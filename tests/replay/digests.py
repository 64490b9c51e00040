"""``python -m tests.replay.digests SEED…``: the digests of the histories that these seeds (hex) tell."""

import sys

from tests.replay.states import folded
from tests.replay.strategies import history, to_frames


def main(seeds: list[str]) -> None:
    """Print the digest of the last stretch of each history."""
    for seed in seeds:
        print(folded(to_frames(history(bytes.fromhex(seed)).recordings, [50])).digests[-1][2])


if __name__ == "__main__":
    main(sys.argv[1:])
