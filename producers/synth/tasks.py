"""Who allocates in a synthetic load, and with which masks: a few tasks do most of it, as on real machines."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.linux.gfp import parse_gfp
from pagetrail.schemas.linux.mmzone import MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE
from pagetrail.schemas.linux.releases import gfp_of

RELEASE: Final = "6.1.0"
"""The kernel that a load pretends to be of: its names of gfp flags are read without doubt."""

TASKS: Final = 256
RANKS: Final = 1 << 12
"""Entries of ``task_by_rank``: one of them, drawn at random, is the next task."""
MASKS_DRAWN: Final = 64
"""Entries of a row of ``mask_by_draw``."""

_COMMS: Final = (
    "java", "postgres", "nginx", "cc1plus", "redis-server", "python3", "kworker/u16:3", "rustc", "ld.lld", "etcd", "containerd",
    "node", "ksoftirqd/0", "systemd-journal", "git", "sshd",
)  # fmt: skip
_FIRST_PID: Final = 300
_PID_STEP: Final = 37


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A gfp mask as the kernel prints it, its migratetype, and how often of ``MASKS_DRAWN`` times it is drawn."""

    text: str
    migratetype: int
    weight: int

    @property
    def bits(self) -> int:
        """The mask as a number."""
        return parse_gfp(self.text, gfp_of(RELEASE).flags)


_SINGLE: Final = (
    Mask(text="GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO", migratetype=MIGRATE_MOVABLE, weight=20),
    Mask(text="GFP_HIGHUSER_MOVABLE|__GFP_COMP", migratetype=MIGRATE_MOVABLE, weight=18),
    Mask(text="GFP_KERNEL_ACCOUNT|__GFP_ZERO", migratetype=MIGRATE_UNMOVABLE, weight=8),
    Mask(text="GFP_KERNEL", migratetype=MIGRATE_UNMOVABLE, weight=6),
    Mask(text="GFP_HIGHUSER|__GFP_ACCOUNT", migratetype=MIGRATE_UNMOVABLE, weight=4),
    Mask(text="GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_RECLAIMABLE", migratetype=MIGRATE_RECLAIMABLE, weight=4),
    Mask(text="GFP_NOWAIT|__GFP_NOWARN", migratetype=MIGRATE_UNMOVABLE, weight=2),
    Mask(text="GFP_ATOMIC", migratetype=MIGRATE_UNMOVABLE, weight=2),
)
"""Of single pages."""
_BLOCKS: Final = (
    Mask(text="GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP", migratetype=MIGRATE_UNMOVABLE, weight=28),
    Mask(text="GFP_HIGHUSER_MOVABLE|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP", migratetype=MIGRATE_MOVABLE, weight=24),
    Mask(
        text="GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_RECLAIMABLE",
        migratetype=MIGRATE_RECLAIMABLE,
        weight=12,
    ),
)
"""Of blocks of higher orders."""
MASKS: Final = (*_SINGLE, *_BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A thread."""

    pid: int
    comm: str


def tasks() -> tuple[Task, ...]:
    """Return the tasks of a host, the busiest first."""
    return tuple(Task(pid=_FIRST_PID + _PID_STEP * k, comm=_COMMS[k % len(_COMMS)]) for k in range(TASKS))


def task_by_rank() -> NDArray[np.int32]:
    """Return the task of each of ``RANKS`` draws, shape (RANKS,): the k-th task has a share of 1/k (Zipf's law)."""
    weights = [RANKS * 16 // (k + 1) for k in range(TASKS)]
    ends, total = np.cumsum(weights), sum(weights)
    draws = (2 * np.arange(RANKS) + 1) * total // (2 * RANKS)
    return np.searchsorted(ends, draws, side="right").astype(np.int32)


def mask_by_draw() -> NDArray[np.int8]:
    """Return the number in ``MASKS`` of each draw, shape (2, MASKS_DRAWN): of single pages, and of blocks."""
    rows = [np.repeat(np.arange(len(part)), [mask.weight for mask in part]) for part in (_SINGLE, _BLOCKS)]
    return np.array([rows[0], rows[1] + len(_SINGLE)], np.int8)
