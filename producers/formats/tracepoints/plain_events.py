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
}
_WIDTHS: Final = (1, 2, 4, 8)


def plain_fields(one: TracepointFormat) -> tuple[Kind, Mapping[str, Field]] | None:
    """Return the kind of an event's rows and where their columns are, by the names of its fields; null: it is not plain."""
    if one.system != ke.KMEM or one.name not in _PLAIN:
        return None
    kind, names = _PLAIN[one.name]
    found = {name: one.fields[name] for name in names if name in one.fields}
    if len(found) < len(names) or any(field.size not in _WIDTHS for field in found.values()):
        return None
    return kind, found
