"""A page that is migrated, and what the clocks of CPUs that differ make unsure of it."""

from typing import TYPE_CHECKING

from pagetrail.schemas.owner import DOUBT_MIGRATED, DOUBT_ORDER, OPEN_END, Anomaly, Evidence, How, State
from tests.oracles.fold.blocks import is_free, races_with, used_unseen
from tests.oracles.fold.recording import keep_doubt
from tests.oracles.fold.values import Event, Owner, nothing

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def migrate(oracle: "Reference", pfn: int, src_pfn: int) -> None:
    source = oracle.proven.get(src_pfn)
    unsure = source is not None and source.state == State.OWNED and is_doubted(oracle, src_pfn, source)
    block = block_there(oracle, pfn)
    races = max(*(races_with(oracle, page) for page in block), races_with(oracle, src_pfn))
    if len(block) > 1 and oracle.skew:
        races = 1
    if source is None or source.state != State.OWNED:
        oracle.note(Anomaly.MIGRATE_FROM_UNKNOWN)
    elif is_free(oracle, pfn):
        border = (pfn // oracle.pages_per_section + 1) * oracle.pages_per_section
        for page in range(pfn + 1, min(pfn + 2 ** max(source.order, 0), border)):
            if is_free(oracle, page):
                used_unseen(oracle, page)
    for page in block:
        oracle.end_view(page, How.MIGRATE)
    written = block if oracle.kernel_does.tails == "yes" else block[:1]
    if src_pfn in oracle.kernel:
        viewed = copy_of(oracle, oracle.kernel[src_pfn], pfn, src_pfn, races)
        for page in written:
            oracle.kernel[page] = without_reason(viewed) if page == pfn else viewed
    same_size = source is None or len(block) in (1, 2 ** max(source.order or 0, 0))
    copied = copy_of(oracle, source, pfn, src_pfn, races, sure=same_size)
    perhaps = copy_of(oracle, source, pfn, src_pfn, races, sure=False)
    for page in block:
        if is_free(oracle, page):
            used_unseen(oracle, page)
        if page in oracle.proven:
            oracle.end(page, How.MIGRATE)
        oracle.proven[page] = without_reason(copied) if page == pfn else copied if page in written else perhaps
        if oracle.doubted.get(page, oracle.ts) < oracle.ts:
            del oracle.doubted[page]  # that was of its old contents
        if unsure:
            oracle.doubt(page, oracle.ts, OPEN_END, DOUBT_MIGRATED)
            keep_doubt(oracle, page, oracle.ts)
    oracle.moved.append({"ts": oracle.ts, "src": src_pfn, "pages": block, "doubted": False})


def is_doubted(oracle: "Reference", page: int, owner: Owner) -> bool:
    """Whether the evidence of an owner is in a doubt that lasts, so that a copy of it is no surer."""
    until = oracle.doubted.get(page)
    return until is not None and (owner.evidence_ts is None or owner.evidence_ts <= until)


def says_only_why(event: Event) -> bool:
    """Whether a migration only says why its page was migrated: the page is its own source."""
    return event.get("migrate_reason") is not None and event["pfn"] == event["src_pfn"]


def set_reason(oracle: "Reference", pfn: int, reason: int) -> None:
    """Who owns a page goes on as its owner, with the reason of the migration; nobody's page and its neighbours have none."""
    for view in (oracle.proven, oracle.kernel):
        there = view.get(pfn)
        if there is None or there.state != State.OWNED or there.migrate_reason == reason:
            continue
        after = there.but(migrate_reason=reason)
        if there.begin_seq < oracle.seq:
            unordered = max(races_with(oracle, pfn, view), there.unordered)
            after = after.but(
                how=How.MIGRATE_REASON, begin_seq=oracle.seq, begin_ts=oracle.ts, cpu=oracle.cpu, unordered=unordered
            )
            oracle.end(pfn, How.MIGRATE_REASON, view)
        view[pfn] = after


def without_reason(owner: Owner) -> Owner:
    """Why the first page of the new block was migrated is written later; what it has until then is of an earlier migration."""
    return owner if owner.migrate_reason is None else owner.but(migrate_reason=None)


def block_there(oracle: "Reference", pfn: int) -> range:
    """Return the pages that the kernel may write: one, or all of the block that was allocated for the migration."""
    there = oracle.proven.get(pfn)
    if oracle.kernel_does.tails == "no" or there is None or there.state != State.OWNED or there.block_pfn != pfn:
        return range(pfn, pfn + 1)
    border = (pfn // oracle.pages_per_section + 1) * oracle.pages_per_section
    return range(pfn, min(pfn + 2 ** max(there.order, 0), border))


def copy_of(
    oracle: "Reference", source: Owner | None, pfn: int, src_pfn: int, races: int, *, sure: bool = True
) -> Owner:
    proven = sure and source is not None and source.state == State.OWNED and source.evidence != Evidence.INFERRED
    if source is None or source.state != State.OWNED:
        source = nothing(pfn).but(evidence_ts=oracle.ts)
    return source.but(
        state=State.OWNED, evidence=Evidence.OBSERVED if proven else Evidence.INFERRED, how=How.MIGRATE,
        block_pfn=pfn, src_pfn=src_pfn, free_ts_nsec=source.ts_nsec, begin_seq=oracle.seq, begin_ts=oracle.ts,
        cpu=oracle.cpu, unordered=max(races, source.unordered),
    )  # fmt: skip


def recheck_moves(oracle: "Reference", touched: range) -> None:
    """What was copied from a page that another CPU's event touches within the skew may be another owner's."""
    oracle.moves = [move for move in oracle.moves if oracle.ts - move["ts"] <= oracle.skew]
    for n, move in enumerate(oracle.moves):
        raced = move["src"] in touched and (oracle.cpu is None or move["cpu"] != oracle.cpu)
        if raced or any(before["unsure"] and before["pfn"] == move["src"] for before in oracle.moves[:n]):
            move["unsure"] = True
            owner = oracle.proven.get(move["pfn"])
            if owner is not None and owner.src_pfn is not None and not owner.unordered:
                oracle.doubt(move["pfn"], move["ts"], oracle.ts, DOUBT_ORDER)
                oracle.end(move["pfn"], How.UNORDERED)
                oracle.proven[move["pfn"]] = owner.but(
                    how=How.UNORDERED, unordered=1, begin_seq=oracle.seq, begin_ts=oracle.ts
                )
