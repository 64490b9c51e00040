"""A block that is allocated, freed or split, page by page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from pagetrail.schemas.owner import Anomaly, Evidence, How, State
from tests.oracles.fold.recording import covered
from tests.oracles.fold.values import Event, Owner, nothing

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def alloc(oracle: "Reference", event: Event, how: How) -> None:
    pages = range(event["pfn"], event["pfn"] + 2 ** event["order"])
    owner = Owner(
        block_pfn=event["pfn"], order=event["order"], state=State.OWNED, evidence=Evidence.OBSERVED, how=how,
        begin_seq=oracle.seq, begin_ts=oracle.ts, evidence_ts=oracle.ts, alloc_ts=oracle.ts, gfp_mask=event.get("gfp_mask"),
        pid=event.get("pid"), tgid=event.get("tgid"), comm=event.get("comm"), stack=event.get("stack"),
        migratetype=event.get("migratetype"), cpu=oracle.cpu, unordered=max(races_with(oracle, page) for page in pages),
    )  # fmt: skip
    before = oracle.proven.get(pages[0])
    same_act = (
        how == How.ALLOC
        and before is not None
        and event.get("gfp_mask") == GFP_MOVABLE
        and (before.how, before.block_pfn, before.order) == (How.ISOLATE, event["pfn"], event["order"])
        and before.pid == event.get("pid")
    )
    clear_for_owner(oracle, pages, how, before if same_act else None)
    for page in pages:
        oracle.proven[page] = owner


def clear_for_owner(oracle: "Reference", pages: Sequence[int], how: How, same_act: Owner | None = None) -> None:
    """End what is known of pages that get a new owner; *same_act*: what an earlier event of the same act made of them."""
    lost = []
    for page in pages:
        oracle.end_view(page, how)
        there = oracle.proven.get(page)
        if there is None:
            continue
        if there.state == State.FREE or there is same_act:
            oracle.end(page, how)
        else:
            lost.append(page)
    for page in lost:
        oracle.note(Anomaly.ALLOC_OVER_OWNED)
        oracle.doubt(page, oracle.proven[page].evidence_ts, oracle.ts, Anomaly.ALLOC_OVER_OWNED)
    end_owners(oracle, lost, pages, How.LOST_FREE)


def races_with(oracle: "Reference", page: int, view: dict[int, Owner] | None = None) -> int:
    """Whether what is known of a page may be later than this event, as clocks of two CPUs may differ so much."""
    there = (oracle.proven if view is None else view).get(page)
    if there is None or oracle.skew == 0 or oracle.ts - there.begin_ts > oracle.skew:
        return 0
    return int(oracle.cpu is None or there.cpu != oracle.cpu or bool(there.unordered))


def step_over_ghosts(oracle: "Reference", pages: range, how: How) -> None:
    """A dump steps over pages in the buddy allocator: a ghost's stamp there is not listed, until it leaves again."""
    before: Owner | None = None
    after = nothing(-1)
    for page in pages:
        there = oracle.kernel.get(page)
        shared, before = there is before, there
        state = State.FREE if how == How.DRAIN else State.OWNED
        if there is None or there.state == state:
            continue
        if not shared:
            after = there.but(state=state, begin_seq=oracle.seq, begin_ts=oracle.ts, cpu=oracle.cpu)
        oracle.end(page, how, oracle.kernel)
        oracle.kernel[page] = after


def free(oracle: "Reference", event: Event, how: How) -> None:
    drain = how != How.FREE
    contradicted = Anomaly.DRAIN_OF_OWNED if how == How.DRAIN else Anomaly.REFILL_OF_OWNED
    pages = range(event["pfn"], event["pfn"] + 2 ** event["order"])
    races = {page: races_with(oracle, page) for page in pages}
    last = {page: oracle.proven[page] for page in pages if page in oracle.proven}
    owned = [page for page in pages if page in last and last[page].state == State.OWNED]
    for page in pages:
        if not drain:
            oracle.end_view(page, How.FREE)
        there = last.get(page)
        if there is None and not drain:
            oracle.note(unseen(oracle, page))
        elif page in owned and drain:
            oracle.note(contradicted)
            oracle.doubt(page, there.evidence_ts, oracle.ts, contradicted)
            keep_ghost(oracle, page, there)
        elif there is not None and there.state == State.FREE and not drain:
            oracle.note(Anomaly.FREE_OF_FREE)
            oracle.doubt(page, there.evidence_ts, oracle.ts, Anomaly.FREE_OF_FREE)
            oracle.end(page, How.LOST_ALLOC)
    end_owners(oracle, owned, pages, How.LOST_FREE if drain else How.FREE)
    before, freed = nothing(-1), nothing(-1)
    for page in pages:
        if page in oracle.proven:  # a drain of a free page
            before = nothing(-1)
            continue
        if last.get(page) is before:
            oracle.proven[page] = freed
            continue
        before = last.get(page)  # type: ignore[assignment]
        was = before if page in owned else None
        oracle.proven[page] = freed = (was or nothing(page)).but(
            block_pfn=event["pfn"], order=event["order"], state=State.FREE, evidence=Evidence.OBSERVED,
            how=how, begin_seq=oracle.seq, begin_ts=oracle.ts, evidence_ts=oracle.ts, src_pfn=None,
            free_ts_nsec=None, free_pid=event.get("pid"), free_tgid=event.get("tgid"), free_comm=event.get("comm"),
            free_stack=event.get("stack"), cpu=oracle.cpu, unordered=races[page],
        )  # fmt: skip


def keep_ghost(oracle: "Reference", page: int, owner: Owner) -> None:
    """A page that page_owner stamped as early, and that is proven free: the kernel's record keeps the stamp."""
    early = (owner.gfp_mask, owner.order, owner.alloc_ts) == (0, 0, None)
    early = early and owner.pid in {pid for pid, _ in oracle.kernel_does.early}
    if early and page not in oracle.kernel:
        oracle.kernel[page] = owner.but(begin_seq=oracle.seq, begin_ts=oracle.ts)


def unseen(oracle: "Reference", page: int) -> Anomaly:
    onlining = next((c for c in oracle.calls.values() if c["call"] == "online_pages" and c["pfn"] is not None), None)
    if onlining and onlining["pfn"] <= page < onlining["pfn"] + (onlining["nr_pages"] or 0):
        return Anomaly.FREE_UNSEEN_ONLINING
    return Anomaly.FREE_UNSEEN_LOSS if oracle.gap_ends or oracle.page_losses else Anomaly.FREE_UNSEEN_BOOT


def end_owners(oracle: "Reference", ending: list[int], event_pages: Sequence[int], how: How) -> None:
    """End what owned *ending*; what stays of their blocks outside of the event's pages had been split."""
    blocks: dict[int, Owner] = {id(oracle.proven[page]): oracle.proven[page] for page in ending}
    for page in ending:
        oracle.end(page, how)
    for block in blocks.values():
        rest = [page for page, owner in oracle.proven.items() if owner is block and page not in event_pages]
        if not rest or block.order == 0 or covered(oracle, "split"):
            continue
        known = block.evidence != Evidence.INFERRED or block.how == How.SPLIT_IMPLIED
        single = block.but(
            order=0, evidence=Evidence.INFERRED, how=How.SPLIT_IMPLIED if known else How.SPLIT,
            begin_seq=oracle.seq, begin_ts=oracle.ts, cpu=oracle.cpu,
        )  # fmt: skip
        for page in rest:
            oracle.note(Anomaly.PARTIAL_FREE)
            oracle.end(page, How.SPLIT_IMPLIED)
            oracle.proven[page] = single


def split(oracle: "Reference", pages: range, order: int) -> None:
    for view in (oracle.proven, oracle.kernel):
        before: Owner | None = nothing(-1)
        after = nothing(-1)
        for page in pages:
            there = view.get(page)
            fresh = there is not before or (order > 0 and page % 2**order == 0)
            before = there
            unordered = max(
                races_with(oracle, page, view),
                there.unordered if there is not None and there.state == State.OWNED else 0,
            )
            if view is oracle.proven and (there is None or there.state == State.FREE):
                if there is not None:
                    used_unseen(oracle, page)
                if fresh:
                    after = nothing(page).but(
                        state=State.OWNED, evidence=Evidence.INFERRED, how=How.SPLIT, order=order,
                        evidence_ts=oracle.ts, begin_seq=oracle.seq, begin_ts=oracle.ts, cpu=oracle.cpu, unordered=unordered,
                    )  # fmt: skip
            elif there is None or there.state != State.OWNED or there.order == order:
                continue
            else:
                if fresh:
                    after = there.but(
                        order=order,
                        how=How.SPLIT,
                        begin_seq=oracle.seq,
                        begin_ts=oracle.ts,
                        cpu=oracle.cpu,
                        unordered=unordered,
                    )
                oracle.end(page, How.SPLIT, view)
            if fresh and order > 0:
                after.block_pfn = page - page % 2**order
            view[page] = after


def used_unseen(oracle: "Reference", page: int) -> None:
    """A free page is used: its allocation was not seen."""
    oracle.note(Anomaly.USE_OF_FREE)
    oracle.doubt(page, oracle.proven[page].evidence_ts, oracle.ts, Anomaly.USE_OF_FREE)
    oracle.end(page, How.LOST_ALLOC)


def is_free(oracle: "Reference", page: int) -> bool:
    return page in oracle.proven and oracle.proven[page].state == State.FREE
