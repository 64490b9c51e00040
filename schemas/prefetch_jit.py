"""Asking the processor for memory before a jit function needs it."""

from typing import Any, Final

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_LINE: Final = 64
"""Bytes of a cache line of the processors that this runs on; where they are longer, some requests are for nothing."""


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
