"""How kernels are compiled: the options of all of them, in one place, and until when compiled code on disk is good.

A kernel allocates nothing and raises nothing, so it needs no reference counts (``_nrt=False``); inner kernels are always
inlined, as each call would otherwise copy a tuple of a dozen arrays (measured: 10 times slower).
"""

import hashlib
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS: Final[dict[str, Any]] = {"nogil": True, "boundscheck": False, "error_model": "numpy", "_nrt": False}
_ENTRY: Final[dict[str, Any]] = _OPTIONS | {"cache": True, "forceinline": True}
_INNER: Final[dict[str, Any]] = _OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: _F) -> _F:
    """Compile an entry point, cached on disk; NUMBA_DISABLE_JIT=1 leaves it as Python, with equal results."""
    compiled: Any = numba.njit(**_ENTRY)(function)
    if compiled is not function:
        compiled._cache = _KernelCache(function)
    kernel: _F = compiled
    return kernel


def inner(function: _F) -> _F:
    """Compile a kernel that only other kernels call."""
    compiled: _F = numba.njit(**_INNER)(function)
    return compiled


class _KernelCache(FunctionCache):
    """Compiled code on disk, for as long as the entry point and all that is inlined into it say the same.

    numba itself asks whether the entry point's own file has changed, and inner kernels stand in others: after an update of one of
    those, the old rules would be run.
    """

    def _index_key(self, sig: object, codegen: object) -> tuple[object, ...]:
        return (*super()._index_key(sig, codegen), inlined_digest(self._py_func))


def inlined_digest(function: Callable[..., Any]) -> str:
    """Return a digest of what a kernel says, and every kernel that it calls: code, constants, and global values by name."""
    digest = hashlib.sha256()
    functions = [function]
    for one in functions:
        for code in _codes(one.__code__):
            constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
            digest.update(repr((code.co_code, constants, code.co_names)).encode())
            for name in code.co_names:
                value = one.__globals__.get(name)
                called = getattr(value, "py_func", None)
                if called is None and isinstance(value, int | float | str | tuple | np.generic):
                    digest.update(repr((name, value)).encode())
                elif called is not None and called not in functions:
                    functions.append(called)
    return digest.hexdigest()


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield code and all code within it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)
