"""The boot: what its constants say of sections, of nodes, and of the clients of page_ext that are needed."""

from typing import TYPE_CHECKING

from pagetrail.replay.fold.options import OPT_MAX_PFN
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.page_ext import max_order_nr_pages, node_spans
from pagetrail.replay.rules.sections import MAX_SECTIONS
from pagetrail.schemas.details import Boot

if TYPE_CHECKING:
    from pagetrail.replay.rules.engine import StreamEngine

MAX_SECTION_ORDER = 24
"""log2 of the pages of a section, at most; the largest that we know is 18 (arm64 with 4 KiB pages, before Linux 5.12)."""


def take_boot(engine: "StreamEngine", event: EventRow) -> None:
    """The constants of the boot; sections of memory that is present have their extension from then on."""
    boot = event.detail(Boot)
    engine.facts.boots.append((event.ts, boot))
    ask_clients(engine, boot, event.ts)
    if len(engine.facts.boots) > 1:
        return
    if boot.memory_model == "FLATMEM":
        _flatmem(engine, boot, event.seq, event.ts)
        return
    bits = 0 if boot.section_size_bits is None else boot.section_size_bits - boot.page_shift
    if 0 < bits <= MAX_SECTION_ORDER and not engine.facts.sections:
        engine.set_section_size(1 << bits)
    for start, stop in boot.present:
        _present(engine, start, stop, event.seq, event.ts)


def ask_clients(engine: "StreamEngine", boot: Boot | None, ts: int) -> None:
    """Ask the clients of page_ext whether they are needed.

    Source: mm/page_ext.c, invoke_need_callbacks (Linux 6.1).
    """
    engine.values.need(boot, engine.tables.owner.shape[0])
    engine.facts.clients = [client.name for client in engine.values.needed]
    engine.facts.client_ts += [ts] * (len(engine.facts.clients) - len(engine.facts.client_ts))
    engine.facts.fields = list(engine.values.fields)


def _present(engine: "StreamEngine", start: int, stop: int, seq: int, ts: int) -> None:
    pages = engine.facts.pages_per_section
    for section_nr in range(max(start // pages, 0), min((stop + pages - 1) // pages, MAX_SECTIONS)):
        if not engine.sections.is_open(section_nr):
            engine.allocate(section_nr, seq, ts, "boot")


def _flatmem(engine: "StreamEngine", boot: Boot, seq: int, ts: int) -> None:
    """One extension a node, allocated at boot; no page comes or goes. It is kept in sections of MAX_ORDER_NR_PAGES.

    Source: mm/page_ext.c, page_ext_init_flatmem and lookup_page_ext without CONFIG_SPARSEMEM (Linux 6.1): a node's extension
    begins where MAX_ORDER_NR_PAGES that hold its first page begin.
    """
    if not engine.facts.sections:
        engine.set_section_size(max_order_nr_pages(boot))
    pages, spans = engine.facts.pages_per_section, node_spans(boot)
    for _, start, stop in spans:
        _present(engine, start, stop, seq, ts)
    if spans:
        engine.opts[OPT_MAX_PFN] = min(-(-max(span.stop_pfn for span in spans) // pages), MAX_SECTIONS) * pages
