"""Read a capture directory as one recording: its trace, the dumps bound to its markers, clocks, coverage and hotplug.

The order of its events: BOOT and what dmesg says of the clocks, at the time of the first event; then the trace, with

- behind every SNAPSHOT marker its reading of the clocks (CLOCK),
- behind the first of them what the files declare to be seen completely (COVERAGE), also of the time before it,
- behind "SNAPSHOT N page_owner_end" the dump of N (BASELINE_BEGIN, its entries, BASELINE_END),
- where no probe was on memory hotplug, what uevents report of it (HOTPLUG, notified), by time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.arrangement import MERGED, SAVE_EACH, arrange
from pagetrail.producers.capture.boot import BootFiles, saw_boot
from pagetrail.producers.capture.clock import Relation, SnapshotMarker, relation
from pagetrail.producers.capture.coverage import boot_coverage, declared_coverage, probes_of_boot
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.snapshots import Snapshots
from pagetrail.producers.capture.statistics import Rings, missing_entries, unknown_cpus
from pagetrail.producers.capture.timed import TimedRow, TimedRows, marker_rows
from pagetrail.producers.capture.trace import find_trace
from pagetrail.producers.capture.uevents import hotplug_rows, parse_uevents
from pagetrail.producers.capture.views import Views
from pagetrail.producers.detail_rows import clock_row, coverage_row, detail_row
from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.formats.tracepoints.symbols import KALLSYMS, symbols_of
from pagetrail.producers.meaning import UNKNOWN_KERNEL, RecordedKernel
from pagetrail.producers.ordering import in_order
from pagetrail.producers.parsed import ReadAccount
from pagetrail.producers.recording_info import RecordingInfo
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import PAGE_SIZE_GUESSED, Coverage, Covered, Gap
from pagetrail.schemas.errors import TruncatedInput
from pagetrail.schemas.linux.probes import HOTPLUG_GROUP
from pagetrail.schemas.linux.releases import rules_of
from pagetrail.schemas.linux.trace_clock import counts_only

_PROBE_KINDS: Final = (Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.CONTIG_RANGE)


class Capture:
    """A capture directory, opened.

    Parameters
    ----------
    directory
        Holds a trace beside ``snapshots/`` or other files of the capture.
    dumps
        Read the page_owner dumps.
    probes
        Read the events of the probes on page_owner (split, migrate, isolate); else the recording is as if they had
        been off.
    covers
        Kinds that the operator knows to be complete, on all CPUs, from the first event on.
    given
        What the operator says of the recorded kernel; the rest the capture tells.
    page_shift
        log2 of the bytes of a page that the operator says.
    cut
        Why a file of it ends in the middle, if one does and its own bytes do not say so.
    follow_links
        Follow links that lead out of the directory.
    formats
        Those that the trace may have.

    Raises
    ------
    InputError
        There is no trace that can be read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        dumps: bool = True,
        probes: bool = True,
        covers: tuple[Covered, ...] = (),
        given: RecordedKernel = UNKNOWN_KERNEL,
        page_shift: int | None = None,
        cut: TruncatedInput | None = None,
        follow_links: bool = False,
        formats: tuple[Format, ...] = FORMATS,
    ) -> None:
        self._directory, self._dumps, self._probes, self._covers = directory, dumps, probes, covers
        self._folder = CaptureFolder(directory, follow_links=follow_links)
        self._trace = find_trace(self._folder, formats)
        self._snapshots = Snapshots(self._folder)
        self._boot = BootFiles(self._folder, self._snapshots, page_shift)
        self._kernel = self._boot.kernel(given)
        if self._trace.found.raw and given.symbols is None and (path := self._folder.find(KALLSYMS)):
            self._kernel = replace(self._kernel, symbols=symbols_of(path))
        tracer = self._trace.tracer
        self._clock_name = tracer.clock(self._boot.text(tracer.clock_file))
        if self._trace.clock and not counts_only(self._clock_name):
            self._clock_name = self._trace.clock  # its times are integers, whatever another file says
        named = cut is not None and Path(cut.source).name == self._trace.path.name
        source = replace(self._trace.source, cut=cut if named else self._trace.source.cut)
        self._arrangement = arrange(source, formats, SAVE_EACH)
        self.info = self._info()
        self.account = ReadAccount()
        self._relation = self._known_relation()
        self._written_by = self._snapshots.written_by()
        self._rings: Rings | None = None
        self._coverage = self._declared()
        self._declared_kinds = set(self._coverage.kinds) if self._coverage else set()
        self._first_ts = 0

    def batches(self) -> Iterator[EventBatch]:
        """Yield the recording's events in order; dumps are read as their markers come."""
        last = 0
        for batch in self._read():
            last = max(last, int(batch.columns["trace_ts_nsec"].max()))
            yield batch
        for gap in self._missing(last):
            yield detail_row(Kind.GAP, last, gap)

    def _missing(self, end: int) -> Iterator[Gap]:
        """Yield the gaps of what the statistics count and the trace does not have, or have of a CPU nothing."""
        if self._rings is not None:
            yield from missing_entries(self._rings, self.account, end)
            if self._declared_kinds - set(self._covers):
                yield from unknown_cpus(self._rings, self.account, end)

    def _read(self) -> Iterator[EventBatch]:
        with self._arrangement.open(None) as stream:
            parser = self._trace.opens(stream, self._kernel)
            self.account = parser.account
            views = self._views()
            timed = TimedRows(self._timed_rows(), lambda marker, at: self._behind(marker, at, views))
            begun = False
            for batch in in_order(parser.batches(), parser.account, self._arrangement.anew):
                kept = batch if self._probes else without(batch, _PROBE_KINDS)
                if not len(kept):
                    continue
                if not begun:
                    yield from self._constants(int(kept.columns["trace_ts_nsec"][0]), timed)
                    begun = True
                yield from timed.merge(kept)
            if not begun:
                yield from self._constants(timed.first() or 0, timed)
            yield from timed.rest()
            if stream.truncated:
                self.account.truncated = str(stream.truncated)
        views.close()
        self.info.notes.extend([*self._boot.notes, *self._folder.notes])

    def _info(self) -> RecordingInfo:
        boot_id = (self._boot.text("boot_id.txt") or "").strip()
        merged = self._arrangement.merged
        unread = self._boot.gfp_unread and self._kernel.gfp.read_for != self._kernel.gfp_from
        notes = [MERGED.format(merged)] if merged else []
        raw = self._trace.found.raw
        if not raw and (said := self._kernel.unread_gfp()):
            notes.append(said)
        if unread:
            notes.append(
                f"{self._boot.gfp_file} is not understood: gfp flags are read as {self._kernel.gfp.read_for} prints them"
            )
        if reports := self._boot.dmesg.page_reports:
            counted = "1 report of a single page" if reports == 1 else f"{reports} reports of single pages"
            notes.append(
                f"dmesg has {counted} ('page_owner tracks the page as ...'), not read with a capture: to have them in answers, "
                "ingest that file by itself into another trail: it overlaps the capture in time"
            )
        guessed = self._boot.page_size.known_by is None
        if guessed:
            notes.append(
                "the size of a page is a guess, 4 KiB: no file of the capture says it; give ingest --page-size SIZE"
            )
        return RecordingInfo(
            host=self._boot.host(),
            boot_id=boot_id or None,
            recording_id=self._arrangement.content_id,
            format="capture-directory",
            source=self._directory.resolve().name,
            trace_format=self._trace.found.name,
            trace_clock=self._clock_name,
            trace_file=self._trace.path.name,
            gfp_read_for=self._kernel.gfp.read_for,
            gfp_known=raw or (self._kernel.gfp.known and not unread),
            twins=self._trace.twins,
            snapshots=self._snapshots.dumps,
            options={"dumps": _yes(self._dumps), "probes": _yes(self._probes)}
            | (dict(PAGE_SIZE_GUESSED) if guessed else {}),
            notes=[*self._snapshots.notes, *notes],
        )

    def _known_relation(self) -> Relation | None:
        stable = self._boot.dmesg.stable
        found = None
        if stable and not self._boot.dmesg.unstable_again:
            found = relation(stable, self._clock_name)
        if found is None:
            self.info.notes.append(
                f"dmesg does not say how the trace clock ({self._clock_name}) relates to page_owner's: "
                "times of the two are not compared"
            )
        return found

    def _declared(self) -> Coverage | None:
        if not self._trace.tracer.declares_coverage:
            self.info.notes.append("no coverage is declared: set_event.txt and ring_stats.txt speak of ftrace")
            return None
        declared = declared_coverage(
            self._folder,
            self._trace.path,
            probes=self._probes,
            rules=rules_of(self._kernel.release),
            losses=self._trace.losses,
            elsewhere=self._trace.elsewhere,
        )
        self._rings = declared.rings
        self.info.notes.extend(declared.notes)
        if self._boot.dmesg.unstable_again:
            self.info.notes.append(
                "dmesg says that sched_clock became unstable: the CPUs' clocks may differ; say by how much, with --clock-skew NS"
            )
        return declared.coverage

    def _views(self) -> Views:
        """Return the snapshots' views, which are to be read once."""
        return Views(
            self._snapshots,
            self.account,
            self.info.notes,
            wanted=self._dumps,
            declared=self._coverage is not None,
            zones=self._boot.zones,
        )

    def _timed_rows(self) -> Iterator[TimedRow]:
        """Yield the rows that have a time of their own and no place in the trace."""
        if self._relation is None:
            return
        block_bytes, unread = self._boot.block_bytes, self._boot.unread_of("uevents.txt")
        probed = f"{HOTPLUG_GROUP}:" in (self._boot.text("set_event.txt") or "")
        if block_bytes is not None and not probed:
            events = parse_uevents(self._folder.lines("uevents.txt"), unread)
            yield from hotplug_rows(
                events, block_bytes >> self._boot.page_size.shift, self._relation.mono_offset, unread
            )
        if not self._trace.tracer.keeps_markers:
            yield from marker_rows(self._snapshots.markers(), self._relation)

    def _constants(self, first: int, timed: TimedRows) -> Iterator[EventBatch]:
        """Yield what is known before the first event, at the time of the first row."""
        when = timed.first()
        at = self._first_ts = first if when is None else min(first, when)
        booting = saw_boot(self._boot.dmesg, first)
        boot = self._boot.boot(vmemmap_base=self._kernel.vmemmap_base, saw_boot=booting)
        yield detail_row(Kind.BOOT, at, boot)
        if self._relation:
            yield clock_row(at, self._relation.clock(at, "dmesg.txt: sched_clock: Marking stable"))
        early = boot_coverage(self._coverage, boot.cmdline or "") if booting and self._coverage else None
        if early:
            yield detail_row(Kind.COVERAGE, at, early)
        if self._covers:
            yield coverage_row(at, self._covers)

    def _behind(self, marker: SnapshotMarker, at: int, views: Views) -> Iterator[EventBatch]:
        """Yield what follows a snapshot's marker read at trace time *at*."""
        clock = marker.clock(at, self._relation, self._written_by.get((marker.name, marker.what)))
        if clock:
            yield clock_row(at, clock)
        if self._coverage:
            yield detail_row(Kind.COVERAGE, at, self._coverage)
            if early := self._probed_in_boot(self._coverage, at):
                yield detail_row(Kind.COVERAGE, at, early)
            self._coverage = None
        yield from views.behind(marker, at, self._first_ts)

    def _probed_in_boot(self, declared: Coverage, until: int) -> Coverage | None:
        """Return what probes of the kernel's command line saw completely before *until*, the first marker."""
        dmesg, known = self._boot.dmesg, self._relation
        whole = (
            dmesg.release is not None and not dmesg.probe_refused
        )  # it is there from its first line on, and refuses none
        if known is None or dmesg.init_ran_nsec is None or not whole or not saw_boot(dmesg, self._first_ts):
            return None
        cmdline = self._boot.text("cmdline.txt") or dmesg.cmdline or ""
        since = known.at_latest(dmesg.init_ran_nsec)
        return probes_of_boot(declared, cmdline, rules_of(self._kernel.release), since, until)


def without(batch: EventBatch, kinds: tuple[Kind, ...]) -> EventBatch:
    """Return *batch* without the rows of *kinds*."""
    keep: NDArray[np.bool_] = ~np.isin(batch.columns["kind"], kinds)
    if keep.all():
        return batch
    rows = np.cumsum(keep) - 1
    columns: Mapping[str, NDArray[np.generic]] = {name: array[keep] for name, array in batch.columns.items()}
    details = {int(rows[row]): text for row, text in batch.details.items() if keep[row]}
    return EventBatch(columns=columns, texts=batch.texts, details=details)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
