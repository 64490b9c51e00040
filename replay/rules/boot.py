"""The boot: its constants set the sections, the nodes, and the needed clients of page_ext."""

from collections.abc import Sequence
from itertools import chain

from pagetrail.replay.facts.boots import says_of_machine
from pagetrail.replay.fold.options import OPT_MAX_PFN, write_rules
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.page_ext import max_order_nr_pages, node_spans
from pagetrail.replay.rules.sections import MAX_SECTIONS
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.details import Boot, Gap
from pagetrail.schemas.linux.mmzone import MAX_SECTION_ORDER
from pagetrail.schemas.linux.releases import rules_of


def take_boot(state: StreamState, event: EventRow) -> None:
    """Take the constants of the boot; sections of present memory have their extension from then on."""
    boot = event.detail(Boot)
    _doubt_other_rules(state, boot, event)
    state.facts.boots.append((event.ts, boot))
    write_rules(state.opts, state.facts.rules, state.facts.boot)
    state.ask_clients(boot, event.ts)
    if any(says_of_machine(earlier) for _, earlier in state.facts.boots[:-1]):
        return
    if boot.memory_model == "FLATMEM":
        _flatmem(state, boot, event.seq, event.ts)
        return
    bits = 0 if boot.section_size_bits is None else boot.section_size_bits - boot.page_shift
    if 0 < bits <= MAX_SECTION_ORDER and not state.facts.sections:
        state.set_section_size(1 << bits)
    _present(state, boot.present, event.seq, event.ts)


def _doubt_other_rules(state: StreamState, boot: Boot, event: EventRow) -> None:
    """Lose what earlier recordings say, if they name no release and were folded by other rules than those of *boot*."""
    facts = state.facts
    begun, unknown = facts.recordings[0].first_ts, rules_of(None)
    unnamed = facts.release is None and len(facts.recordings) > 1 and facts.chosen_rules is None
    if unnamed and begun is not None and rules_of(boot.release) != unknown:
        reason = (
            f"recordings that name no release were folded by the rules of {unknown.name}, and the kernel is another"
        )
        state.lose(event.seq, event.ts, None, Gap(t_lo=begun, t_hi=event.ts, reason=reason))


def _present(state: StreamState, ranges: Sequence[tuple[int, int]], seq: int, ts: int) -> None:
    """Allocate the sections of ranges of pages. Whether there may be so many is asked first: to make them takes long."""
    pages = state.facts.pages_per_section
    named = [_sections(start, stop, pages) for start, stop in ranges]
    state.afford(_count(named) - state.sections.nr_open)
    for section_nr in chain(*named):
        if not state.sections.is_open(section_nr):
            state.allocate(section_nr, seq, ts, "boot")


def _sections(start: int, stop: int, pages: int) -> range:
    return range(max(start // pages, 0), min((stop + pages - 1) // pages, MAX_SECTIONS))


def _count(ranges: Sequence[range]) -> int:
    """Return how many numbers are in any of the ranges."""
    count = reached = 0
    for found in sorted(ranges, key=lambda found: found.start):
        count += max(found.stop - max(found.start, reached), 0)
        reached = max(reached, found.stop)
    return count


def _flatmem(state: StreamState, boot: Boot, seq: int, ts: int) -> None:
    """Allocate one extension for each node at boot; no memory comes or goes. It is kept in sections of MAX_ORDER_NR_PAGES.

    Source: mm/page_ext.c, page_ext_init_flatmem and lookup_page_ext without CONFIG_SPARSEMEM (Linux 6.1): a node's extension
    begins at its first page, rounded down to MAX_ORDER_NR_PAGES.
    """
    if not state.facts.sections:
        state.set_section_size(max_order_nr_pages(boot))
    pages, spans = state.facts.pages_per_section, node_spans(boot)
    _present(state, [(start, stop) for _, start, stop in spans], seq, ts)
    if spans:
        state.opts[OPT_MAX_PFN] = min(-(-max(span.stop_pfn for span in spans) // pages), MAX_SECTIONS) * pages
