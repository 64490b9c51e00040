"""How much memory this process may have, and how it gives some back: at once, as large dumps take it again and again."""

import ctypes
import mmap
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Source: malloc.h (glibc): the parameters of mallopt(3)."""

_PR_SET_THP_DISABLE: Final = 41
"""Source: include/uapi/linux/prctl.h (Linux 3.15 and later)."""

_RETURNED_BYTES: Final = 1 << 20
"""So much free memory goes back to the system: less would cost time, as each page that comes anew is zeroed."""


_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
"""Source: Documentation/admin-guide/cgroup-v2.rst: the limit of a cgroup; within a container, of its own."""


def machine_bytes() -> int:
    """Return how much memory this process may have at most: of the machine, of its cgroup, of its own limits."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):
        limits.append(int(_CGROUP.read_text()))
    limits += [soft for soft in (resource.getrlimit(resource.RLIMIT_AS)[0],) if soft != resource.RLIM_INFINITY]
    return min(limits)


def give_back_at_once() -> None:
    """Let glibc return freed blocks of a megabyte and more to the system, and Arrow use glibc's memory.

    By default glibc raises these limits up to 64 MB by itself (mallopt(3)), and Arrow's own pool keeps what was freed. Huge pages,
    which NumPy and DuckDB ask for, round up everything that they hold: 36 MB of 540, and no time was saved. Where the C library
    is another one, nothing changes.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    prctl = _of_glibc("prctl")
    if prctl is not None and sys.platform == "linux":
        prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _RETURNED_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)


def give_back() -> None:
    """Return to the system what has been freed between blocks that are in use: behind work that took much for a moment."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def forget(rows: NDArray[np.generic]) -> None:
    """Return the memory of *rows* to the system, and lose what they say: for rows that were copied, and that nobody reads again.

    They are of an array that has its memory for itself. The pages at both ends stay, as they may have other rows too.
    """
    madvise = _of_glibc("madvise") if sys.platform == "linux" else None
    first = -(-rows.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (rows.ctypes.data + rows.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if madvise is not None and stop > first:
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(stop - first), mmap.MADV_DONTNEED)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; null: there is another C library."""
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found
