"""What a recording says of itself: where it begins and ends, its clocks, coverage and losses."""

from typing import TYPE_CHECKING, Any

from pagetrail.schemas.owner import DOUBT_LOST, DOUBT_MIGRATED, OPEN_END
from tests.oracles.fold.values import Event

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


REMEMBERED = 1024
"""Migrations; where more may have followed a loss, the loss is of all pages."""


def take_recording_begin(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.dump = None
    oracle.skew = max(oracle.skew, int(said.get("options", {}).get("clock_skew_nsec", 0)))
    if oracle.last_ts is not None:
        oracle.gap_ends.append(oracle.ts)


def take_recording_end(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.dump = None


def take_clock(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    if oracle.clock is None and said.get("ts_nsec") is not None:
        valid = said.get("valid_from")
        oracle.clock = (said["ts_nsec"] - oracle.ts, oracle.ts if valid is None else valid)


def take_coverage(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    """A kind is covered while all CPUs were declared and none has ended since."""
    if said.get("since") is not None:
        return  # a stretch that is past: the fold has gone beyond it
    begins, cpus = said.get("begins", True), said.get("cpus")
    for kind in said["kinds"]:
        was = covered(oracle, kind)
        if cpus is None:
            oracle.uncovered_cpus[kind] = set() if begins else None
        elif oracle.uncovered_cpus.get(kind) is not None:
            for cpu in cpus:
                (oracle.uncovered_cpus[kind].discard if begins else oracle.uncovered_cpus[kind].add)(cpu)  # type: ignore[union-attr]
        if covered(oracle, kind):
            oracle.covered_since[kind] = oracle.covered_since[kind] if was else oracle.ts
            if begins:
                oracle.coverage_begins.append(oracle.ts)


def covered(oracle: "Reference", kind: str) -> bool:
    return oracle.uncovered_cpus.get(kind) == set()


def take_gap(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    """A loss of all pages, or of the block that it names: the largest that there is, where it does not say the order."""
    if event.get("pfn") is None:
        oracle.gap_ends.append(said["t_hi"])
        return
    for pfn in (event["pfn"], event.get("src_pfn")):
        if pfn is None:
            continue
        if event.get("nr_pages") is not None:
            pages = range(pfn, pfn + event["nr_pages"])
        elif event.get("order") is not None:
            pages = range(pfn, pfn + 2 ** event["order"])
        else:
            pages = range(pfn - pfn % oracle.largest, pfn - pfn % oracle.largest + oracle.largest)
        lose_pages(oracle, pages, said["t_lo"], said["t_hi"])


def lose_pages(oracle: "Reference", pages: range, since: int, until: int) -> None:
    there = pages[: max(oracle.beyond - pages.start, 0)] if pages.start >= 0 else pages[:0]
    if not there:
        oracle.gap_ends.append(until)
        return
    oracle.page_losses.append(until)
    for page in there:
        oracle.doubt(page, since - oracle.skew, OPEN_END, DOUBT_LOST)
        keep_doubt(oracle, page, oracle.ts + oracle.skew)
    doubt_what_moved(oracle, there, since - oracle.skew, until)
    if oracle.skew and any(page // oracle.pages_per_section not in oracle.open for page in there):
        oracle.gap_ends.append(until)  # its first event may have come within the skew


def keep_doubt(oracle: "Reference", page: int, until: int) -> None:
    """What is known of a page up to *until* is in doubt, and so is what others will have from it."""
    if page // oracle.pages_per_section in oracle.open:
        oracle.doubted[page] = max(oracle.doubted.get(page, until), until)


def doubt_what_moved(oracle: "Reference", lost: range, since: int, until: int) -> None:
    """What migrations took from pages after an event of theirs, of which it turns out now that it was lost."""
    if len(oracle.moved) >= REMEMBERED and oracle.moved[-REMEMBERED]["ts"] >= since:
        oracle.gap_ends.append(until)
    unsure = set(lost)
    for move in oracle.moved[-REMEMBERED:]:
        if move["ts"] >= since and not move["doubted"] and move["src"] in unsure:
            move["doubted"] = True
            unsure |= set(move["pages"])
            for page in move["pages"]:
                oracle.doubt(page, move["ts"], OPEN_END, DOUBT_MIGRATED)
                keep_doubt(oracle, page, move["ts"])


def take_marker(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    pass
