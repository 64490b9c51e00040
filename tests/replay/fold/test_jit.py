"""Kernels mean the same with the JIT on and off."""

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.replay.states import folded
from tests.replay.strategies import history, to_frames


def test_kernels_fold_to_the_same_digests_with_the_jit_on_and_off() -> None:
    seeds = [random.Random(seed).randbytes(300) for seed in range(12)]
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else "1"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.replay.digests", *(seed.hex() for seed in seeds)],
        cwd=REPOSITORY, env=os.environ | {"NUMBA_DISABLE_JIT": other}, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert told == [folded(to_frames(history(seed).recordings, [50])).digests[-1][2] for seed in seeds]


ENTRY = """
from low import add
from pagetrail.schemas.jit import jit

@jit
def entry(x):
    return add(x)

print(entry(1), sum(entry.stats.cache_hits.values()))
"""
INNER = """
from pagetrail.schemas.jit import inner

MORE = {more}

@inner
def add(x):
    return x {sign} MORE
"""


def test_a_kernel_whose_inner_kernel_has_changed_is_compiled_again(tmp_path: Path) -> None:
    """GIVEN compiled code on disk WHEN only what is inlined into it changes THEN the new rule runs, not the old one."""
    said = []
    for more, sign in ((1, "+"), (1, "+"), (5, "+"), (5, "-")):
        (tmp_path / "entry.py").write_text(ENTRY)
        (tmp_path / "low.py").write_text(INNER.format(more=more, sign=sign))
        environment = os.environ | {
            "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip
        ran = subprocess.run(
            [sys.executable, "entry.py"], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        said.append(ran.stdout.split())
    assert said == [["2", "0"], ["2", "1"], ["6", "0"], ["-4", "0"]]
