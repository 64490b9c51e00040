"""A range of pages that alloc_contig_range takes, page by page."""

from typing import TYPE_CHECKING, Any

from pagetrail.schemas.linux.gfp import GFP_COMP
from pagetrail.schemas.owner import DOUBT_RANGE, SAME_TS_NSEC, Evidence, How, State
from tests.oracles.fold.blocks import clear_for_owner
from tests.oracles.fold.recording import lose_pages
from tests.oracles.fold.values import Event, Owner

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference

Call = tuple[int, range, int | None]
"""When it began, its pages, and its mask."""


def take_contig_range(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    if said["phase"] == "return":
        end_range(oracle, event)
    elif "pfn" in event and "nr_pages" in event:
        pages = range(event["pfn"], event["pfn"] + event["nr_pages"])
        lose_return(oracle, oracle.ranges.get(event.get("pid")))
        if not pages or not 0 <= pages.start < oracle.beyond:
            oracle.gap_ends.append(oracle.ts)
        oracle.ranges[event.get("pid")] = (oracle.ts, pages, event.get("gfp_mask"))
        for page in largest_blocks(oracle, pages):
            oracle.doubt(page, oracle.ts, oracle.ts, DOUBT_RANGE)


def lose_return(oracle: "Reference", call: Call | None) -> None:
    """The process calls again, so that it has returned, nobody knows when and with what."""
    if call is not None:
        around = largest_blocks(oracle, call[1])
        if around and oracle.kernel_does.contig != "isolated":
            lose_pages(oracle, around, call[0], oracle.ts)
        doubt_meanwhile(oracle, call)


def end_range(oracle: "Reference", event: Event) -> None:
    call = oracle.ranges.pop(event.get("pid"), None)
    if oracle.kernel_does.contig == "isolated":
        if call is not None:
            doubt_meanwhile(oracle, call)
        return
    if call is None or any(end >= call[0] for end in oracle.gap_ends):
        oracle.gap_ends.append(oracle.ts)
        if call is not None:
            doubt_meanwhile(oracle, call)
        return
    begun, pages, gfp = call
    if event.get("ret") == 0 and oracle.kernel_does.contig == "either":
        lose_pages(oracle, pages, begun, oracle.ts)
    elif event.get("ret") == 0:
        stamp(oracle, event, pages, gfp, oracle.ts if oracle.ts - begun <= SAME_TS_NSEC else None)
        if oracle.skew:
            lose_pages(oracle, pages, oracle.ts, oracle.ts)
    doubt_meanwhile(oracle, call)


def doubt_meanwhile(oracle: "Reference", call: Call) -> None:
    for page in largest_blocks(oracle, call[1]):
        oracle.doubt(page, call[0], oracle.ts, DOUBT_RANGE)


def largest_blocks(oracle: "Reference", pages: range) -> range:
    largest = 1 if oracle.kernel_does.contig == "isolated" else oracle.largest
    around = range(pages.start // largest * largest, -(-pages.stop // largest) * largest)
    return around[: max(oracle.beyond - around.start, 0)]


def stamp(oracle: "Reference", event: Event, pages: range, gfp: int | None, when: int | None) -> None:
    there = [page for page in pages if page // oracle.pages_per_section in oracle.open]
    clear_for_owner(oracle, there, How.CONTIG_RANGE)
    block: Owner | None = None
    for page in there:
        compound = bool((gfp or 0) & GFP_COMP) and len(pages) > 1
        if not compound or block is None or page % oracle.pages_per_section == 0:
            block = Owner(
                block_pfn=pages.start if compound else page, order=len(pages).bit_length() - 1 if compound else 0,
                state=State.OWNED, evidence=Evidence.OBSERVED, how=How.CONTIG_RANGE, begin_seq=oracle.seq, begin_ts=oracle.ts,
                evidence_ts=oracle.ts, alloc_ts=when, gfp_mask=gfp, pid=event.get("pid"), tgid=event.get("tgid"),
                comm=event.get("comm"), cpu=oracle.cpu,
            )  # fmt: skip
        oracle.proven[page] = block
