"""Events whose fields are the columns of a row: compiled readers make rows of them, and ``Meaning`` of the others."""

from collections.abc import Mapping
from typing import Final

from pagetrail.producers.formats.tracepoints.tracing_data import Field, TracepointFormat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux import kmem_events as ke

_PLAIN: Final[Mapping[str, tuple[Kind, tuple[str, ...]]]] = {
    ke.MM_PAGE_ALLOC: (Kind.ALLOC, ("pfn", "order", "gfp_flags", "migratetype")),
    ke.MM_PAGE_FREE: (Kind.FREE, ("pfn", "order")),
    ke.MM_PAGE_PCPU_DRAIN: (Kind.DRAIN, ("pfn", "order", "migratetype")),
    ke.MM_PAGE_ALLOC_ZONE_LOCKED: (Kind.REFILL, ("pfn", "order", "migratetype")),
}
TO_PCP: Final = "percpu_refill"
"""A field of a block off the free lists, which is a row only if it goes to a per-cpu list: the kernel prints it, and stores it
since 5.19. Source: include/trace/events/kmem.h (Linux 5.10, 6.1)."""

_WIDTHS: Final = (1, 2, 4, 8)


def plain_fields(one: TracepointFormat) -> tuple[Kind, Mapping[str, Field]] | None:
    """Return the kind of an event's rows and where their columns are, by the names of its fields; null: it is not plain."""
    if one.system != ke.KMEM or one.name not in _PLAIN:
        return None
    kind, names = _PLAIN[one.name]
    optional = (TO_PCP,) if kind == Kind.REFILL else ()
    found = {name: one.fields[name] for name in (*names, *optional) if name in one.fields}
    if not found.keys() >= {*names} or any(field.size not in _WIDTHS for field in found.values()):
        return None
    return kind, found
