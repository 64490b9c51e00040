"""The fold, slow and obvious: one Python object for each page, no arrays, none of replay's code.

``Reference.apply`` takes events one by one, as mappings of column names to values; what is absent is left out. Rules and
their sources are told in replay's kernels; here they are told again, page by page, as a check.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.owner import Anomaly, Evidence, How
from tests.oracles.fold.blocks import alloc, free, split, step_over_ghosts
from tests.oracles.fold.boot import take_boot
from tests.oracles.fold.contig_range import take_contig_range
from tests.oracles.fold.dumps import begin_dump, end_dump
from tests.oracles.fold.hotplug import take_call
from tests.oracles.fold.kernels import BEFORE_6_12, Kernel
from tests.oracles.fold.moves import migrate, recheck_moves, says_only_why, set_reason
from tests.oracles.fold.recording import (
    covered,
    take_clock,
    take_coverage,
    take_gap,
    take_marker,
    take_recording_begin,
    take_recording_end,
)
from tests.oracles.fold.sections import has_node, impossible, is_gone, names_range, open_section_of
from tests.oracles.fold.values import (
    FLAGS,
    MAX_SECTIONS,
    OWNER_KINDS,
    SINCE_EVER,
    Audit,
    Dump,
    Event,
    Flag,
    Owner,
    Span,
)

RARE: dict[Kind, Callable[["Reference", Event, dict[str, Any]], None]] = {
    Kind.RECORDING_BEGIN: take_recording_begin,
    Kind.RECORDING_END: take_recording_end,
    Kind.BOOT: take_boot,
    Kind.CLOCK: take_clock,
    Kind.COVERAGE: take_coverage,
    Kind.GAP: take_gap,
    Kind.MARKER: take_marker,
    Kind.HOTPLUG: take_call,
    Kind.CONTIG_RANGE: take_contig_range,
    Kind.BASELINE_BEGIN: begin_dump,
    Kind.BASELINE_END: end_dump,
}


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
        self.page_losses: list[int] = []  # ends of losses that name their pages
        self.flags: dict[tuple[int, str], Flag] = {}
        self.flag_spans: list[tuple[Flag, int, int]] = []  # with the seq and time at which each ended
        self.debug = False
        self.went: dict[int, int] = {}  # section: when its extension was last freed
        self.coverage_begins: list[int] = []
        self.uncovered_cpus: dict[str, set[int] | None] = {}  # by kind: CPUs that ended; None: not all were declared
        self.covered_since: dict[str, int] = {}
        self.clock: tuple[int, int] | None = None
        self.skew = 0
        self.moves: list[dict[str, Any]] = []
        self.moved: list[dict[str, Any]] = []  # all migrations, with what of them was put in doubt afterwards
        self.doubted: dict[int, int] = {}  # page: up to when its evidence is in a doubt that lasts
        self.flatmem = False
        self.beyond = self.pages_per_section * MAX_SECTIONS
        self.booted = False
        self.release: str | None = None
        self.kernel_does: Kernel = BEFORE_6_12
        self.ranges: dict[int | None, tuple[int, range, int | None]] = {}  # by pid: calls of alloc_contig_range
        self.largest = 1024  # pages of the largest block of the buddy allocator: the last boot says it
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
        elif kind in RARE:
            said = _detail(event)
            if said is None:
                self.quarantine(Anomaly.NOT_AN_EVENT, event.get("pfn"), event.get("order"), 1)
            else:
                RARE[kind](self, event, said)
        elif kind not in set(Kind):
            self.quarantine(Anomaly.NOT_AN_EVENT, event.get("pfn"), event.get("order"), 1)
        self.last_seq, self.last_ts = self.seq, self.ts

    def lost_frames(self, next_ts: int) -> None:
        """Frames are missing before the event at *next_ts*."""
        self.dump = None
        self.gap_ends.append(next_ts)

    def _page_event(self, kind: Kind, event: Event) -> None:
        pfn, order = event.get("pfn"), event.get("order")
        nr = event.get("nr_pages", 0) if names_range(kind, event) else None
        why = impossible(self, kind, event)
        if why is None and not all(has_node(self, event[name]) for name in ("pfn", "src_pfn") if name in event):
            why = Anomaly.BEYOND_MACHINE
        if why is not None:
            named = [(pfn, max(nr if nr is not None else 1 << order if order in range(40) else 1, 1))]
            if kind == Kind.MIGRATE:
                named = [(pfn, 1), (event.get("src_pfn"), 1)]
            self.quarantine(why, pfn, order, *named)
            return
        for page in [pfn, event["src_pfn"]] if kind == Kind.MIGRATE else [pfn]:
            if is_gone(self, page // self.pages_per_section):
                named = [(pfn, 1 if kind == Kind.MIGRATE else nr if nr is not None else 2**order)]
                named += [(event["src_pfn"], 1)] if kind == Kind.MIGRATE else []
                self.quarantine(Anomaly.SECTION_GONE, pfn, order, *named)
                return
            open_section_of(self, page)
        only_why = kind == Kind.MIGRATE and says_only_why(event)
        if kind == Kind.MIGRATE:
            if not only_why:
                migrate(self, pfn, event["src_pfn"])
            if event.get("migrate_reason") is not None:
                set_reason(self, pfn, event["migrate_reason"])
        elif kind == Kind.SPLIT:
            split(self, range(pfn, pfn + nr), order)
        elif kind in (Kind.ALLOC, Kind.ISOLATE):
            alloc(self, event, How.ALLOC if kind == Kind.ALLOC else How.ISOLATE)
        elif kind in (Kind.FREE, Kind.DRAIN, Kind.REFILL):
            free(self, event, How[kind.name])
            if kind != Kind.FREE and covered(self, "refill"):
                step_over_ghosts(self, range(pfn, pfn + 2**order), How[kind.name])
        elif kind in FLAGS and self.debug:
            field, value = FLAGS[kind]
            for page in range(pfn, pfn + (2**order if nr is None else nr)):
                self.set_flag(page, field, value, Evidence.OBSERVED)
        if self.skew and kind not in FLAGS and not only_why:
            touched = range(pfn, pfn + (nr if nr is not None else 1 if kind == Kind.MIGRATE else 2**order))
            recheck_moves(self, touched)
            if kind == Kind.MIGRATE:
                self.moves.append(
                    {"ts": self.ts, "cpu": self.cpu, "src": event["src_pfn"], "pfn": pfn, "unsure": False}
                )

    # -- what is kept ----------------------------------------------------------------------------------------------------

    def end(self, page: int, how: How, view: dict[int, Owner] | None = None) -> None:
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

    def end_view(self, page: int, how: How) -> None:
        """The kernel's record and what is proven are one again."""
        if page in self.kernel:
            self.end(page, how, self.kernel)

    def set_flag(self, page: int, field: str, value: int, evidence: Evidence) -> None:
        self.end_flag(page, field)
        self.flags[page, field] = Flag(
            pfn=page, field=field, generation=self.generation[page // self.pages_per_section], value=value,
            evidence=evidence, begin_seq=self.seq, begin_ts=self.ts,
        )  # fmt: skip

    def end_flag(self, page: int, field: str) -> None:
        flag = self.flags.pop((page, field), None)
        if flag is not None and flag.begin_seq < self.seq:
            self.flag_spans.append((flag, self.seq, self.ts))

    def note(self, kind: Anomaly, pages: int = 1) -> None:
        self.events_noted[kind].add(self.seq)
        self.pages_noted[kind] += pages

    def doubt(self, page: int, from_ts: int, to_ts: int, reason: int) -> None:
        self.doubts[page, from_ts, to_ts, self.ts, self.seq, int(reason)] += 1

    def quarantine(self, why: Anomaly, pfn: int | None, order: int | None, *named: Any) -> None:
        """Set an event aside; *named* are (pfn, pages) that it names."""
        self.quarantined.append((self.seq, pfn, order, why))
        self.note(why)
        for first, pages in [(pfn, n) if isinstance(n, int) else n for n in named]:
            if first is None or first < 0:
                continue
            for page in range(first, min(first + pages, first + 4096, self.beyond)):
                self.doubt(page, SINCE_EVER, self.ts, int(why))

    def applies(self, view: str) -> bool:
        """Whether a view of the kernel's own counts: a fold that is not corrected takes the first of each kind."""
        return self.correct or not any(audit.view == view for audit in self.audits)

    def state(self) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Return (page, view) → (generation, all that its owner says); unknown and absent pages are not in it."""
        return {
            (page, view): (self.generation[page // self.pages_per_section], owner.said())
            for view, pages in enumerate((self.proven, self.kernel))
            for page, owner in pages.items()
        }


def _detail(event: Event) -> dict[str, Any] | None:
    try:
        said = json.loads(event.get("detail", ""))
    except ValueError:
        return None
    return said if isinstance(said, dict) and "nonsense" not in said else None
