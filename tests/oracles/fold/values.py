"""What the oracle says of pages: owners, spans, flags, and what was noticed of dumps."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import Evidence, How, State

Event = Mapping[str, Any]

MAX_SECTIONS = 1 << 20
UNSTABLE_CLOCK_NSEC = 250_000_000
SINCE_EVER = -(2**63) + 1
FLAGS = {
    Kind.POISON: ("poison", 1), Kind.UNPOISON: ("poison", 0), Kind.GUARD: ("guard", 1), Kind.UNGUARD: ("guard", 0),
}  # fmt: skip
"""Which flag an event of these kinds sets or clears."""
OWNER_KINDS = (
    Kind.ALLOC, Kind.FREE, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.DRAIN, Kind.EXTFRAG, Kind.REFILL,
)  # fmt: skip


@dataclass(eq=False, kw_only=True)
class Owner:
    """One owner, or one freedom, of a block. Pages of one block share the object: that is how one knows its rest."""

    block_pfn: int
    order: int
    state: State
    evidence: Evidence
    how: How
    begin_seq: int
    begin_ts: int
    evidence_ts: int | None = None
    alloc_ts: int | None = None
    ts_nsec: int | None = None
    free_ts_nsec: int | None = None
    src_pfn: int | None = None
    gfp_mask: int | None = None
    pid: int | None = None
    tgid: int | None = None
    comm: str | None = None
    stack: str | None = None
    migratetype: int | None = None
    migrate_reason: int | None = None
    free_pid: int | None = None
    free_tgid: int | None = None
    free_comm: str | None = None
    free_stack: str | None = None
    cpu: int | None = None
    unordered: int = 0

    def but(self, **changes: Any) -> "Owner":
        """Return another one that differs in *changes*."""
        other = copy.copy(self)
        for name, value in changes.items():
            setattr(other, name, value)
        return other

    def said(self) -> tuple[Any, ...]:
        """Return all that it says, in the order of ``FIELDS``."""
        return tuple(getattr(self, name) for name in FIELDS)


FIELDS = tuple(sorted(f.name for f in fields(Owner)))


@dataclass(frozen=True, kw_only=True)
class Span:
    """What one page was, from when to when."""

    pfn: int
    view: int
    generation: int
    said: tuple[Any, ...]
    end_seq: int
    end_ts: int
    end_how: How


@dataclass(frozen=True, kw_only=True)
class Flag:
    """What the debug client of page_ext says of one page, and since when."""

    pfn: int
    field: str
    generation: int
    value: int
    evidence: Evidence
    begin_seq: int
    begin_ts: int


@dataclass(kw_only=True)
class Dump:
    """A baseline under way."""

    begin: dict[str, Any]
    entries: list[Event] = field(default_factory=list)


@dataclass(kw_only=True)
class Audit:
    name: str
    records: int
    agree: int
    extra: int
    applied: bool
    view: str = "page_owner"


def nothing(page: int) -> Owner:
    return Owner(
        block_pfn=page, order=0, state=State.UNKNOWN, evidence=Evidence.NONE, how=How.OPEN, begin_seq=0, begin_ts=0
    )
