"""Sections and their page_ext extensions through time."""

import pyarrow as pa

from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.rules.page_ext import bytes_a_page, max_order_nr_pages, node_spans
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.mmzone import pfn_to_section_nr, section_nr_to_pfn
from pagetrail.schemas.linux.page_ext import node_page_ext_bytes
from pagetrail.schemas.owner import OPEN_END

SECTIONS_SCHEMA = pa.schema(
    [
        ("section_nr", pa.int64()),
        ("node", pa.int32()),
        ("start_pfn", pa.int64()),
        ("stop_pfn", pa.int64()),
        ("generation", pa.int32()),
        ("begin_ts", pa.int64()),
        ("end_ts", pa.int64()),
        ("how", pa.utf8()),
        ("end_how", pa.utf8()),
        ("page_ext_bytes", pa.int64()),
    ]
)


def sections(stream: Stream, at: Instant | None = None) -> pa.Table:
    """Return every extension that existed, or those that existed at an instant: ``SECTIONS_SCHEMA``, times in ns.

    A kernel with FLATMEM has an extension a node, and no sections: then ``section_nr`` is null; otherwise ``node`` is.
    """
    boot = stream.facts.boot
    if boot is not None and boot.memory_model == "FLATMEM" and node_spans(boot):
        return _nodes(stream, boot, at)
    pages = stream.facts.pages_per_section
    each = bytes_a_page(stream.facts.boot, stream.facts.rules)
    rows = []
    facts = stream.history if at is None else stream.facts_at(at)
    for e in sorted(facts.sections, key=lambda e: (e.section_nr, e.generation)):
        if at is not None and not _covers(e.begin_ts, e.end_ts, e.begin_seq, e.end_seq, at):
            continue
        rows.append(
            {
                "section_nr": e.section_nr,
                "start_pfn": section_nr_to_pfn(e.section_nr, pages),
                "stop_pfn": section_nr_to_pfn(e.section_nr + 1, pages),
                "generation": e.generation,
                "begin_ts": e.begin_ts,
                "end_ts": None if e.end_ts == OPEN_END else e.end_ts,
                "how": e.how,
                "end_how": e.end_how,
                "page_ext_bytes": None if each is None else each * pages,
            }
        )
    return pa.Table.from_pylist(rows, schema=SECTIONS_SCHEMA)


def _nodes(stream: Stream, boot: Boot, at: Instant | None) -> pa.Table:
    """Return the extensions of nodes. The store keeps each as sections, which come with the boot and never go."""
    pages, unit, each = stream.facts.pages_per_section, max_order_nr_pages(boot), bytes_a_page(boot, stream.facts.rules)
    rows = []
    for span in node_spans(boot):
        section_nr = pfn_to_section_nr(span.start_pfn, pages)
        first = next((e for e in stream.facts.sections if e.section_nr == section_nr), None)
        if first is None or (at is not None and not _covers(first.begin_ts, OPEN_END, first.begin_seq, OPEN_END, at)):
            continue
        rows.append(
            {
                "node": span.node,
                "start_pfn": span.start_pfn // unit * unit,
                "stop_pfn": span.stop_pfn,
                "generation": first.generation,
                "begin_ts": first.begin_ts,
                "how": first.how,
                "page_ext_bytes": None if each is None else node_page_ext_bytes(each, span, unit),
            }
        )
    return pa.Table.from_pylist(rows, schema=SECTIONS_SCHEMA)


def _covers(begin_ts: int, end_ts: int, begin_seq: int, end_seq: int, at: Instant) -> bool:
    return begin_ts <= at.ts < end_ts if at.seq is None else begin_seq <= at.seq < end_seq
