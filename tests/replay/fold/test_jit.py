"""The fold means the same with the JIT on and off."""

import os
import random
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.replay.states import folded
from tests.replay.strategies import history, to_frames


@pytest.mark.slow
def test_kernels_fold_to_the_same_digests_with_the_jit_on_and_off() -> None:
    seeds = [random.Random(seed).randbytes(300) for seed in range(12)]
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else "1"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.replay.digests", *(seed.hex() for seed in seeds)],
        cwd=REPOSITORY, env=os.environ | {"NUMBA_DISABLE_JIT": other}, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert told == [folded(to_frames(history(seed).recordings, [50])).digests[-1][2] for seed in seeds]
