"""A reading of kpageflags: its BUDDY bit proves that a page is free."""

from functools import partial
from typing import TYPE_CHECKING

from pagetrail.schemas.linux.page_flags import KPF_BUDDY
from pagetrail.schemas.owner import DOUBT_BASELINE, Evidence, How, State
from tests.oracles.fold.blocks import is_free, keep_ghost
from tests.oracles.fold.comparison import surer_from
from tests.oracles.fold.sections import has_node, open_section_of
from tests.oracles.fold.values import Audit, Dump, Owner, nothing

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def free_by_flags(oracle: "Reference", dump: Dump, window: int, since: int) -> None:
    """The BUDDY bit proves that a page is free; that it is not set proves nothing."""
    beyond = oracle.beyond
    runs = [
        range(entry["pfn"], min(entry["pfn"] + entry["nr_pages"], beyond))
        for entry in dump.entries
        if entry.get("page_flags", 0) & KPF_BUDDY and entry["pfn"] >= 0
    ]
    pages = [page for run in runs for page in run]
    if dump.begin.get("extent") == "partial":
        for page in filter(partial(has_node, oracle), pages):
            open_section_of(oracle, page)
    free = sum(is_free(oracle, page) for page in pages)
    applied = oracle.applies("kpageflags")
    oracle.audits.append(
        Audit(
            name=dump.begin["name"], records=len(pages), agree=free, extra=0, applied=applied, view="kpageflags"
        )
    )  # fmt: skip
    for run in runs if applied else ():
        before, after = nothing(-1), nothing(-1)
        for page in run:
            there = oracle.proven.get(page)
            shared = there is before and page % oracle.pages_per_section > 0
            before = there  # type: ignore[assignment]
            if page // oracle.pages_per_section not in oracle.open or not renewed_by_flags(oracle, there, since):
                before = nothing(-1)
                continue
            if there is not None:
                end_by_flags(oracle, page, there)
            oracle.proven[page] = after = after if shared else proven_free(oracle, page, there, window)


def renewed_by_flags(oracle: "Reference", there: Owner | None, since: int) -> bool:
    """Whether the kernel's word on a free page says more than what is known: not when it was touched meanwhile."""
    if there is None:
        return True
    fresh = not there.unordered and (
        surer_from(oracle) is None or (there.evidence_ts is not None and there.evidence_ts >= surer_from(oracle))
    )
    return there.begin_ts < since and not (there.state == State.FREE and fresh)


def end_by_flags(oracle: "Reference", page: int, there: Owner) -> None:
    if there.state == State.OWNED:
        oracle.doubt(page, there.evidence_ts, oracle.ts, DOUBT_BASELINE)
        keep_ghost(oracle, page, there)
    oracle.end(page, How.CONFIRMED if there.state == State.FREE else How.CORRECTED)


def proven_free(oracle: "Reference", page: int, there: Owner | None, window: int) -> Owner:
    begun = {"begin_seq": oracle.seq, "begin_ts": oracle.ts, "evidence_ts": window, "cpu": None, "unordered": 0}
    if there is not None and there.state == State.FREE:
        return there.but(how=How.CONFIRMED, **begun)
    return (there or nothing(page)).but(
        state=State.FREE, how=How.BASELINE, evidence=Evidence.BASELINE, order=None, **begun
    )
