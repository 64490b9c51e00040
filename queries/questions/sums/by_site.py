"""Sums of bytes by call site, as /proc/allocinfo has them, compared with the pages whose stacks replay has at that instant."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pagetrail.producers.formats.allocinfo import Site, read_allocinfo
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.holders.owned import page_bytes
from pagetrail.queries.questions.sums.by_stack import pages_by_stack

SITE_AUDIT_SCHEMA: Final = pa.schema(
    [
        pa.field("function", pa.utf8(), metadata={"doc": "that the lines stand in; null: no function of a stack has lines"}),
        pa.field("module", pa.utf8(), metadata={"doc": "that the function is in; null: the kernel itself"}),
        pa.field("places", pa.utf8(), metadata={"doc": "file and line of each, a line a place"}),
        pa.field("kernel_bytes", pa.int64(), metadata={"doc": "bytes that the file says, all lines of the function together"}),
        pa.field("bytes", pa.int64(), metadata={"doc": "bytes of pages whose stack has it innermost of all with lines"}),
        pa.field("certain_bytes", pa.int64(), metadata={"doc": "those of pages that are certain of their owner"}),
        pa.field("class", pa.utf8(), metadata={"doc": "agree, or how they differ"}),
    ]
)  # fmt: skip
"""A row a function, those that differ most first."""

AGREE, OBJECTS, INLINED, FEWER, TOO_FEW, MORE, ELSEWHERE = SITE_CLASSES = (
    "agree",
    "objects of slabs: not pages alone",
    "in no stack: inlined, or objects of slabs",
    "fewer in the kernel: as many may be wrong here",
    "fewer in the kernel than are certain here",
    "more in the kernel",
    "stack not recorded, or no function of it has lines",
)
"""How the sums of a function may differ.

Of a slab, its pages are counted where mm/slub.c allocates them, and its objects once more where they are allocated. A function that
the compiler inlined is in no stack: its pages are those of the function around it. So a difference is a question, and no verdict.
"""

_Function = tuple[str, str | None]


def audit_sites(stream: Stream, file: Path, at: Instant) -> pa.Table:
    """Return the sums of bytes by function that *file* has against those of replay at an instant: ``SITE_AUDIT_SCHEMA``.

    Raises
    ------
    InputError
        The file is no /proc/allocinfo.
    """
    page = page_bytes(stream)
    sites: dict[_Function, list[Site]] = defaultdict(list)
    for site in read_allocinfo(file):
        sites[site.function, site.module].append(site)
    ours: dict[_Function | None, list[int]] = defaultdict(lambda: [0, 0])
    for stack, (pages, certain) in pages_by_stack(stream, at).items():
        sums = ours[_function_of(stack, sites)]
        sums[0] += pages * page
        sums[1] += certain * page
    keys: list[_Function | None] = list(dict.fromkeys([*sites, *ours]))
    rows = [_row(key, [] if key is None else sites[key], ours.get(key, [0, 0]), page) for key in keys]
    rows = [row for row in rows if row["kernel_bytes"] or row["bytes"]]
    rows.sort(key=lambda row: (row["class"] == AGREE, -abs(row["kernel_bytes"] - row["bytes"]), row["function"] or ""))
    return pa.Table.from_pylist(rows, schema=SITE_AUDIT_SCHEMA)


def _function_of(stack: str | None, sites: dict[_Function, list[Site]]) -> _Function | None:
    """Return the innermost function of a stack that has lines; null: none has."""
    for frame in (stack or "").split("\n"):
        name, _, module = frame.partition(" [")
        key = name.partition(".")[0], module.rstrip("]") or None  # without the compiler's suffix, such as .isra.0
        if key in sites:
            return key
    return None


def _row(key: _Function | None, sites: Sequence[Site], ours: Sequence[int], page: int) -> dict[str, Any]:
    size, certain = ours
    kernel = sum(site.size for site in sites)
    objects = any(site.size % page or site.size < site.calls * page for site in sites)
    return {
        "function": key[0] if key else None, "module": key[1] if key else None,
        "places": "\n".join(site.place for site in sites), "kernel_bytes": kernel, "bytes": size, "certain_bytes": certain,
        "class": ELSEWHERE if key is None else _class(kernel, size, certain, objects=objects),
    }  # fmt: skip


def _class(kernel: int, size: int, certain: int, *, objects: bool) -> str:
    if kernel == size:
        return AGREE
    if objects:
        return OBJECTS
    if not size:
        return INLINED
    if kernel < size:
        return FEWER if kernel >= certain else TOO_FEW
    return MORE
