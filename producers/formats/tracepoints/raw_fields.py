"""The fields of a sample whose event is rare, by name, as ``Meaning`` wants them."""

from pagetrail.producers.formats.tracepoints.tracing_data import Field, TracepointFormat
from pagetrail.schemas.linux import kmem_events as ke


def raw_fields(one: TracepointFormat, raw: bytes) -> dict[str, int | str]:
    """Return the fields of *raw* that are there; and those that the kernel prints and does not store, from the ones it does.

    Source: include/trace/events/kmem.h (Linux 5.10, 6.1).
    """
    found: dict[str, int | str] = {}
    for name, place in one.fields.items():
        value = _value(place, raw)
        if value is not None and not name.startswith("common_"):
            found[name] = value
    if one.system != ke.KMEM:
        return found
    if one.name in (ke.MM_PAGEVEC_FREE, ke.MM_PAGE_FREE_BATCHED):
        found.setdefault("order", 0)
    if one.name == ke.MM_PAGE_ALLOC_ZONE_LOCKED and "order" in found:
        found.setdefault("percpu_refill", int(found["order"] == 0))
    if one.name == ke.MM_PAGE_ALLOC_EXTFRAG and one.pageblock_order is not None and "fallback_order" in found:
        found.setdefault("pageblock_order", one.pageblock_order)
        found.setdefault("fragmenting", int(int(found["fallback_order"]) < one.pageblock_order))
    return found


def _value(place: Field, raw: bytes) -> int | str | None:
    data = raw[place.offset : place.offset + place.size]
    if len(data) < place.size:
        return None
    if not place.text:
        return int.from_bytes(data, "little", signed=place.signed) if place.size in (1, 2, 4, 8) else None
    if place.located:
        where = int.from_bytes(data, "little")
        data = raw[where & 0xFFFF : (where & 0xFFFF) + (where >> 16 & 0xFFFF)]
    return data.split(b"\0")[0].decode("utf-8", "backslashreplace")
