"""How functions are compiled: the options of all of them, in one place, and how long compiled code on disk is good.

A compiled function allocates nothing and raises nothing, so it needs no reference counts (``_nrt=False``). Inner functions are
always inlined, as each call of the fold's would otherwise copy a tuple of a dozen arrays (measured: 10 times slower).

NUMBA_DISABLE_JIT=1 leaves every function as Python, with equal results. NUMBA_BOUNDSCHECK=1 compiles them with a check of every
index, which raises IndexError: ``make boundscheck`` runs tests so.
"""

import hashlib
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final, TypeVar

import numba
import numpy as np
from numba import types
from numba.core.caching import FunctionCache

_F = TypeVar("_F", bound=Callable[..., Any])

BOUNDS_ARE_CHECKED: Final = bool(getattr(numba.config, "BOUNDSCHECK", False))
"""Whether the environment asks for checks of every index: numba takes that for more than any option."""

_OPTIONS: Final[dict[str, Any]] = {
    "nogil": True, "boundscheck": BOUNDS_ARE_CHECKED, "error_model": "numpy", "forceinline": True, "_nrt": False,
}  # fmt: skip
_ENTRY: Final[dict[str, Any]] = _OPTIONS | {"cache": True}
_INNER: Final[dict[str, Any]] = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: _F) -> _F:
    """Compile an entry point, which Python calls; what is compiled is kept on disk."""
    entry = _compiled(function, _ENTRY)
    if entry is not function:
        entry._cache = _EntryCache(function)
    typed: _F = entry
    return typed


def inner(function: _F) -> _F:
    """Compile a function that only compiled functions call."""
    typed: _F = _compiled(function, _INNER)
    return typed


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return *function* compiled, once for all numbers of a type: numba would compile it anew for each constant in a call.

    Inlined, a constant is as good as in a function of its own, and it takes half the time to compile the fold.
    """
    compiled: Any = numba.njit(**options)(function)
    if compiled is not function:
        of_types = compiled.get_call_template
        compiled.get_call_template = lambda args, kws: of_types(
            [types.unliteral(one) for one in args], {name: types.unliteral(one) for name, one in kws.items()}
        )
    return compiled


class _EntryCache(FunctionCache):
    """Compiled code on disk, for as long as the entry point and all that is inlined into it stay the same.

    numba itself asks whether the entry point's own file has changed, and inner functions stand in others: after an update of one of
    those, the old rules would be run. Nor does it ask whether the code on disk checks its indices.
    """

    def _index_key(self, sig: object, codegen: object) -> tuple[object, ...]:
        return (*super()._index_key(sig, codegen), inlined_digest(self._py_func), BOUNDS_ARE_CHECKED)


def inlined_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a compiled function and of every one that it calls: code, constants, and global values by name."""
    digest = hashlib.sha256()
    functions = [function]
    for one in functions:
        for code in _codes(one.__code__):
            constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
            digest.update(repr((code.co_code, constants, code.co_names)).encode())
            for name in code.co_names:
                value = one.__globals__.get(name)
                called = getattr(value, "py_func", value)
                if isinstance(called, FunctionType) and called not in functions:
                    functions.append(called)
                elif isinstance(value, np.ndarray):
                    digest.update(repr((name, value.dtype, value.shape, value.tobytes())).encode())
                elif isinstance(value, int | float | str | tuple | np.generic):
                    digest.update(repr((name, value)).encode())
    return digest.hexdigest()


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield code and all code within it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)
