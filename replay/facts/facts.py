"""The facts of a stream: its state except the pages.

A file of the store holds those that were new in it, and of earlier ones those that an answer within it, or the fold, may still
need. The module ``carried`` says which these are, and puts the facts of files that follow one another together again.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.boots import merged, says_of_machine
from pagetrail.replay.facts.coverage import Coverage
from pagetrail.replay.facts.earlier import Earlier
from pagetrail.replay.facts.gfp import GfpNames, names_of, names_of_boot
from pagetrail.replay.facts.hotplug import Extension, HotplugCall, OpenCalls
from pagetrail.replay.facts.losses import LossTimes
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.schemas.details import Boot, Clock, Gap, RecordingEnd, Zone
from pagetrail.schemas.details import Coverage as CoverageDetail
from pagetrail.schemas.linux.gfp import format_gfp
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT, PAGEBLOCK_ORDER
from pagetrail.schemas.linux.releases import KernelRules, rules_named, rules_of
from pagetrail.schemas.linux.trace_clock import DUMP_ORDER
from pagetrail.schemas.owner import DOUBT_DTYPE, DOUBT_HOTPLUG, DOUBT_RANGE, DOUBTS_OF_CALLS, OPEN_END

NO_ACCOUNT: Final = "an older pagetrail read it, and had not yet told how many lines it did not understand"
"""The reason of the loss that is presumed in a recording of an older reader that has no end."""

MISSING_FRAMES: Final = "frames of the recording are missing from the log"
"""The reason of a gap that stands for frames that replay did not find."""

_VALUES: Final = ("pages_per_section", "lost_until", "chosen_rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRange:
    """A call of alloc_contig_range that has not returned; *first* to *stop* are the largest blocks around its range."""

    pfn: int
    nr_pages: int
    seq: int
    ts: int
    gfp_mask: int | None
    pid: int | None
    first: int
    stop: int


@dataclass(slots=True, kw_only=True)
class Audit:
    """The result of comparing one baseline with the state before it, in numbers."""

    seq: int
    ts: int
    name: str
    records: int
    agree: int
    pages: int
    agree_pages: int
    extra: int
    applied: bool
    view: str = "page_owner"
    classes: dict[str, int] = field(default_factory=dict)
    sections: dict[str, int] = field(default_factory=dict)
    whole: bool = False
    """Whether it changed the state by its silence too: a whole dump, that was applied."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """Facts of a stream. Lists are in the order of the events. Times are ns of the trace clock, seq is stream_seq.

    ``clients`` are the needed clients of page_ext (``client_ts``: since when that is known), ``fields`` the fields that they hold
    for pages, beside owners: ``client.field``.

    Attributes
    ----------
    boots
        The boot's constants, as each recording gives them; the last one counts.
    gaps, gap_ts
        Losses that concern all pages, and the time at which each was reported; ``lose`` adds to both. Losses that name their pages
        are doubts.
    lost_until
        The latest time that a loss of named pages reaches to; null: there was none.
    open_ranges
        Calls of alloc_contig_range that have not returned, by the pid of their process, in the order of their entries.
    chosen_rules
        The name of the rules that an option chose; null: they follow from the release.
    earlier
        What is known from before the file, beside what its lists have of it.
    """

    boots: list[tuple[int, Boot]] = field(default_factory=list)
    pages_per_section: int = 0
    clocks: list[tuple[int, Clock]] = field(default_factory=list)
    coverage: list[tuple[int, CoverageDetail]] = field(default_factory=list)
    gaps: list[tuple[int, int | None, Gap]] = field(default_factory=list)
    gap_ts: list[int] = field(default_factory=list)
    lost_until: int | None = None
    markers: list[tuple[int, int, str]] = field(default_factory=list)
    hotplug: list[HotplugCall] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    recordings: list[StreamRecording] = field(default_factory=list)
    accounts: list[tuple[str, RecordingEnd]] = field(default_factory=list)
    sections: list[Extension] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    clients: list[str] = field(default_factory=list)
    client_ts: list[int] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    open_ranges: dict[int | None, OpenRange] = field(default_factory=dict)
    chosen_rules: str | None = None
    earlier: Earlier = field(default_factory=Earlier)

    @property
    def boot(self) -> Boot | None:
        """The constants of the boot, from the last recordings that give them."""
        return self.boots[0][1] if len(self.boots) == 1 else merged([boot for _, boot in self.boots])

    def copy(self) -> "Facts":
        """Return a copy of these facts: later events change only the original."""
        others = ("earlier", *_VALUES)
        lists = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in others}
        copies = {
            name: {**found} if isinstance(found, dict) else list(map(_copied, found)) for name, found in lists.items()
        }
        values = {name: getattr(self, name) for name in _VALUES}
        return Facts(**values, **copies, earlier=self.earlier)  # type: ignore[arg-type]

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones that the recording lists, once; empty where it lists none."""
        return self.boot.zones if self.boot is not None else ()

    @property
    def rules(self) -> KernelRules:
        """The rules of the fold: those that an option chose, else those of the ``release``."""
        return rules_of(self.release) if self.chosen_rules is None else rules_named(self.chosen_rules)

    @property
    def release(self) -> str | None:
        """The release of the kernel that was booted, as the first recording of the boot gives it; null: none gives it."""
        return next((boot.release for _, boot in self.boots if boot.release is not None), None)

    @property
    def gfp_flags(self) -> Mapping[str, int]:
        """The bit of each gfp flag, by its name: as the recording's own kernel prints them, else those of its release."""
        return names_of_boot(self.boot).flags

    @property
    def counting_clock(self) -> str | None:
        """The name of the trace clock, if it only counts; null: times are ns.

        Places in an order count where there are no other times: beside other recordings, they are in the order of their times.
        """
        names = [found.counting_clock for found in self.recordings]
        counts = next((name for name in names if name and name != DUMP_ORDER), None)
        return counts or (DUMP_ORDER if names and set(names) == {DUMP_ORDER} else None)

    @property
    def dumps_in_order_since(self) -> int | None:
        """The first time that is a place of a dump in an order: when it was made is unknown. Null: there is none."""
        times = [found.first_ts for found in self.recordings if found.counting_clock == DUMP_ORDER]
        return min((ts for ts in times if ts is not None), default=None)

    def gfp_text(self, mask: int) -> str:
        """Return the names of a mask's flags, as the recorded kernel's tracepoints print them; all, if recordings differ."""
        texts = {format_gfp(mask, names.flags) or "none": None for names in self.gfp_names()}
        return " or ".join(texts)

    def gfp_names(self) -> list[GfpNames]:
        """Return how the gfp masks of each recording were read."""
        whole = self.boot
        return [names_of(part, self.boots, whole) for part in self.recordings] or [names_of_boot(whole)]

    def recording_at(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return in which recording each time is, as an index: recordings of a boot follow one another."""
        begins = [part.first_ts for part in self.recordings if part.first_ts is not None]
        return np.maximum(np.searchsorted(np.array(begins, np.int64), ts, side="right") - 1, 0).astype(np.int64)

    @property
    def page_shift(self) -> int:
        """log2 of a page's bytes; that of x86_64 where no boot was recorded."""
        return self.boot.page_shift if self.boot else PAGE_SHIFT

    @property
    def pageblock_order(self) -> int:
        """log2 of the pages of a pageblock, and of a huge page; that of x86_64 where no recording says it."""
        told = self.boot.pageblock_order if self.boot else None
        return told or PAGEBLOCK_ORDER

    @property
    def page_size_is_known(self) -> bool:
        """Whether a recording, or its operator, says how large a page is: a release alone does not."""
        boot = self.boot
        said = boot is not None and (says_of_machine(boot) or boot.page_shift != PAGE_SHIFT)
        said &= not any(part.page_size_guessed for part in self.recordings)
        return said or any(part.page_size_given for part in self.recordings)

    def covered(self) -> Coverage:
        """Return the coverage that all declarations together say."""
        return Coverage(self.coverage, self.earlier.coverage)

    def was_audited(self, view: str) -> bool:
        """Return whether a dump of a *view* has been compared with the state."""
        return view in self.earlier.audited or any(audit.view == view for audit in self.audits)

    def whole_dumps(self) -> list[int]:
        """Return the stream_seq of each whole dump, as far as it may be the reason of a doubt that lasts."""
        return [*self.earlier.whole_dumps, *(audit.seq for audit in self.audits if audit.whole)]

    @property
    def first_loss(self) -> int | None:
        """The earliest time of a loss that concerns all pages; null: there was none."""
        return self.first_loss_of(LossTimes().read(self.gaps))

    def first_loss_of(self, losses: LossTimes) -> int | None:
        """Return ``first_loss``, from what was read of ``gaps``."""
        return min((ts for ts in (self.earlier.first_loss, losses.first) if ts is not None), default=None)

    @property
    def last_call(self) -> int | None:
        """The time of the last hotplug call's entry or return; null: none was seen."""
        return self.last_call_of(OpenCalls().read(self.hotplug))

    def last_call_of(self, calls: OpenCalls) -> int | None:
        """Return ``last_call``, from what was read of ``hotplug``."""
        return max((ts for ts in (self.earlier.last_call, calls.last) if ts is not None), default=None)

    def lose(self, seq: int, ts: int, cpu: int | None, gap: Gap) -> None:
        """Add a loss that was reported at *ts*."""
        self.gaps.append((seq, cpu, gap))
        self.gap_ts.append(ts)

    def holes(self, recording: StreamRecording) -> list[tuple[int, int]]:
        """Return the events of a recording (first, and the one after the last) whose frames replay did not find, in order."""
        ends = [(seq - recording.base_seq, lost) for seq, lost in self.missing()]
        return [(end - lost, end) for end, lost in ends if 0 <= end < recording.next_seq]

    def missing(self) -> list[tuple[int, int]]:
        """Return (stream_seq behind it, events) of each hole in the log that replay folded as a loss."""
        here = {(seq, gap.lost or 0) for seq, _, gap in self.gaps if gap.reason == MISSING_FRAMES}
        return sorted({*here, *self.earlier.missing})

    def presumed(self) -> "Facts":
        """Return these facts with the losses that are presumed: in recordings that tell theirs only in their end, and have none."""
        silent = [
            part for part in self.recordings if not (part.complete or part.tells_losses) and part.last_ts is not None
        ]
        found = dataclasses.replace(self, gaps=[*self.gaps], gap_ts=[*self.gap_ts]) if silent else self
        for part in silent:
            t_lo, t_hi = part.first_ts or 0, part.last_ts or 0
            found.lose(part.base_seq, t_hi, None, Gap(t_lo=t_lo, t_hi=t_hi, reason=NO_ACCOUNT))
        return found

    def clock_skew(self) -> int:
        """Return by how much the clocks of two CPUs may have differed, ns: the largest skew that a recording declares."""
        return max((recording.clock_skew for recording in self.recordings), default=0)

    def open_calls(self) -> list[HotplugCall]:
        """Return the calls that have been entered and have not returned, one for each function and pid."""
        return OpenCalls().read(self.hotplug).all()


def _copied(fact: Any) -> Any:
    """Return a copy of a fact that may change; the others are immutable, as are calls and what has ended."""
    may_change = isinstance(fact, StreamRecording) or (isinstance(fact, Extension) and fact.end_seq == OPEN_END)
    return dataclasses.replace(fact) if may_change else fact


def open_call_doubts(facts: Facts) -> NDArray[np.void]:
    """Return a doubt (DOUBT_DTYPE) for each call of hotplug or alloc_contig_range that has not returned: its range is in doubt."""
    rows = [
        (call.pfn, call.nr_pages, call.ts, OPEN_END, call.ts, call.seq, DOUBT_HOTPLUG)
        for call in facts.open_calls()
        if call.pfn is not None and call.nr_pages is not None
    ]
    rows += [
        (opened.first, opened.stop - opened.first, opened.ts, OPEN_END, opened.ts, opened.seq, DOUBT_RANGE)
        for opened in facts.open_ranges.values()
        if opened.first < opened.stop
    ]
    return np.array(rows, DOUBT_DTYPE)


def is_of_an_open_call(doubts: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which of stored doubts are those of calls that had not returned then: facts that are read later say how it went on."""
    found: NDArray[np.bool_] = np.isin(doubts["reason"], DOUBTS_OF_CALLS) & (doubts["to_ts"] == OPEN_END)
    return found
