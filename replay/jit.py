"""The options of every kernel, in one place.

A kernel allocates nothing and raises nothing, so it needs no reference counts (``_nrt=False``); inner kernels are always
inlined, as each call would otherwise copy a tuple of a dozen arrays (measured: 10 times slower).
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS: Final[dict[str, Any]] = {"nogil": True, "boundscheck": False, "error_model": "numpy", "_nrt": False}
_ENTRY: Final[dict[str, Any]] = _OPTIONS | {"cache": True, "forceinline": True}
_INNER: Final[dict[str, Any]] = _OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: _F) -> _F:
    """Compile an entry point, cached on disk; NUMBA_DISABLE_JIT=1 leaves it as Python, with equal results."""
    compiled: _F = numba.njit(**_ENTRY)(function)
    return compiled


def inner(function: _F) -> _F:
    """Compile a kernel that only other kernels call."""
    compiled: _F = numba.njit(**_INNER)(function)
    return compiled
