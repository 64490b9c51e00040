"""What a record of a page_owner dump is beside what is known: the same or not, and what is to be done."""

from typing import TYPE_CHECKING

from pagetrail.schemas.owner import SAME_TS_NSEC, Evidence, State
from tests.oracles.fold.values import UNSTABLE_CLOCK_NSEC, Event, Owner

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def surer_from(oracle: "Reference") -> int | None:
    """Evidence from before this instant is surer after a view of the kernel's own."""
    return max([*oracle.coverage_begins, *(end + 1 for end in oracle.gap_ends + oracle.page_losses)], default=None)


def agrees_with(oracle: "Reference", entry: Event) -> bool:
    ours = oracle.kernel.get(entry["pfn"], oracle.proven.get(entry["pfn"]))
    return (
        ours is not None
        and ours.state == State.OWNED
        and ours.order == entry["order"]
        and entry.get("pid") in (None, ours.pid)
        and ours.gfp_mask == entry.get("gfp_mask")
        and apart(oracle, ours, entry) <= SAME_TS_NSEC
        and not has_other_stack(ours, entry)
    )


def has_other_stack(owner: Owner, entry: Event) -> bool:
    """Whether nothing says when either was allocated, and they were not allocated in the same place."""
    untimed = (owner.ts_nsec, owner.alloc_ts, entry.get("ts_nsec")) == (None, None, None)
    return untimed and None not in (owner.stack, entry.get("stack")) and owner.stack != entry.get("stack")


def stamp_of(oracle: "Reference", owner: Owner) -> int | None:
    if owner.ts_nsec is not None or oracle.clock is None or owner.alloc_ts is None:
        return owner.ts_nsec
    return owner.alloc_ts + oracle.clock[0]


def apart(oracle: "Reference", owner: Owner, entry: Event) -> int:
    stamp = stamp_of(oracle, owner)
    if stamp is None or entry.get("ts_nsec") is None:
        return 0
    return abs(stamp - entry["ts_nsec"])


def is_early(oracle: "Reference", entry: Event) -> bool:
    """Whether page_owner itself stamped it: init_pages_in_zone."""
    comms, pids = ({stamp[i] for stamp in oracle.kernel_does.early} for i in (1, 0))
    named = entry.get("comm") in (None, *comms)
    return named and (entry["order"], entry.get("gfp_mask")) == (0, 0) and entry.get("pid") in pids


def action_of(oracle: "Reference", entry: Event, since: int) -> str:
    proven = oracle.proven.get(entry["pfn"])
    viewed = entry["pfn"] in oracle.kernel
    ours = oracle.kernel.get(entry["pfn"], proven)
    if (proven is not None and proven.begin_ts >= since) or (viewed and oracle.kernel[entry["pfn"]].begin_ts >= since):
        return "leave"  # touched while the dump was made
    agrees = agrees_with(oracle, entry)
    if not agrees and not near_in_boot(oracle, proven, entry):
        seen = (
            proven is not None
            and proven.evidence != Evidence.BASELINE
            and (proven.state != State.FREE or since_stamped(oracle, proven, entry))
        )
        return "kernel" if is_early(oracle, entry) and seen else "set"
    if viewed:
        return "leave"
    if agrees and is_early(oracle, entry) and proven is not None and proven.evidence == Evidence.INFERRED:
        return "leave"  # a stamp told again proves no more
    surer = surer_from(oracle)
    assert ours is not None
    sure = ours.evidence != Evidence.INFERRED and not ours.unordered
    if agrees and sure and (surer is None or (ours.evidence_ts is not None and ours.evidence_ts >= surer)):
        return "leave"
    return "confirm"


def since_stamped(oracle: "Reference", proven: Owner, entry: Event) -> bool:
    """Whether a page was seen to be free after page_owner had stamped it."""
    if oracle.clock is None or entry.get("ts_nsec") is None or proven.evidence_ts is None:
        return False
    at = entry["ts_nsec"] - oracle.clock[0]
    return proven.evidence_ts > at + (UNSTABLE_CLOCK_NSEC if at < oracle.clock[1] else 0)


def near_in_boot(oracle: "Reference", proven: Owner | None, entry: Event) -> bool:
    """Whether it is the same allocation, stamped before the clocks had a constant relation."""
    if oracle.clock is None or proven is None or proven.alloc_ts is None or proven.alloc_ts >= oracle.clock[1]:
        return False
    stamp = stamp_of(oracle, proven)
    assert stamp is not None
    same = (proven.order, proven.gfp_mask) == (entry["order"], entry.get("gfp_mask")) and entry.get("pid") in (
        None,
        proven.pid,
    )
    near = entry.get("ts_nsec") is not None and abs(stamp - entry["ts_nsec"]) <= UNSTABLE_CLOCK_NSEC
    return proven.state == State.OWNED and same and near
