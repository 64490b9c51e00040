"""How jit functions are compiled: the options of all of them, in one place, and how long compiled code on disk is valid.

A jit function allocates nothing and raises nothing, so it needs no reference counts (``_nrt=False``). Inner functions are
inlined, because each call would otherwise copy a tuple of a dozen arrays (measured in the fold: 10 times slower).

NUMBA_DISABLE_JIT=1 leaves every function as Python, with equal results. NUMBA_BOUNDSCHECK=1 compiles them with a check of every
index, which raises IndexError: ``make boundscheck`` runs tests that way.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic

_F = TypeVar("_F", bound=Callable[..., Any])

BOUNDS_ARE_CHECKED: Final = bool(getattr(numba.config, "BOUNDSCHECK", False))
"""Whether the environment asks for checks of every index: for numba, that overrides the option."""

_OPTIONS: Final[dict[str, Any]] = {
    "nogil": True, "boundscheck": BOUNDS_ARE_CHECKED, "error_model": "numpy", "forceinline": True, "_nrt": False,
}  # fmt: skip
_ENTRY: Final[dict[str, Any]] = _OPTIONS | {"cache": True}
_INNER: Final[dict[str, Any]] = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: _F) -> _F:
    """Compile an entry point, which Python calls; the compiled code is cached on disk."""
    entry = _compiled(function, _ENTRY)
    if entry is not function:
        entry._cache = _EntryCache(function)
    typed: _F = entry
    return typed


def inner(function: _F) -> _F:
    """Compile a function that only jit functions call."""
    typed: _F = _compiled(function, _INNER)
    return typed


def apart(function: _F) -> _F:
    """Compile a function that only jit functions call, and that is not inlined: it is long, and takes few arguments."""
    typed: _F = _compiled(function, _INNER | {"forceinline": False})
    return typed


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return *function* compiled once for all values of a type: numba would compile it again for each constant in a call.

    Inlining optimizes constants just as well, and the fold compiles in half the time.
    """
    compiled: Any = numba.njit(**options)(function)
    if compiled is not function:
        of_types = compiled.get_call_template
        compiled.get_call_template = lambda args, kws: of_types(
            [types.unliteral(one) for one in args], {name: types.unliteral(one) for name, one in kws.items()}
        )
    return compiled


class _EntryCache(FunctionCache):
    """Compiled code on disk, valid while the entry point and all functions inlined into it stay the same.

    numba itself only checks whether the entry point's own file has changed. Inner functions are in other files: after an update of
    one of those, it would run the old rules. Nor does it check whether the code on disk has bounds checks.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        there = self._cache_file
        self._cache_file = _CacheFile(
            cache_path=there._cache_path, filename_base=self._impl.filename_base, source_stamp=there._source_stamp
        )

    def _index_key(self, sig: object, codegen: object) -> tuple[object, ...]:
        return (*super()._index_key(sig, codegen), inlined_digest(self._py_func), BOUNDS_ARE_CHECKED)


class _CacheFile(IndexDataCacheFile):
    """The cache files of one function; if they cannot be read, the function is compiled again.

    An index contains the types of arguments. After an update, one of another version may refer to a class that no longer exists.
    """

    def _load_index(self) -> dict[object, str]:
        try:
            index: dict[object, str] = super()._load_index()
        except _UNREADABLE:
            return {}
        return index

    def _load_data(self, name: str) -> object:
        try:
            return super()._load_data(name)
        except _UNREADABLE as error:
            raise OSError(f"{name}: {error}") from error  # numba compiles again then


_UNREADABLE: Final = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError)
"""Exceptions of unpickling bytes that are damaged, or refer to missing names."""


def inlined_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a jit function and of every one that it calls: code, constants, and global values by name."""
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


# -- memory that is needed soon ------------------------------------------------------------------------------------------

_LINE: Final = 64
"""Bytes of a cache line of the processors that this runs on; where they are longer, some requests are for nothing."""


READ_AHEAD: Final = 16
"""So many rows ahead, a loop requests what it reads out of order, if each row takes it a few nanoseconds."""


def _nothing(array: Any, row: Any) -> None:
    """Do nothing: an interpreter is slower than any memory."""


def _prefetch(_: Any, array: Any, row: Any) -> Any:
    """Request the cache lines of ``array[row]``: *array* has one dimension, *row* is within it."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = signature.args[0]
        first = cgutils.get_item_pointer(
            context, builder, kind, context.make_array(kind)(context, builder, given[0]), [given[1]], wraparound=False
        )
        byte = builder.bitcast(first, ir.IntType(8).as_pointer())
        request = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte.type, *[ir.IntType(32)] * 3]),
            "llvm.prefetch.p0i8",
        )
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        to_read, keep, data = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        for at in (*range(0, size, _LINE), *((size - 1,) if size > _LINE else ())):
            builder.call(request, [builder.gep(byte, [ir.Constant(ir.IntType(64), at)]), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(array, row), generate


prefetch: Final[Any] = _nothing if getattr(numba.config, "DISABLE_JIT", False) else intrinsic(_prefetch)
