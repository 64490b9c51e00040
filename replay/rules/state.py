"""The state of one stream, which the rules read and change. It depends on no events, engine or store."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pagetrail.replay.facts.carried import carry_over
from pagetrail.replay.facts.coverage import Coverage
from pagetrail.replay.facts.doubts_aside import MOST_DOUBTS, DoubtsAside
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.hotplug import OpenCalls
from pagetrail.replay.facts.lasting import lasting_after
from pagetrail.replay.facts.losses import LossTimes
from pagetrail.replay.fold.decode import StackTable, TextTable
from pagetrail.replay.fold.notice_jit import doubt, doubt_moves, doubt_on, keep_doubt, note, quarantine
from pagetrail.replay.fold.options import (
    OPT_LOSS,
    OPT_MAX_PFN,
    OPT_REFILL_COVERED,
    OPT_SPLIT_COVERED,
    OPTIONS,
    write_rules,
)
from pagetrail.replay.fold.records.event_jit import begin, mark_used, renumber, settle
from pagetrail.replay.fold.records.held import held
from pagetrail.replay.fold.tables import (
    DOUBTS,
    EVENT_ROWS,
    EVENTS,
    FRESH,
    HOWS,
    KINDS,
    LAST_SEQ,
    LAST_TS,
    LIVE,
    MOVE_ROWS,
    NO_EVENT,
    QUARANTINE,
    RUNS,
    SETTLED_EVENTS,
    SETTLED_RUNS,
    EventColumns,
    Tables,
    new_tables,
    numbers,
    rows_of_events,
    used_bytes,
    with_doubted,
    with_doubts,
    with_event_rows,
    with_lasting_column,
    with_lasting_counts,
    with_lasting_rows,
    with_room,
    without_hash_tables,
    without_runs,
)
from pagetrail.replay.rules.clients.client import Client
from pagetrail.replay.rules.dumped.said import Said, nothing_said
from pagetrail.replay.rules.open_baseline import OpenBaseline
from pagetrail.replay.rules.page_ext import node_spans
from pagetrail.replay.rules.page_values import PageValues
from pagetrail.replay.rules.sections import MAX_SECTIONS, X86_64_PAGES_PER_SECTION, Sections
from pagetrail.schemas.details import Boot, Gap
from pagetrail.schemas.details import Coverage as CoverageDetail
from pagetrail.schemas.errors import MemoryShort
from pagetrail.schemas.linux.releases import KernelRules
from pagetrail.schemas.owner import ABSENT64, DOUBT_DTYPE, DOUBT_LOST, OPEN_END, Anomaly
from pagetrail.schemas.store.kept_rows import KeptRows

_BYTES_A_PAGE: Final = 2 * np.dtype(np.int32).itemsize
"""Who owns it, and whom the kernel says that does: ``owner`` and ``kernel`` of the tables."""

_BYTES_A_DOUBT: Final = np.dtype(np.int64).itemsize
"""Up to when it is in a doubt that lasts, where there was such a doubt: ``doubted`` of the tables."""

_BYTES_A_SECTION: Final = 512
"""What a section takes that is open, and of whose pages nothing is known: its extension, and what finds that."""

_MANY_ROWS: Final = 1 << 16
"""After an event with more rows, hash tables are larger than the next ones need."""


class StreamState:
    """The state of one stream.

    Parameters
    ----------
    correct
        Whether later baselines correct the state, or only audit it.
    clients
        The clients of page_ext that are kept where a recording's kernel needed them.
    rules
        The rules to fold by; null: those of the recorded kernel's release.

    Attributes
    ----------
    tables, opts
        The arrays and options that the jit functions work on; ``tables`` is replaced as a whole when something grows.
    facts
        Everything known except pages; ``coverage`` follows from its coverage events.
    sections, values
        The present extensions, and the values that page_ext's clients hold in them.
    comms, stacks
        The texts behind the ids in ``tables``.
    baseline
        The baseline that has begun and not ended; null: there is none.
    differences
        The differences between baselines of this stretch and the state, with both sides of each: rows of the table
        ``audit_differences``.
    said
        What dumps said of pages beside their owners, as far as it counts for this stretch.
    doubts_aside
        The doubts of this stretch, as far as they are no longer in ``tables``.
    lasting
        Doubts that earlier stretches cast, and that last until there is other evidence: DOUBT_DTYPE.
    most_bytes
        What the state may take, approximately. It is asked for each section: a boot, an event or a dump may name any number of
        them.
    """

    def __init__(self, *, correct: bool, clients: Sequence[Client], rules: KernelRules | None = None) -> None:
        self.correct = correct
        self.facts, self.coverage = Facts(chosen_rules=rules.name if rules else None), Coverage()
        self.sections = Sections(self.facts.sections)
        self.comms, self.stacks = TextTable(), StackTable()
        self.tables: Tables = new_tables(X86_64_PAGES_PER_SECTION)
        self.values = PageValues(clients, X86_64_PAGES_PER_SECTION)
        self.baseline: OpenBaseline | None = None
        self.differences = KeptRows()
        self.said: Said = nothing_said()
        self.doubts_aside = DoubtsAside()
        self.lasting = np.zeros(0, DOUBT_DTYPE)
        self.most_bytes = OPEN_END
        self._calls, self._losses = OpenCalls(), LossTimes()
        self.opts = np.zeros(OPTIONS, np.int64)
        write_rules(self.opts, self.facts.rules, None)
        self.set_section_size(X86_64_PAGES_PER_SECTION)
        self.ask_clients(None, NO_EVENT)

    @property
    def last_seq(self) -> int:
        """stream_seq of the last event folded; -1 before the first."""
        return int(self.tables.counts[LAST_SEQ])

    @property
    def last_ts(self) -> int | None:
        """Trace clock of the last event folded, ns: the horizon of every answer."""
        last = int(self.tables.counts[LAST_TS])
        return None if last == NO_EVENT else last

    @property
    def calls(self) -> OpenCalls:
        """The hotplug calls that have not returned."""
        return self._calls.read(self.facts.hotplug)

    @property
    def losses(self) -> LossTimes:
        """When losses of all pages begin and end."""
        return self._losses.read(self.facts.gaps)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays, of what dumps said, and of what is kept of dumps in memory, approximately."""
        held = (
            self.differences.nbytes
            + self.doubts_aside.nbytes
            + self.lasting.nbytes
            + (0 if self.baseline is None else self.baseline.rows.nbytes)
        )
        held += sum(array.nbytes for array in (*self.said.rows, self.said.values, self.said.stamps))
        held += self.values.nbytes + self.sections.nr_open * _BYTES_A_SECTION
        return used_bytes(self.tables, self.sections.slots_used(self.tables)) + held

    def make_room(self, pages: int, most_doubts: int = MOST_DOUBTS) -> None:
        """Make room for an event on *pages* pages: doubts leave the tables first, if they are more than *most_doubts*."""
        self.doubts_aside.take(self.tables, most_doubts)
        self.tables = with_room(self.tables, pages)

    def complete_begun(self) -> None:
        """Complete the records that a rare event began so far, so that it need not have many drafts: see ``event_jit.begin``."""
        if begun := int(self.tables.counts[FRESH]):
            self.tables = with_event_rows(self.tables, begun)
            begin(self.tables)

    def settle(self, seq: int, ts: int) -> None:
        """Complete what a rare event began and ended: see ``event_jit.settle``. The fold itself settles the frequent ones."""
        counts = self.tables.counts
        begun, ended = int(counts[FRESH]), int(counts[RUNS] - counts[SETTLED_RUNS])
        many = int(counts[EVENT_ROWS] - counts[SETTLED_EVENTS]) + begun + ended > _MANY_ROWS
        if begun or ended:
            self.tables = with_event_rows(self.tables, begun + min(ended, HOWS))
            settle(self.tables, seq, ts)
        if many:
            self.tables = without_hash_tables(self.tables)

    def begin_segment(self) -> None:
        """Give what ended, and the events, to the segment that ended; the open spans' events are carried over."""
        used = {name: np.zeros(rows, np.int8) for name, rows in rows_of_events(self.tables).items()}
        mark_used(self.tables, *used.values())
        renumber(self.tables, *(numbers(used[name]) for name in ("events", "owners", "details")))
        self.tables = without_runs(self.tables)
        for name in EventColumns._fields:  # one by one: each old array leaves memory before the next one is copied
            self.tables = with_lasting_column(self.tables, name, used)
        for kind in KINDS:
            self.tables = with_lasting_rows(self.tables, kind, used)
        self.tables = with_lasting_counts(self.tables, used)
        self._carry_over_facts()
        counts = self.tables.counts
        counts[EVENTS] = counts[DOUBTS] = counts[QUARANTINE] = 0
        self.values.begin_segment()
        self.differences, self.doubts_aside = KeptRows(), DoubtsAside()

    def _carry_over_facts(self) -> None:
        """Leave of facts and doubts what the next segment needs."""
        t = self.tables
        evidence = held(t, "evidence_ts", np.flatnonzero(t.records["pages"] > 0))
        self.lasting = lasting_after(
            self.lasting, t.doubts[: t.counts[DOUBTS]], self.doubts_aside, skew=self.facts.clock_skew(),
            dumps=self.facts.whole_dumps(), oldest=int(evidence.min(initial=OPEN_END)),
        )  # fmt: skip
        carry_over(self.facts, evidence, int(t.counts[LAST_TS]), np.unique(self.lasting["seq"]))
        self.coverage = self.facts.covered()

    # -- losses and quarantine -------------------------------------------------------------------------------------------

    def lose(self, seq: int, ts: int, cpu: int | None, gap: Gap) -> None:
        """Record a loss that was reported at *ts*."""
        self.facts.lose(seq, ts, cpu, gap)
        self.opts[OPT_LOSS] += 1

    def lose_pages(self, pfn: int, nr_pages: int, seq: int, ts: int, gap: Gap) -> None:
        """Record a loss that concerns named pages and was reported at *ts*: what is known of them from before is in doubt.

        So is what a migration copies from them, before the report too. If not all migrations since the loss are remembered, or
        if the clocks of CPUs may differ and the section of a page is not open yet, the loss concerns all pages.
        """
        stop = min(pfn + nr_pages, int(self.opts[OPT_MAX_PFN]))
        if not 0 <= pfn < stop:
            self.lose(seq, ts, None, gap)
            return
        pages = self.facts.pages_per_section
        self.seat_open(range(pfn // pages, min(-(-stop // pages), self.tables.slot.size)))
        self.tables = with_doubted(with_doubts(self.tables, 1 + MOVE_ROWS))
        skew, nr_pages = self.facts.clock_skew(), stop - pfn
        doubt_on(self.tables, pfn, nr_pages, gap.t_lo - skew, ts, seq, DOUBT_LOST)
        keep_doubt(self.tables, pfn, nr_pages, ts + skew)
        forgotten = doubt_moves(self.tables, pfn, nr_pages, gap.t_lo - skew, ts, seq)
        if forgotten or (skew and not self._all_open(pfn, stop)):
            self.lose(seq, ts, None, gap)
        self.facts.lost_until = max(gap.t_hi, self.facts.lost_until or gap.t_hi)
        self.opts[OPT_LOSS] += 1

    def _all_open(self, start: int, stop: int) -> bool:
        pages = self.facts.pages_per_section
        sections = range(start // pages, -(-stop // pages))
        return len(self.sections.open_in(sections)) == len(sections)

    def quarantine(self, why: Anomaly, seq: int, ts: int, pfn: int, order: int, nr_pages: int = 1) -> None:
        """Set an impossible event aside; cast doubt on the pages that it names, as far as the machine has them."""
        self.tables = with_room(self.tables, 1)
        quarantine(self.tables, seq, pfn, order, int(why))
        stop = min(pfn + max(nr_pages, 1), int(self.opts[OPT_MAX_PFN]))
        if 0 <= pfn < stop:
            doubt(self.tables, pfn, stop - pfn, ABSENT64 + 1, ts, seq, int(why))

    # -- sections --------------------------------------------------------------------------------------------------------

    def allocate(self, section_nr: int, seq: int, ts: int, how: str, *, fresh: bool = False) -> None:
        """Begin a section's extension, for all clients; *fresh*: the allocation itself was seen. For errors, see ``afford``."""
        self.afford(1)
        self.tables = self.sections.allocate(self.tables, section_nr, seq, ts, how)
        if self.values.fields and fresh:  # else nothing is known of its pages
            self.seat(section_nr)
            self.values.allocated(self.tables, section_nr, seq, ts, fresh=fresh)

    def afford(self, sections: int) -> None:
        """Return if there may be so many sections more.

        Raises
        ------
        MemoryShort
            They alone would take more than ``most_bytes``, though nothing is known of their pages: see ``seat``.
        """
        wanted = self.sections.nr_open + sections
        needed = wanted * _BYTES_A_SECTION
        if needed > self.most_bytes:
            what = f"the {wanted:,} sections of its machine, whatever is known of their pages,"
            raise MemoryShort(what=what, needed=needed, limit=self.most_bytes)

    def seat(self, section_nr: int) -> None:
        """Give a section that is open memory for its pages, if it has none: something will be known of them.

        Raises
        ------
        MemoryShort
            The state would take more than ``most_bytes``.
        """
        if self.tables.slot[section_nr] >= 0:
            return
        if (short := self.short_of_a_section()) is not None:
            raise short
        self.tables = self.sections.seat(self.tables, section_nr)
        self.values.allocated(self.tables, section_nr, self.last_seq, NO_EVENT, fresh=False)

    def seat_open(self, sections: Iterable[int]) -> None:
        """Give those of the *sections* that are open memory for their pages: see ``seat``."""
        if isinstance(sections, range):
            sections = self.sections.bare_in(sections)  # it may be of all memory
        for section_nr in sections:
            if self.sections.is_open(section_nr):
                self.seat(section_nr)

    def short_of_a_section(self) -> MemoryShort | None:
        """Return why there may not be memory for the pages of one section more; null: there may."""
        doubts = _BYTES_A_DOUBT if self.tables.doubted.size else 0
        needed = self.nbytes + self.facts.pages_per_section * (_BYTES_A_PAGE + doubts + self.values.bytes_a_page)
        if needed <= self.most_bytes:
            return None
        what = f"its {int(self.tables.counts[LIVE]):,} open spans and the sections that they are in"
        return MemoryShort(what=what, needed=needed, limit=self.most_bytes)

    def free(self, section_nr: int, seq: int, ts: int, end_how: str) -> None:
        """End a section's extension, for all clients."""
        self.values.freed(self.tables, section_nr, seq, ts)
        self.tables = self.sections.free(self.tables, section_nr, seq, ts, end_how)

    def open_inferred(self, section_nr: int, seq: int, ts: int) -> None:
        """Open a section because an event or a dump names a page of it; do nothing if it is open or impossible."""
        if self.sections.is_open(section_nr) or self.beyond_nodes(section_nr):
            return
        self.allocate(section_nr, seq, ts, "inferred")
        note(self.tables, int(Anomaly.SECTION_OPENED), self.facts.pages_per_section, seq)

    def not_there(self, section_nr: int) -> Anomaly | None:
        """Return why a section's memory is certainly absent; null: it may be there.

        It is absent if its end was seen and its return would have been seen too, or if it is in no node of a FLATMEM kernel.
        """
        if self.sections.is_open(section_nr):
            return None
        if self.beyond_nodes(section_nr):
            return Anomaly.BEYOND_MACHINE
        went = self.sections.ended_at(section_nr)
        gone = went is not None and self.hotplug_seen_since(went)
        return Anomaly.SECTION_GONE if gone else None

    def hotplug_seen_since(self, ts: int) -> bool:
        """Return whether every hotplug call from *ts* (trace clock, ns) on was seen: covered, and without a loss."""
        since = self.coverage.since("hotplug")
        return since is not None and since <= ts and not self.losses.reach(ts)

    def declare(self, ts: int, detail: CoverageDetail) -> None:
        """Apply the declaration of a coverage event, which is valid from *ts* (trace clock, ns) on."""
        self.facts.coverage.append((ts, detail))
        self.coverage.declare(ts, detail)
        self.opts[OPT_SPLIT_COVERED] = int(self.coverage.now("split"))
        self.opts[OPT_REFILL_COVERED] = int(self.coverage.now("refill"))

    def beyond_nodes(self, section_nr: int) -> bool:
        """Return whether a section is in no node of a FLATMEM kernel: the nodes span all the memory it can have."""
        boot = self.facts.boot
        flat = boot is not None and boot.memory_model == "FLATMEM" and bool(node_spans(boot))
        return flat and not self.sections.is_open(section_nr)

    def set_section_size(self, pages: int) -> None:
        """Set the number of pages of a section, before any section exists."""
        self.facts.pages_per_section = pages
        self.opts[OPT_MAX_PFN] = pages * MAX_SECTIONS
        if self.tables.owner.shape[1] != pages:
            empty = np.full((0, pages), -1, np.int32)
            none_doubted = np.zeros((0, pages), np.int64)
            self.tables = self.tables._replace(owner=empty, kernel=empty.copy(), doubted=none_doubted)
            self.values.set_section_size(pages)

    def ask_clients(self, boot: Boot | None, ts: int) -> None:
        """Ask the clients of page_ext whether they are needed.

        Source: mm/page_ext.c, invoke_need_callbacks (Linux 6.1).
        """
        self.values.need(boot, self.tables.owner.shape[0])
        self.facts.clients = [client.name for client in self.values.needed]
        self.facts.client_ts += [ts] * (len(self.facts.clients) - len(self.facts.client_ts))
        self.facts.fields = list(self.values.fields)
