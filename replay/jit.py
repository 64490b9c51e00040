"""The options of every kernel, in one place.

A kernel allocates nothing and raises nothing, so it needs no reference counts (``_nrt=False``); inner kernels are always
inlined, as each call would otherwise copy a tuple of a dozen arrays (measured: 10 times slower).
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS: Final = {"nogil": True, "boundscheck": False, "error_model": "numpy", "_nrt": False}


def jit(function: _F) -> _F:
    """Compile an entry point, cached on disk; NUMBA_DISABLE_JIT=1 leaves it as Python, with equal results."""
    compiled: _F = numba.njit(cache=True, forceinline=True, **_OPTIONS)(function)
    return compiled


def inner(function: _F) -> _F:
    """Compile a kernel that only other kernels call."""
    compiled: _F = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return compiled
