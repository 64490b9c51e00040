"""A dump of page_owner's: audited with what is known, and then, where it counts, applied, page by page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.linux.gfp import GFP_COMP
from pagetrail.schemas.linux.mmzone import MAX_FOLIO_ORDER
from pagetrail.schemas.owner import DOUBT_BASELINE, OPEN_END, Anomaly, Evidence, How, State
from tests.oracles.fold.comparison import action_of, agrees_with, is_early
from tests.oracles.fold.page_flags import free_by_flags
from tests.oracles.fold.recording import keep_doubt
from tests.oracles.fold.sections import has_node, impossible, open_section_of
from tests.oracles.fold.values import Audit, Dump, Event, Owner

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def begin_dump(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.dump = Dump(begin=said)


def end_dump(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    dump, oracle.dump = oracle.dump, None
    if dump is None:
        return
    window, since = dump.begin["window_begin"], dump.begin["window_begin"] - oracle.skew
    if dump.begin.get("view") == "kpageflags":
        free_by_flags(oracle, dump, window, since)
        return
    entries = possible_entries(oracle, dump.entries)
    for entry in entries:
        if not has_node(oracle, entry["pfn"]):
            oracle.quarantine(Anomaly.BEYOND_MACHINE, entry["pfn"], entry["order"], 1)
    entries = [entry for entry in entries if has_node(oracle, entry["pfn"])]
    for section_nr in sorted({entry["pfn"] // oracle.pages_per_section for entry in entries}):
        if oracle.went.get(section_nr, since - 1) < since:
            open_section_of(oracle, section_nr * oracle.pages_per_section)
    entries = [entry for entry in entries if entry["pfn"] // oracle.pages_per_section in oracle.open]
    listed = {entry["pfn"] for entry in entries}
    extra = [
        (page, owner)
        for page, owner in (oracle.proven | oracle.kernel).items()
        if owner.state == State.OWNED and page % 2**owner.order == 0 and page not in listed and owner.begin_ts < since
    ]
    agrees = [agrees_with(oracle, entry) for entry in entries]
    applied = oracle.applies("page_owner")
    agreed = [agrees for agrees, entry in zip(agrees, entries, strict=True) if is_head(entry)]
    oracle.audits.append(
        Audit(name=dump.begin["name"], records=len(agreed), agree=sum(agreed), extra=len(extra), applied=applied)
    )
    if not applied:
        return
    todo = [action_of(oracle, entry, since) for entry in entries]
    orders = {entry["pfn"]: entry["order"] for entry in reversed(entries)}
    for entry, action in zip(entries, todo, strict=True):
        if action == "confirm":
            confirm(oracle, entry, window)
        elif action == "kernel":
            early_beside(oracle, entry, window)
        elif action == "set":
            set_owner(oracle, entry, window, since, orders)
    if not dump.begin.get("skipped") and dump.begin.get("extent") != "partial":
        whole = dump.begin.get("extent") == "whole" and sum(map(is_head, entries)) == len(dump.entries)
        if whole:
            end_unlisted(oracle, {page for entry in entries for page in pages_of(entry)})
        for page, owner in extra:
            if whole and page not in oracle.proven:
                continue  # it was ended: nothing is known of it
            for named in range(page, page + 2**owner.order):
                oracle.doubt(named, owner.evidence_ts, OPEN_END, DOUBT_BASELINE)
                keep_doubt(oracle, named, owner.evidence_ts)


def rests_on_a_dump(owner: Owner) -> bool:
    by_dump = owner.how in (How.BASELINE, How.EARLY, How.CONFIRMED)
    return owner.state == State.OWNED and owner.evidence != Evidence.OBSERVED and by_dump


def end_unlisted(oracle: "Reference", listed: set[int]) -> None:
    """A whole dump is silent of a page that only an earlier dump listed: nobody knows what became of it."""
    for page, owner in list(oracle.proven.items()):
        if page not in listed and owner.begin_seq != oracle.seq and rests_on_a_dump(owner):
            oracle.doubt(page, owner.evidence_ts, oracle.ts, DOUBT_BASELINE)
            oracle.end(page, How.UNLISTED)
    for page, owner in list(oracle.kernel.items()):
        if page not in listed and owner.begin_seq != oracle.seq and rests_on_a_dump(owner):
            oracle.end_view(page, How.UNLISTED)


def possible_entries(oracle: "Reference", entries: list[Event]) -> list[Event]:
    """The entries of blocks that can be, by pfn; that of a block larger than a section stands once for each of its sections."""
    possible: list[Event] = []
    for entry in sorted(entries, key=lambda entry: entry["pfn"]):
        why = impossible_entry(oracle, entry)
        if why is None:
            possible += by_section(oracle, entry)
    possible.sort(key=lambda entry: entry["pfn"])
    for entry in entries:
        why = impossible_entry(oracle, entry)
        if why is not None:
            oracle.quarantine(why, entry["pfn"], entry["order"], (entry["pfn"], 1))
    return possible


def impossible_entry(oracle: "Reference", entry: Event) -> Anomaly | None:
    """Say why the block of an entry cannot be, if so: it may be larger than a section."""
    order = entry["order"]
    if order is None or not oracle.pages_per_section < 2**order <= 2**MAX_FOLIO_ORDER:
        return impossible(oracle, Kind.ALLOC, entry)
    if entry["pfn"] < 0 or entry["pfn"] + 2**order > oracle.beyond:
        return Anomaly.BEYOND_MACHINE
    return Anomaly.UNALIGNED if entry["pfn"] % 2**order else None


def by_section(oracle: "Reference", entry: Event) -> list[Event]:
    """Return an entry for each section of the block that surely has its owner."""
    size = 2 ** entry["order"]
    if size <= oracle.pages_per_section:
        return [entry]
    starts = range(entry["pfn"], entry["pfn"] + (size if is_whole(entry) else 1), oracle.pages_per_section)
    return [entry | {"pfn": start, "pages": oracle.pages_per_section} for start in starts]


def is_head(entry: Event) -> bool:
    return bool(entry["pfn"] % 2 ** entry["order"] == 0)


def pages_of(entry: Event) -> range:
    return range(entry["pfn"], entry["pfn"] + entry.get("pages", 2 ** entry["order"]))


def from_entry(oracle: "Reference", entry: Event, since: int, how: How) -> Owner:
    names = ("gfp_mask", "pid", "tgid", "comm", "stack", "migratetype", "ts_nsec", "free_ts_nsec", "migrate_reason")
    head = entry["pfn"] - entry["pfn"] % 2 ** entry["order"]
    return Owner(
        block_pfn=head, order=entry["order"], state=State.OWNED, evidence=Evidence.BASELINE, how=how,
        begin_seq=oracle.seq, begin_ts=oracle.ts, evidence_ts=since, **{name: entry.get(name) for name in names},
    )  # fmt: skip


def confirm(oracle: "Reference", entry: Event, window: int) -> None:
    there = oracle.proven[entry["pfn"]]
    renewed = there.but(
        how=How.CONFIRMED, begin_seq=oracle.seq, begin_ts=oracle.ts, evidence_ts=window,
        ts_nsec=there.ts_nsec if entry.get("ts_nsec") is None else entry["ts_nsec"],
        free_ts_nsec=entry.get("free_ts_nsec"), migrate_reason=entry.get("migrate_reason"), cpu=None, unordered=0,
        evidence=Evidence.BASELINE if there.evidence == Evidence.INFERRED else there.evidence,
    )  # fmt: skip
    if entry.get("tgid") is not None:
        renewed.tgid = entry["tgid"]
    if entry.get("comm") is not None:
        renewed.comm = entry["comm"]
    if there.stack is None:
        renewed.stack = entry.get("stack")
    for page in pages_of(entry) if is_whole(entry) else [entry["pfn"]]:
        if oracle.proven.get(page) is there:
            oracle.end(page, How.CONFIRMED)
            oracle.proven[page] = renewed


def early_beside(oracle: "Reference", entry: Event, since: int) -> None:
    early = from_entry(oracle, entry, since, How.EARLY)
    for page in pages_of(entry):
        oracle.end_view(page, How.CORRECTED)
        oracle.kernel[page] = early


def is_whole(entry: Event) -> bool:
    """Whether the tails are surely the head's: a compound block that was not migrated."""
    return bool((entry.get("gfp_mask") or 0) & GFP_COMP) and entry.get("migrate_reason", -1) in (None, -1)


def unlisted(entry: Event, orders: dict[int, int]) -> Iterator[int]:
    """The pages of a record's block, without blocks in it that the dump lists by themselves."""
    page = entry["pfn"]
    while page < pages_of(entry).stop:
        if page != entry["pfn"] and page in orders:
            page += 2 ** orders[page]
        else:
            yield page
            page += 1


def set_owner(oracle: "Reference", entry: Event, window: int, since: int, orders: dict[int, int]) -> None:
    owner = from_entry(oracle, entry, window, How.EARLY if is_early(oracle, entry) else How.BASELINE)
    first = oracle.proven.get(entry["pfn"])
    if is_early(oracle, entry) and first is not None and first.state == State.FREE:
        owner = owner.but(evidence=Evidence.INFERRED)
    tails = owner
    if not is_whole(entry):
        tails = from_entry(oracle, entry, window, How.BASELINE).but(evidence=Evidence.INFERRED)
    for page in unlisted(entry, orders):
        there = oracle.proven.get(page)
        if there is not None and there.begin_ts >= since:
            continue
        if there is not None:
            oracle.doubt(page, there.evidence_ts, oracle.ts, DOUBT_BASELINE)
            oracle.end(page, How.CORRECTED)
        oracle.end_view(page, How.CORRECTED)
        oracle.proven[page] = owner if page == entry["pfn"] else tails
