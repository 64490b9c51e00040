"""The fold, slow and obvious: one Python object for each page, no arrays, none of replay's code.

``Reference.apply`` takes events one by one, as mappings of column names to values; what is absent is left out. Rules and
their sources are told in replay's kernels; here they are told again, page by page, as a check.
"""

import copy
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import (
    DOUBT_BASELINE,
    DOUBT_HOTPLUG,
    DOUBT_ORDER,
    GFP_COMP,
    GFP_MOVABLE,
    KPF_BUDDY,
    OPEN_END,
    SAME_TS_NSEC,
    Anomaly,
    Evidence,
    How,
    State,
)

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


class Reference:
    """The state after some events, and everything that was noticed on the way."""

    def __init__(self, *, correct: bool = True) -> None:
        self.correct = correct
        self.pages_per_section = 1 << 15
        self.proven: dict[int, Owner] = {}
        self.kernel: dict[int, Owner] = {}
        self.generation: dict[int, int] = {}
        self.open: set[int] = set()
        self.spans: list[Span] = []
        self.doubts: Counter[tuple[int, int, int, int, int, int]] = Counter()  # page, from, to, noticed, seq, reason
        self.pages_noted: Counter[Anomaly] = Counter()
        self.events_noted: defaultdict[Anomaly, set[int]] = defaultdict(set)
        self.quarantined: list[tuple[int, int | None, int | None, Anomaly]] = []
        self.audits: list[Audit] = []
        self.gap_ends: list[int] = []
        self.flags: dict[tuple[int, str], Flag] = {}
        self.flag_spans: list[tuple[Flag, int, int]] = []  # with the seq and time at which each ended
        self.debug = False
        self.went: dict[int, int] = {}  # section: when its extension was last freed
        self.coverage_begins: list[int] = []
        self.hotplug_covered: int | None = None
        self.clock: tuple[int, int] | None = None
        self.split_covered = False
        self.refill_covered = False
        self.skew = 0
        self.moves: list[dict[str, Any]] = []
        self.flatmem = False
        self.beyond = self.pages_per_section * MAX_SECTIONS
        self.booted = False
        self.calls: dict[tuple[str, int | None], dict[str, Any]] = {}
        self.dump: Dump | None = None
        self.base_seq = 0
        self.last_seq, self.last_ts = -1, None  # type: ignore[assignment]
        self.seq = self.ts = 0
        self.cpu: int | None = None

    # -- events ----------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take one event; ``seq`` counts from 0 in each recording."""
        if event["kind"] == Kind.RECORDING_BEGIN:
            self.base_seq = self.last_seq + 1
        self.seq, self.ts = self.base_seq + event["seq"], event["trace_ts_nsec"]
        self.cpu = event.get("cpu")
        kind = event["kind"]
        if kind in OWNER_KINDS or kind in FLAGS:
            self._page_event(Kind(kind), event)
        elif kind == Kind.BASELINE_ENTRY:
            if self.dump is not None:
                self.dump.entries.append(event)
        elif kind in self._RARE:
            said = self._detail(event)
            if said is None:
                self._quarantine(Anomaly.NOT_AN_EVENT, event.get("pfn"), event.get("order"), 1)
            else:
                self._RARE[kind](self, event, said)
        elif kind not in set(Kind):
            self._quarantine(Anomaly.NOT_AN_EVENT, event.get("pfn"), event.get("order"), 1)
        self.last_seq, self.last_ts = self.seq, self.ts

    def lost_frames(self, next_ts: int) -> None:
        """Frames are missing before the event at *next_ts*."""
        self.dump = None
        self.gap_ends.append(next_ts)

    def _detail(self, event: Event) -> dict[str, Any] | None:
        try:
            said = json.loads(event.get("detail", ""))
        except ValueError:
            return None
        return said if isinstance(said, dict) and "nonsense" not in said else None

    def _page_event(self, kind: Kind, event: Event) -> None:
        pfn, order = event.get("pfn"), event.get("order")
        nr = event.get("nr_pages", 0) if self._names_range(kind, event) else None
        why = self._impossible(kind, event)
        if why is None and not all(self._has_node(event[name]) for name in ("pfn", "src_pfn") if name in event):
            why = Anomaly.BEYOND_MACHINE
        if why is not None:
            named = [(pfn, max(nr if nr is not None else 1 << order if order in range(40) else 1, 1))]
            if kind == Kind.MIGRATE:
                named = [(pfn, 1), (event.get("src_pfn"), 1)]
            self._quarantine(why, pfn, order, *named)
            return
        for page in [pfn, event["src_pfn"]] if kind == Kind.MIGRATE else [pfn]:
            if self._gone(page // self.pages_per_section):
                named = [(pfn, 1 if kind == Kind.MIGRATE else nr if nr is not None else 2**order)]
                named += [(event["src_pfn"], 1)] if kind == Kind.MIGRATE else []
                self._quarantine(Anomaly.SECTION_GONE, pfn, order, *named)
                return
            self._there(page)
        if kind == Kind.MIGRATE:
            self._migrate(pfn, event["src_pfn"])
        elif kind == Kind.SPLIT:
            self._split(range(pfn, pfn + nr), order)
        elif kind in (Kind.ALLOC, Kind.ISOLATE):
            self._alloc(event, How.ALLOC if kind == Kind.ALLOC else How.ISOLATE)
        elif kind in (Kind.FREE, Kind.DRAIN, Kind.REFILL):
            self._free(event, How[kind.name])
            if kind != Kind.FREE and self.refill_covered:
                self._step_over_ghosts(range(pfn, pfn + 2**order), How[kind.name])
        elif kind in FLAGS and self.debug:
            field, value = FLAGS[kind]
            for page in range(pfn, pfn + (2**order if nr is None else nr)):
                self._set_flag(page, field, value, Evidence.OBSERVED)
        if self.skew and kind not in FLAGS:
            touched = range(pfn, pfn + (nr if nr is not None else 1 if kind == Kind.MIGRATE else 2**order))
            self._recheck_moves(touched)
            if kind == Kind.MIGRATE:
                self.moves.append(
                    {"ts": self.ts, "cpu": self.cpu, "src": event["src_pfn"], "pfn": pfn, "unsure": False}
                )

    def _recheck_moves(self, touched: range) -> None:
        """What was copied from a page that another CPU's event touches within the skew may be another owner's."""
        self.moves = [move for move in self.moves if self.ts - move["ts"] <= self.skew]
        for n, move in enumerate(self.moves):
            raced = move["src"] in touched and (self.cpu is None or move["cpu"] != self.cpu)
            if raced or any(before["unsure"] and before["pfn"] == move["src"] for before in self.moves[:n]):
                move["unsure"] = True
                owner = self.proven.get(move["pfn"])
                if owner is not None and owner.src_pfn is not None and not owner.unordered:
                    self._doubt(move["pfn"], move["ts"], self.ts, DOUBT_ORDER)
                    self._end(move["pfn"], How.UNORDERED)
                    self.proven[move["pfn"]] = owner.but(
                        how=How.UNORDERED, unordered=1, begin_seq=self.seq, begin_ts=self.ts
                    )

    def _has_node(self, pfn: int) -> bool:
        """Whether there can be such a page: a FLATMEM kernel has no memory but its nodes'."""
        return not self.flatmem or pfn // self.pages_per_section in self.open

    def _names_range(self, kind: Kind, event: Event) -> bool:
        return kind == Kind.SPLIT or (kind in FLAGS and event.get("order") is None)

    # -- the debug client of page_ext --------------------------------------------------------------------------------------

    def _set_flag(self, page: int, field: str, value: int, evidence: Evidence) -> None:
        self._end_flag(page, field)
        self.flags[page, field] = Flag(
            pfn=page, field=field, generation=self.generation[page // self.pages_per_section], value=value,
            evidence=evidence, begin_seq=self.seq, begin_ts=self.ts,
        )  # fmt: skip

    def _end_flag(self, page: int, field: str) -> None:
        flag = self.flags.pop((page, field), None)
        if flag is not None and flag.begin_seq < self.seq:
            self.flag_spans.append((flag, self.seq, self.ts))

    def _impossible(self, kind: Kind, event: Event) -> Anomaly | None:
        """Say why the blocks of an event cannot be, if so."""
        section, beyond = self.pages_per_section, self.beyond
        pfns = [event.get("pfn")]
        order = event.get("order")
        if kind == Kind.MIGRATE:
            pfns, order = [event.get("pfn"), event.get("src_pfn")], 0
        elif kind in FLAGS and order is None:
            order = 0
        if order is None or order < 0 or 2**order > section:
            return Anomaly.BAD_ORDER
        nr = event.get("nr_pages", 0) if self._names_range(kind, event) else 2**order
        if nr < 1 or nr > section:
            return Anomaly.BAD_ORDER
        for pfn in pfns:
            if pfn is None or pfn < 0 or pfn + nr > beyond:
                return Anomaly.BEYOND_MACHINE
            if nr.bit_count() == 1 and pfn % nr:
                return Anomaly.UNALIGNED
            if pfn // section != (pfn + nr - 1) // section:
                return Anomaly.UNALIGNED
        return None

    # -- what pages go through -------------------------------------------------------------------------------------------

    def _alloc(self, event: Event, how: How) -> None:
        pages = range(event["pfn"], event["pfn"] + 2 ** event["order"])
        owner = Owner(
            block_pfn=event["pfn"], order=event["order"], state=State.OWNED, evidence=Evidence.OBSERVED, how=how,
            begin_seq=self.seq, begin_ts=self.ts, evidence_ts=self.ts, alloc_ts=self.ts, gfp_mask=event.get("gfp_mask"),
            pid=event.get("pid"), tgid=event.get("tgid"), comm=event.get("comm"), stack=event.get("stack"),
            migratetype=event.get("migratetype"), cpu=self.cpu, unordered=max(self._races(page) for page in pages),
        )  # fmt: skip
        before = self.proven.get(pages[0])
        same_act = (
            how == How.ALLOC
            and before is not None
            and event.get("gfp_mask") == GFP_MOVABLE
            and (before.how, before.block_pfn, before.order) == (How.ISOLATE, event["pfn"], event["order"])
            and before.pid == event.get("pid")
        )
        lost = []
        for page in pages:
            self._end_view(page, how)
            there = self.proven.get(page)
            if there is None:
                continue
            if there.state == State.FREE or (same_act and there is before):
                self._end(page, how)
            else:
                lost.append(page)
        for page in lost:
            self._note(Anomaly.ALLOC_OVER_OWNED)
            self._doubt(page, self.proven[page].evidence_ts, self.ts, Anomaly.ALLOC_OVER_OWNED)
        self._end_owners(lost, pages, How.LOST_FREE)
        for page in pages:
            self.proven[page] = owner

    def _races(self, page: int, view: dict[int, Owner] | None = None) -> int:
        """Whether what is known of a page may be later than this event, as clocks of two CPUs may differ so much."""
        there = (self.proven if view is None else view).get(page)
        if there is None or self.skew == 0 or self.ts - there.begin_ts > self.skew:
            return 0
        return int(self.cpu is None or there.cpu != self.cpu or bool(there.unordered))

    def _step_over_ghosts(self, pages: range, how: How) -> None:
        """A dump steps over pages in the buddy allocator: a ghost's stamp there is not listed, until it leaves again."""
        before: Owner | None = None
        after = self._nothing(-1)
        for page in pages:
            there = self.kernel.get(page)
            shared, before = there is before, there
            state = State.FREE if how == How.DRAIN else State.OWNED
            if there is None or there.state == state:
                continue
            if not shared:
                after = there.but(state=state, begin_seq=self.seq, begin_ts=self.ts, cpu=self.cpu)
            self._end(page, how, self.kernel)
            self.kernel[page] = after

    def _free(self, event: Event, how: How) -> None:
        drain = how != How.FREE
        contradicted = Anomaly.DRAIN_OF_OWNED if how == How.DRAIN else Anomaly.REFILL_OF_OWNED
        pages = range(event["pfn"], event["pfn"] + 2 ** event["order"])
        races = {page: self._races(page) for page in pages}
        last = {page: self.proven[page] for page in pages if page in self.proven}
        owned = [page for page in pages if page in last and last[page].state == State.OWNED]
        for page in pages:
            if not drain:
                self._end_view(page, How.FREE)
            there = last.get(page)
            if there is None and not drain:
                self._note(self._unseen(page))
            elif page in owned and drain:
                self._note(contradicted)
                self._doubt(page, there.evidence_ts, self.ts, contradicted)
                self._keep_ghost(page, there)
            elif there is not None and there.state == State.FREE and not drain:
                self._note(Anomaly.FREE_OF_FREE)
                self._doubt(page, there.evidence_ts, self.ts, Anomaly.FREE_OF_FREE)
                self._end(page, How.LOST_ALLOC)
        self._end_owners(owned, pages, How.LOST_FREE if drain else How.FREE)
        before, freed = self._nothing(-1), self._nothing(-1)
        for page in pages:
            if page in self.proven:  # a drain of a free page
                before = self._nothing(-1)
                continue
            if last.get(page) is before:
                self.proven[page] = freed
                continue
            before = last.get(page)  # type: ignore[assignment]
            was = before if page in owned else None
            self.proven[page] = freed = (was or self._nothing(page)).but(
                block_pfn=event["pfn"], order=event["order"], state=State.FREE, evidence=Evidence.OBSERVED,
                how=how, begin_seq=self.seq, begin_ts=self.ts, evidence_ts=self.ts, src_pfn=None,
                free_ts_nsec=None, free_pid=event.get("pid"), free_tgid=event.get("tgid"), free_comm=event.get("comm"),
                free_stack=event.get("stack"), cpu=self.cpu, unordered=races[page],
            )  # fmt: skip

    def _keep_ghost(self, page: int, owner: Owner) -> None:
        """A page that page_owner stamped as early, and that is proven free: the kernel's record keeps the stamp."""
        early = (owner.gfp_mask, owner.order, owner.pid, owner.alloc_ts) == (0, 0, 1, None)
        if early and page not in self.kernel:
            self.kernel[page] = owner.but(begin_seq=self.seq, begin_ts=self.ts)

    def _unseen(self, page: int) -> Anomaly:
        onlining = next((c for c in self.calls.values() if c["call"] == "online_pages" and c["pfn"] is not None), None)
        if onlining and onlining["pfn"] <= page < onlining["pfn"] + (onlining["nr_pages"] or 0):
            return Anomaly.FREE_UNSEEN_ONLINING
        return Anomaly.FREE_UNSEEN_LOSS if self.gap_ends else Anomaly.FREE_UNSEEN_BOOT

    def _end_owners(self, ending: list[int], event_pages: range, how: How) -> None:
        """End what owned *ending*; what stays of their blocks outside of the event's pages had been split."""
        blocks: dict[int, Owner] = {id(self.proven[page]): self.proven[page] for page in ending}
        for page in ending:
            self._end(page, how)
        for block in blocks.values():
            rest = [page for page, owner in self.proven.items() if owner is block and page not in event_pages]
            if not rest or block.order == 0 or self.split_covered:
                continue
            known = block.evidence != Evidence.INFERRED or block.how == How.SPLIT_IMPLIED
            single = block.but(
                order=0, evidence=Evidence.INFERRED, how=How.SPLIT_IMPLIED if known else How.SPLIT,
                begin_seq=self.seq, begin_ts=self.ts, cpu=self.cpu,
            )  # fmt: skip
            for page in rest:
                self._note(Anomaly.PARTIAL_FREE)
                self._end(page, How.SPLIT_IMPLIED)
                self.proven[page] = single

    def _split(self, pages: range, order: int) -> None:
        for view in (self.proven, self.kernel):
            before: Owner | None = self._nothing(-1)
            after = self._nothing(-1)
            for page in pages:
                there = view.get(page)
                fresh = there is not before or (order > 0 and page % 2**order == 0)
                before = there
                unordered = max(
                    self._races(page, view), there.unordered if there is not None and there.state == State.OWNED else 0
                )
                if view is self.proven and (there is None or there.state == State.FREE):
                    if there is not None:
                        self._used_unseen(page)
                    if fresh:
                        after = self._nothing(page).but(
                            state=State.OWNED, evidence=Evidence.INFERRED, how=How.SPLIT, order=order,
                            evidence_ts=self.ts, begin_seq=self.seq, begin_ts=self.ts, cpu=self.cpu, unordered=unordered,
                        )  # fmt: skip
                elif there is None or there.state != State.OWNED or there.order == order:
                    continue
                else:
                    if fresh:
                        after = there.but(
                            order=order,
                            how=How.SPLIT,
                            begin_seq=self.seq,
                            begin_ts=self.ts,
                            cpu=self.cpu,
                            unordered=unordered,
                        )
                    self._end(page, How.SPLIT, view)
                if fresh and order > 0:
                    after.block_pfn = page - page % 2**order
                view[page] = after

    def _used_unseen(self, page: int) -> None:
        """A free page is used: its allocation was not seen."""
        self._note(Anomaly.USE_OF_FREE)
        self._doubt(page, self.proven[page].evidence_ts, self.ts, Anomaly.USE_OF_FREE)
        self._end(page, How.LOST_ALLOC)

    def _is_free(self, page: int) -> bool:
        return page in self.proven and self.proven[page].state == State.FREE

    def _migrate(self, pfn: int, src_pfn: int) -> None:
        source = self.proven.get(src_pfn)
        races = max(self._races(pfn), self._races(src_pfn))
        if source is None or source.state != State.OWNED:
            self._note(Anomaly.MIGRATE_FROM_UNKNOWN)
        elif self._is_free(pfn):
            border = (pfn // self.pages_per_section + 1) * self.pages_per_section
            for page in range(pfn + 1, min(pfn + 2 ** max(source.order, 0), border)):
                if self._is_free(page):
                    self._used_unseen(page)
        self._end_view(pfn, How.MIGRATE)
        if src_pfn in self.kernel:
            self.kernel[pfn] = self._copied(self.kernel[src_pfn], pfn, src_pfn, races)
        copied = self._copied(source, pfn, src_pfn, races)
        if self._is_free(pfn):
            self._used_unseen(pfn)
        if pfn in self.proven:
            self._end(pfn, How.MIGRATE)
        self.proven[pfn] = copied

    def _copied(self, source: Owner | None, pfn: int, src_pfn: int, races: int) -> Owner:
        proven = source is not None and source.state == State.OWNED and source.evidence != Evidence.INFERRED
        if source is None or source.state != State.OWNED:
            source = self._nothing(pfn).but(evidence_ts=self.ts)
        return source.but(
            state=State.OWNED, evidence=Evidence.OBSERVED if proven else Evidence.INFERRED, how=How.MIGRATE,
            block_pfn=pfn, src_pfn=src_pfn, free_ts_nsec=source.ts_nsec, begin_seq=self.seq, begin_ts=self.ts,
            cpu=self.cpu, unordered=max(races, source.unordered),
        )  # fmt: skip

    def _nothing(self, page: int) -> Owner:
        return Owner(
            block_pfn=page, order=0, state=State.UNKNOWN, evidence=Evidence.NONE, how=How.OPEN, begin_seq=0, begin_ts=0
        )

    # -- sections --------------------------------------------------------------------------------------------------------

    def _gone(self, section_nr: int) -> bool:
        """Whether it was seen to go, and would have been seen to come back."""
        went = self.went.get(section_nr)
        if section_nr in self.open or went is None or self.hotplug_covered is None or self.hotplug_covered > went:
            return False
        return not any(end >= went for end in self.gap_ends)

    def _there(self, pfn: int) -> None:
        """Open the section of a page that something happened to."""
        section_nr = pfn // self.pages_per_section
        if section_nr not in self.open:
            self._online(section_nr)
            self._note(Anomaly.SECTION_OPENED, self.pages_per_section)

    def _online(self, section_nr: int) -> None:
        self.open.add(section_nr)
        self.generation[section_nr] = self.generation.get(section_nr, 0) + 1

    def _offline(self, section_nr: int) -> None:
        for page in range(section_nr * self.pages_per_section, (section_nr + 1) * self.pages_per_section):
            for view in (self.proven, self.kernel):
                if page in view:
                    self._end(page, How.OFFLINED, view)
            for name in ("poison", "guard"):
                self._end_flag(page, name)
        self.open.discard(section_nr)
        self.went[section_nr] = self.ts

    def _hotplug(self, event: Event, said: dict[str, Any]) -> None:
        size = self.pages_per_section
        call, phase = said["call"], said["phase"]
        pfn, nr, pid, ret = event.get("pfn"), event.get("nr_pages"), event.get("pid"), event.get("ret")
        if pfn is not None and nr is not None and (
            pfn < 0 or nr < 1 or nr > 4096 * size or pfn + nr > size * MAX_SECTIONS
        ):  # fmt: skip
            self._quarantine(Anomaly.BEYOND_MACHINE, pfn, None, (pfn, 1))
            return
        entry = self.calls.get((call, pid))
        if phase == "return":
            self.calls.pop((call, pid), None)
            if entry is None:
                self._note(Anomaly.HOTPLUG_UNPAIRED, nr or 0)
                if pfn is None:
                    self.gap_ends.append(self.ts)
            else:
                if pfn is None:
                    pfn, nr = entry["pfn"], entry["nr_pages"]
                if ret is None or any(end >= entry["ts"] for end in self.gap_ends):
                    self.gap_ends.append(self.ts)
        elif phase == "entry":
            self.calls[call, pid] = {"call": call, "pfn": pfn, "nr_pages": nr, "ts": self.ts}
        if self.flatmem:
            self._quarantine(Anomaly.HOTPLUG_ON_FLATMEM, pfn, None, (pfn, nr or 1))
            return
        if pfn is None or nr is None:
            return
        if phase == "notified" or (pfn + nr) % size == 0:  # else the call itself refuses: it notifies nobody
            for section_nr in range(pfn // size, (pfn + nr - 1) // size + 1):
                self._page_ext_callback(section_nr, call, phase, ret)
        if phase == "return" and entry is not None:
            for page in range(pfn, pfn + nr):
                self._doubt(page, entry["ts"], self.ts, DOUBT_HOTPLUG)

    def _page_ext_callback(self, section_nr: int, call: str, phase: str, ret: int | None) -> None:
        """Do to one section what the notifier's action does that an observation shows (mm/page_ext.c)."""
        there, size = section_nr in self.open, self.pages_per_section
        if (call, phase) == ("online_pages", "entry"):  # MEM_GOING_ONLINE
            pages = range(section_nr * size, (section_nr + 1) * size)
            used = any(page in view for page in pages for view in (self.proven, self.kernel))
            used |= any((page, field) in self.flags for page in pages for field in ("poison", "guard"))
            if there and not used:
                return  # an extension that is there is kept
            if there:
                self._offline(section_nr)
            self._online(section_nr)
            for page in pages if self.debug else ():  # zeroed
                for field in ("poison", "guard"):
                    self._set_flag(page, field, 0, Evidence.INFERRED)
        elif call == "online_pages" and (phase == "notified" or ret == 0) and not there:  # MEM_ONLINE: it had succeeded
            self._online(section_nr)
        elif phase == "return" and ret is None:
            return
        elif there and (  # MEM_CANCEL_ONLINE and MEM_OFFLINE
            (call == "online_pages" and phase == "return" and ret != 0)
            or (call == "offline_pages" and (phase == "notified" or (phase == "return" and ret == 0)))
        ):
            self._offline(section_nr)

    # -- the kernel's own view -------------------------------------------------------------------------------------------

    def _baseline_begin(self, event: Event, said: dict[str, Any]) -> None:
        self.dump = Dump(begin=said)

    def _baseline_end(self, event: Event, said: dict[str, Any]) -> None:
        dump, self.dump = self.dump, None
        if dump is None:
            return
        window, since = dump.begin["window_begin"], dump.begin["window_begin"] - self.skew
        if dump.begin.get("view") == "kpageflags":
            self._free_by_flags(dump, window, since)
            return
        entries = self._possible(dump.entries)
        for entry in entries:
            if not self._has_node(entry["pfn"]):
                self._quarantine(Anomaly.BEYOND_MACHINE, entry["pfn"], entry["order"], 1)
        entries = [entry for entry in entries if self._has_node(entry["pfn"])]
        for section_nr in sorted({entry["pfn"] // self.pages_per_section for entry in entries}):
            if self.went.get(section_nr, since - 1) < since:
                self._there(section_nr * self.pages_per_section)
        entries = [entry for entry in entries if entry["pfn"] // self.pages_per_section in self.open]
        listed = {entry["pfn"] for entry in entries}
        extra = [
            (page, owner)
            for page, owner in (self.proven | self.kernel).items()
            if owner.state == State.OWNED
            and page % 2**owner.order == 0
            and page not in listed
            and owner.begin_ts < since
        ]
        agrees = [self._agrees(entry) for entry in entries]
        applied = self._applied("page_owner")
        self.audits.append(
            Audit(
                name=dump.begin["name"], records=len(entries), agree=sum(agrees), extra=len(extra), applied=applied
            )
        )  # fmt: skip
        if not applied:
            return
        todo = [self._action(entry, since) for entry in entries]
        orders = {entry["pfn"]: entry["order"] for entry in reversed(entries)}
        for entry, action in zip(entries, todo, strict=True):
            if action == "confirm":
                self._confirm(entry, window)
            elif action == "kernel":
                self._early_beside(entry, window)
            elif action == "set":
                self._set(entry, window, since, orders)
        if not dump.begin.get("skipped"):
            for page, owner in extra:
                for named in range(page, page + 2**owner.order):
                    self._doubt(named, owner.evidence_ts, OPEN_END, DOUBT_BASELINE)

    def _applied(self, view: str) -> bool:
        return self.correct or not any(audit.view == view for audit in self.audits)

    def _free_by_flags(self, dump: Dump, window: int, since: int) -> None:
        """The BUDDY bit proves that a page is free; that it is not set proves nothing."""
        beyond = self.beyond
        runs = [
            range(entry["pfn"], min(entry["pfn"] + entry["nr_pages"], beyond))
            for entry in dump.entries
            if entry.get("page_flags", 0) & KPF_BUDDY and entry["pfn"] >= 0
        ]
        pages = [page for run in runs for page in run]
        free = sum(self._is_free(page) for page in pages)
        applied = self._applied("kpageflags")
        self.audits.append(
            Audit(
                name=dump.begin["name"], records=len(pages), agree=free, extra=0, applied=applied, view="kpageflags"
            )
        )  # fmt: skip
        for run in runs if applied else ():
            before, after = self._nothing(-1), self._nothing(-1)
            for page in run:
                there = self.proven.get(page)
                shared = there is before and page % self.pages_per_section > 0
                before = there  # type: ignore[assignment]
                if page // self.pages_per_section not in self.open or not self._renewed_by_flags(there, since):
                    before = self._nothing(-1)
                    continue
                if there is not None:
                    self._end_by_flags(page, there)
                self.proven[page] = after = after if shared else self._proven_free(page, there, window)

    def _renewed_by_flags(self, there: Owner | None, since: int) -> bool:
        """Whether the kernel's word on a free page says more than what is known: not when it was touched meanwhile."""
        if there is None:
            return True
        fresh = not there.unordered and (
            self._surer() is None or (there.evidence_ts is not None and there.evidence_ts >= self._surer())
        )
        return there.begin_ts < since and not (there.state == State.FREE and fresh)

    def _end_by_flags(self, page: int, there: Owner) -> None:
        if there.state == State.OWNED:
            self._doubt(page, there.evidence_ts, self.ts, DOUBT_BASELINE)
            self._keep_ghost(page, there)
        self._end(page, How.CONFIRMED if there.state == State.FREE else How.CORRECTED)

    def _proven_free(self, page: int, there: Owner | None, window: int) -> Owner:
        begun = {"begin_seq": self.seq, "begin_ts": self.ts, "evidence_ts": window, "cpu": None, "unordered": 0}
        if there is not None and there.state == State.FREE:
            return there.but(how=How.CONFIRMED, **begun)
        return (there or self._nothing(page)).but(
            state=State.FREE, how=How.BASELINE, evidence=Evidence.BASELINE, order=None, **begun
        )

    def _surer(self) -> int | None:
        """Evidence from before this instant is surer after a view of the kernel's own."""
        return max([*self.coverage_begins, *(end + 1 for end in self.gap_ends)], default=None)

    def _possible(self, entries: list[Event]) -> list[Event]:
        possible = []
        for entry in sorted(entries, key=lambda entry: entry["pfn"]):
            why = self._impossible(Kind.ALLOC, entry)
            if why is None:
                possible.append(entry)
        for entry in entries:
            why = self._impossible(Kind.ALLOC, entry)
            if why is not None:
                self._quarantine(why, entry["pfn"], entry["order"], (entry["pfn"], 1))
        return possible

    def _agrees(self, entry: Event) -> bool:
        ours = self.kernel.get(entry["pfn"], self.proven.get(entry["pfn"]))
        return (
            ours is not None
            and ours.state == State.OWNED
            and ours.order == entry["order"]
            and ours.pid == entry.get("pid")
            and ours.gfp_mask == entry.get("gfp_mask")
            and self._apart(ours, entry) <= SAME_TS_NSEC
        )

    def _stamp(self, owner: Owner) -> int | None:
        if owner.ts_nsec is not None or self.clock is None or owner.alloc_ts is None:
            return owner.ts_nsec
        return owner.alloc_ts + self.clock[0]

    def _apart(self, owner: Owner, entry: Event) -> int:
        stamp = self._stamp(owner)
        if stamp is None or entry.get("ts_nsec") is None:
            return 0
        return abs(stamp - entry["ts_nsec"])

    def _early(self, entry: Event) -> bool:
        """Whether page_owner itself stamped it: init_pages_in_zone."""
        named = entry.get("comm") in (None, "swapper/0")
        return named and (entry["order"], entry.get("gfp_mask"), entry.get("pid")) == (0, 0, 1)

    def _action(self, entry: Event, since: int) -> str:
        proven = self.proven.get(entry["pfn"])
        viewed = entry["pfn"] in self.kernel
        ours = self.kernel.get(entry["pfn"], proven)
        if (proven is not None and proven.begin_ts >= since) or (
            viewed and self.kernel[entry["pfn"]].begin_ts >= since
        ):
            return "leave"  # touched while the dump was made
        agrees = self._agrees(entry)
        if not agrees and not self._near_in_boot(proven, entry):
            seen = (
                proven is not None
                and proven.evidence != Evidence.BASELINE
                and (proven.state != State.FREE or self._since_stamped(proven, entry))
            )
            return "kernel" if self._early(entry) and seen else "set"
        if viewed:
            return "leave"
        if agrees and self._early(entry) and proven is not None and proven.evidence == Evidence.INFERRED:
            return "leave"  # a stamp told again proves no more
        surer = self._surer()
        assert ours is not None
        sure = ours.evidence != Evidence.INFERRED and not ours.unordered
        if agrees and sure and (surer is None or (ours.evidence_ts is not None and ours.evidence_ts >= surer)):
            return "leave"
        return "confirm"

    def _since_stamped(self, proven: Owner, entry: Event) -> bool:
        """Whether a page was seen to be free after page_owner had stamped it."""
        if self.clock is None or entry.get("ts_nsec") is None or proven.evidence_ts is None:
            return False
        at = entry["ts_nsec"] - self.clock[0]
        return proven.evidence_ts > at + (UNSTABLE_CLOCK_NSEC if at < self.clock[1] else 0)

    def _near_in_boot(self, proven: Owner | None, entry: Event) -> bool:
        """Whether it is the same allocation, stamped before the clocks had a constant relation."""
        if self.clock is None or proven is None or proven.alloc_ts is None or proven.alloc_ts >= self.clock[1]:
            return False
        stamp = self._stamp(proven)
        assert stamp is not None
        same = (proven.order, proven.pid, proven.gfp_mask) == (entry["order"], entry.get("pid"), entry.get("gfp_mask"))
        near = entry.get("ts_nsec") is not None and abs(stamp - entry["ts_nsec"]) <= UNSTABLE_CLOCK_NSEC
        return proven.state == State.OWNED and same and near

    def _pages_of(self, entry: Event) -> range:
        return range(entry["pfn"], entry["pfn"] + 2 ** entry["order"])

    def _from_entry(self, entry: Event, since: int, how: How) -> Owner:
        names = ("gfp_mask", "pid", "tgid", "comm", "stack", "migratetype", "ts_nsec", "free_ts_nsec", "migrate_reason")
        return Owner(
            block_pfn=entry["pfn"], order=entry["order"], state=State.OWNED, evidence=Evidence.BASELINE, how=how,
            begin_seq=self.seq, begin_ts=self.ts, evidence_ts=since, **{name: entry.get(name) for name in names},
        )  # fmt: skip

    def _confirm(self, entry: Event, window: int) -> None:
        there = self.proven[entry["pfn"]]
        renewed = there.but(
            how=How.CONFIRMED, begin_seq=self.seq, begin_ts=self.ts, evidence_ts=window, ts_nsec=entry.get("ts_nsec"),
            free_ts_nsec=entry.get("free_ts_nsec"), migrate_reason=entry.get("migrate_reason"), cpu=None, unordered=0,
            evidence=Evidence.BASELINE if there.evidence == Evidence.INFERRED else there.evidence,
        )  # fmt: skip
        if entry.get("tgid") is not None:
            renewed.tgid = entry["tgid"]
        if entry.get("comm") is not None:
            renewed.comm = entry["comm"]
        if there.stack is None:
            renewed.stack = entry.get("stack")
        for page in self._pages_of(entry) if self._whole(entry) else [entry["pfn"]]:
            if self.proven.get(page) is there:
                self._end(page, How.CONFIRMED)
                self.proven[page] = renewed

    def _early_beside(self, entry: Event, since: int) -> None:
        early = self._from_entry(entry, since, How.EARLY)
        for page in self._pages_of(entry):
            self._end_view(page, How.CORRECTED)
            self.kernel[page] = early

    def _whole(self, entry: Event) -> bool:
        """Whether the tails are surely the head's: a compound block that was not migrated."""
        return bool((entry.get("gfp_mask") or 0) & GFP_COMP) and entry.get("migrate_reason", -1) in (None, -1)

    def _unlisted(self, entry: Event, orders: dict[int, int]) -> Iterator[int]:
        """The pages of a record's block, without blocks in it that the dump lists by themselves."""
        page = entry["pfn"]
        while page < entry["pfn"] + 2 ** entry["order"]:
            if page != entry["pfn"] and page in orders:
                page += 2 ** orders[page]
            else:
                yield page
                page += 1

    def _set(self, entry: Event, window: int, since: int, orders: dict[int, int]) -> None:
        owner = self._from_entry(entry, window, How.EARLY if self._early(entry) else How.BASELINE)
        first = self.proven.get(entry["pfn"])
        if self._early(entry) and first is not None and first.state == State.FREE:
            owner = owner.but(evidence=Evidence.INFERRED)
        tails = owner
        if not self._whole(entry):
            tails = self._from_entry(entry, window, How.BASELINE).but(evidence=Evidence.INFERRED)
        for page in self._unlisted(entry, orders):
            there = self.proven.get(page)
            if there is not None and there.begin_ts >= since:
                continue
            if there is not None:
                self._doubt(page, there.evidence_ts, self.ts, DOUBT_BASELINE)
                self._end(page, How.CORRECTED)
            self._end_view(page, How.CORRECTED)
            self.proven[page] = owner if page == entry["pfn"] else tails

    # -- the rest --------------------------------------------------------------------------------------------------------

    def _recording_begin(self, event: Event, said: dict[str, Any]) -> None:
        self.dump = None
        self.skew = max(self.skew, int(said.get("options", {}).get("clock_skew_nsec", 0)))
        if self.last_ts is not None:
            self.gap_ends.append(self.ts)

    def _recording_end(self, event: Event, said: dict[str, Any]) -> None:
        self.dump = None

    def _boot(self, event: Event, said: dict[str, Any]) -> None:
        self.flatmem = said.get("memory_model") == "FLATMEM"
        self.debug |= "debug" in said.get("page_ext_clients", ())
        if self.booted:
            return
        self.booted = True
        bits = said.get("section_size_bits")
        if bits is not None and not self.generation:
            self.pages_per_section = 2 ** (bits - said.get("page_shift", 12))
        if self.flatmem:
            self._nodes(said)
            return
        self.beyond = self.pages_per_section * MAX_SECTIONS
        for start, stop in said.get("present", ()):
            for section_nr in range(start // self.pages_per_section, -(-stop // self.pages_per_section)):
                if section_nr not in self.open:
                    self._online(section_nr)

    def _nodes(self, said: dict[str, Any]) -> None:
        """One extension a node, and no other memory; kept in pieces of the largest block."""
        size = self.pages_per_section = 2 ** (said["max_order"] - 1)
        for node in {zone["node"] for zone in said["zones"]}:
            zones = [zone for zone in said["zones"] if zone["node"] == node]
            for page in range(min(z["start_pfn"] for z in zones), max(z["stop_pfn"] for z in zones)):
                if page // size not in self.open:
                    self._online(page // size)
        self.beyond = (max(self.open) + 1) * size

    def _clock(self, event: Event, said: dict[str, Any]) -> None:
        if self.clock is None and said.get("ts_nsec") is not None:
            valid = said.get("valid_from")
            self.clock = (said["ts_nsec"] - self.ts, self.ts if valid is None else valid)

    def _coverage(self, event: Event, said: dict[str, Any]) -> None:
        if said.get("begins", True):
            self.coverage_begins.append(self.ts)
        if "hotplug" in said["kinds"]:
            begun = self.ts if self.hotplug_covered is None else self.hotplug_covered
            self.hotplug_covered = begun if said.get("begins", True) else None
        if "split" in said["kinds"]:
            self.split_covered = said.get("begins", True)
        if "refill" in said["kinds"]:
            self.refill_covered = said.get("begins", True)

    def _gap(self, event: Event, said: dict[str, Any]) -> None:
        self.gap_ends.append(said["t_hi"])

    def _marker(self, event: Event, said: dict[str, Any]) -> None:
        pass

    _RARE = {  # noqa: RUF012
        Kind.RECORDING_BEGIN: _recording_begin,
        Kind.RECORDING_END: _recording_end,
        Kind.BOOT: _boot,
        Kind.CLOCK: _clock,
        Kind.COVERAGE: _coverage,
        Kind.GAP: _gap,
        Kind.MARKER: _marker,
        Kind.HOTPLUG: _hotplug,
        Kind.BASELINE_BEGIN: _baseline_begin,
        Kind.BASELINE_END: _baseline_end,
    }

    # -- what is kept ----------------------------------------------------------------------------------------------------

    def _end(self, page: int, how: How, view: dict[int, Owner] | None = None) -> None:
        """End what holds a page now; a span that ended with the event that began it never covered an instant."""
        view = self.proven if view is None else view
        owner = view.pop(page)
        if owner.begin_seq < self.seq:
            self.spans.append(
                Span(
                    pfn=page, view=int(view is self.kernel), generation=self.generation[page // self.pages_per_section],
                    said=owner.said(), end_seq=self.seq, end_ts=self.ts, end_how=how,
                )
            )  # fmt: skip

    def _end_view(self, page: int, how: How) -> None:
        """The kernel's record and what is proven are one again."""
        if page in self.kernel:
            self._end(page, how, self.kernel)

    def _note(self, kind: Anomaly, pages: int = 1) -> None:
        self.events_noted[kind].add(self.seq)
        self.pages_noted[kind] += pages

    def _doubt(self, page: int, from_ts: int, to_ts: int, reason: int) -> None:
        self.doubts[page, from_ts, to_ts, self.ts, self.seq, int(reason)] += 1

    def _quarantine(self, why: Anomaly, pfn: int | None, order: int | None, *named: Any) -> None:
        """Set an event aside; *named* are (pfn, pages) that it names."""
        self.quarantined.append((self.seq, pfn, order, why))
        self._note(why)
        for first, pages in [(pfn, n) if isinstance(n, int) else n for n in named]:
            if first is None or first < 0:
                continue
            for page in range(first, min(first + pages, first + 4096, self.beyond)):
                self._doubt(page, SINCE_EVER, self.ts, int(why))

    def state(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Return (page, view) → (generation, all that its owner says); unknown and absent pages are not in it."""
        return {
            (page, view): (self.generation[page // self.pages_per_section], owner.said())
            for view, pages in enumerate((self.proven, self.kernel))
            for page, owner in pages.items()
        }


def replayed(events: Iterable[Event], *, correct: bool = True) -> Reference:
    """Return the state after *events*."""
    reference = Reference(correct=correct)
    for event in events:
        reference.apply(event)
    return reference
