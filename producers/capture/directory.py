"""Read a capture directory as one recording: its trace, the dumps bound to its markers, clocks, coverage and hotplug.

The order of its events: BOOT and what dmesg says of the clocks, at the time of the first event; then the trace, with

- behind every SNAPSHOT marker its reading of the clocks (CLOCK),
- behind the first of them what the files declare to be seen completely (COVERAGE),
- behind "SNAPSHOT N page_owner_end" the dump of N (BASELINE_BEGIN, its entries, BASELINE_END),
- where no probe was on memory hotplug, what uevents tell of it (HOTPLUG, notified), by time.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.capture.boot import BootFiles, saw_boot
from pagetrail.producers.capture.clock import Relation, SnapshotMarker, parse_marker, relation
from pagetrail.producers.capture.coverage import boot_coverage, declared_coverage
from pagetrail.producers.capture.snapshots import Snapshots
from pagetrail.producers.capture.uevents import parse_uevents
from pagetrail.producers.capture.vmstat import Reading, parse_vmstat, unmoved
from pagetrail.producers.formats.kpageflags import read_kpageflags
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump, baseline, clock_row, detail_row
from pagetrail.producers.formats.recognise import HEAD_BYTES, Format, check_readable, recognise
from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.inputs import Input, content_id, find_compressed, open_input
from pagetrail.producers.parsed import Parser, ReadAccount
from pagetrail.producers.recording_info import RecordingInfo
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, Coverage, Covered, Hotplug, Marker
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.linux.memory_notify import CALL_OF_UEVENT
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT
from pagetrail.schemas.linux.probes import HOTPLUG_GROUP
from pagetrail.schemas.linux.releases import rules_of

TRACES: Final = ("trace.txt", "trace_pipe.txt", "trace", "perf-script.txt")
"""Names of a capture's trace, the best first."""

BINARY_TRACES: Final = ("trace.dat", "perf.data")

Rows = Callable[[], Iterator[EventBatch]]
_PROBE_KINDS: Final = (Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE)


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
    vmemmap_base
        Address of the struct page of pfn 0, where the trace alone does not tell.

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
        vmemmap_base: int | None = None,
    ) -> None:
        self._directory, self._probes, self._vmemmap_base = directory, probes, vmemmap_base
        self._covers = covers
        self._trace = find_trace(directory)
        self._format = _format_of(self._trace)
        self._snapshots = Snapshots(directory)
        self._boot = BootFiles(directory, self._snapshots)
        self._clock_name = self._trace_clock()
        self.info = self._info(dumps=dumps)
        self.account = ReadAccount()
        self._relation = self._known_relation()
        self._written_by = self._snapshots.written_by()
        self._due = list(self._snapshots.dumps) if dumps else []
        self._coverage = self._declared()
        self._declares = self._coverage is not None
        self._begins: dict[str, int] = {}
        self._dump_ends: dict[str, int] = {}
        self._first_ts = 0
        self._vmstat: list[Reading] = []
        self._views = dumps

    def batches(self) -> Iterator[EventBatch]:
        """Yield the recording's events in order; dumps are read as their markers come."""
        timed = self._timed_rows()
        with open_input(self._trace) as stream:
            flags = self._boot.gfp_flags() or rules_of(self._boot.release).gfp_flags
            parser = parser_of(stream, self._format, gfp_flags=flags, vmemmap_base=self._vmemmap_base)
            self.account = parser.account
            begun = False
            for batch in parser.batches():
                kept = batch if self._probes else without(batch, _PROBE_KINDS)
                if not len(kept):
                    continue
                if not begun:
                    yield from self._constants(int(kept.columns["trace_ts_nsec"][0]), timed)
                    begun = True
                yield from self._merge(kept, timed)
            if not begun:
                yield from self._constants(timed[0][0] if timed else 0, timed)
            for _, rows in timed:
                yield from rows()
            if stream.truncated:
                self.account.truncated = str(stream.truncated)
        self._snapshots.close()
        for name in self._due:
            self.info.notes.append(f"the dump of snapshot {name} is left out: the trace has no marker of its end")

    def _info(self, *, dumps: bool) -> RecordingInfo:
        boot_id = (self._boot.text("boot_id.txt") or "").strip()
        twins = [p for name in (*TRACES, *BINARY_TRACES) if (p := find_compressed(self._directory, name))]
        return RecordingInfo(
            host=self._boot.host(),
            boot_id=boot_id or None,
            recording_id=content_id(self._trace),
            format="capture-directory",
            source=self._directory.resolve().name,
            trace_format=self._format.value,
            trace_clock=self._clock_name,
            trace_file=self._trace.name,
            twins=tuple(path.name for path in twins if path != self._trace),
            snapshots=self._snapshots.dumps,
            options={"dumps": _yes(dumps), "probes": _yes(self._probes)},
            notes=[*self._snapshots.notes],
        )

    def _trace_clock(self) -> str:
        """Return the name of the trace's clock; ftrace's is local, and perf's local_clock, unless told otherwise."""
        if self._format is Format.PERF_SCRIPT:
            command = self._boot.text("perf-command.txt") or ""
            chosen = re.search(r"(?:^| )(?:-k|--clockid)[ =]?(\w+)", command)
            return {"mono": "mono", "monotonic": "mono"}.get(chosen[1], chosen[1]) if chosen else "perf"
        chosen = re.search(r"\[(\w[\w-]*)\]", self._boot.text("trace_clock.txt") or "")
        return chosen[1] if chosen else "local"

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
        if self._format is not Format.FTRACE_TEXT:
            self.info.notes.append("no coverage is declared: set_event.txt and ring_stats.txt speak of ftrace")
            return None
        coverage, notes = declared_coverage(self._directory, self._trace, probes=self._probes)
        self.info.notes.extend(notes)
        if self._boot.dmesg.unstable_again:
            self.info.notes.append(
                "dmesg says that sched_clock became unstable: the CPUs' clocks may differ; say by how much, with --clock-skew NS"
            )
        return coverage

    def _constants(self, first: int, timed: list[tuple[int, Rows]]) -> Iterator[EventBatch]:
        """Yield what is known before the first event, at the time of the first row."""
        at = min([first, *(when for when, _ in timed[:1])])
        self._first_ts = at
        booting = saw_boot(self._boot.dmesg, first)
        boot = self._boot.boot(vmemmap_base=self._vmemmap_base, saw_boot=booting)
        yield detail_row(Kind.BOOT, at, boot)
        if self._relation:
            yield clock_row(at, self._relation.clock(at, "dmesg.txt: sched_clock: Marking stable"))
        early = boot_coverage(self._coverage, boot.cmdline or "") if booting and self._coverage else None
        if early:
            yield detail_row(Kind.COVERAGE, at, early)
        if self._covers:
            yield coverage_row(at, self._covers)

    def _merge(self, batch: EventBatch, timed: list[tuple[int, Rows]]) -> Iterator[EventBatch]:
        """Yield *batch* with the rows that belong between its own; take from *timed* what is due by its end."""
        start = 0
        for stop, rows in self._cuts(batch, timed):
            if stop > start:
                yield batch.slice(start, stop)
            yield from rows()
            start = stop
        if start < len(batch):
            yield batch.slice(start, len(batch))

    def _cuts(self, batch: EventBatch, timed: list[tuple[int, Rows]]) -> list[tuple[int, Rows]]:
        """Return (row before which they come, rows), by row."""
        times = np.maximum.accumulate(batch.columns["trace_ts_nsec"].astype(np.int64))
        cuts: list[tuple[int, Rows]] = []
        while timed and timed[0][0] < times[-1]:
            when, rows = timed.pop(0)
            cuts.append((int(np.searchsorted(times, when, side="right")), rows))
        for row in np.flatnonzero(batch.columns["kind"] == Kind.MARKER).tolist():
            marker = parse_marker(Marker.model_validate_json(batch.details[row]).text)
            if marker:
                cuts.append((row + 1, self._behind(marker, int(times[row]))))
        return sorted(cuts, key=lambda cut: cut[0])

    def _behind(self, marker: SnapshotMarker, at: int) -> Rows:
        return lambda: self._rows_behind(marker, at)

    def _rows_behind(self, marker: SnapshotMarker, at: int) -> Iterator[EventBatch]:
        """Yield what follows a snapshot's marker read at trace time *at*."""
        clock = marker.clock(at, self._relation, self._written_by.get((marker.name, marker.what)))
        if clock:
            yield clock_row(at, clock)
        if self._coverage:
            yield detail_row(Kind.COVERAGE, at, self._coverage)
            self._coverage = None
        if marker.what == "begin":
            self._begins[marker.name] = at
        if marker.what == "page_owner_end":
            self._dump_ends[marker.name] = at
            yield from self._dump(marker.name, at)
        if marker.what == "end" and marker.name in self._dump_ends:
            yield from self._other_views(marker.name, self._dump_ends[marker.name], at)

    def _dump(self, name: str, at: int) -> Iterator[EventBatch]:
        """Yield the dump of snapshot *name*, whose end was marked at *at*."""
        if name not in self._due:
            if self.info.options["dumps"] == "yes":
                self.info.notes.append(f"snapshot {name} is marked in the trace, and its dump is missing")
            return
        self._due.remove(name)
        if name not in self._begins:
            self.info.notes.append(f"the dump of snapshot {name} is left out: the trace has no marker of its begin")
            return
        entries, skipped = self._entries(name)
        if not entries:
            self.info.notes.append(f"the dump of snapshot {name} is empty: page_owner was off; it says nothing")
            return
        yield from baseline(
            entries,
            at,
            BaselineBegin(
                name=name,
                window_begin=self._begins[name],
                window_end=at,
                entries=sum(map(len, entries)),
                skipped=skipped,
                source=f"snapshots/{name}/page_owner.txt",
            ),
        )

    def _other_views(self, name: str, begin: int, end: int) -> Iterator[EventBatch]:
        """Yield what else was read of the kernel in [begin, end]: vmstat, and kpageflags."""
        counters = parse_vmstat(self._snapshots.text(name, "vmstat") or "")
        if counters and self._declares:
            self._vmstat.append(Reading(name=name, begin=begin, end=end, counters=counters))
            for covered in unmoved(self._vmstat, self._first_ts):
                yield detail_row(Kind.COVERAGE, end, covered)
        flags = self._snapshots.file(name, "kpageflags.bin")
        if flags is None or not self._views:
            return
        with open_input(flags) as stream:
            runs, cut = read_kpageflags(stream)
            skipped = int(cut or stream.truncated is not None)
        if len(runs):
            view = BaselineBegin(
                name=name, view="kpageflags", window_begin=begin, window_end=end, entries=len(runs), skipped=skipped,
                source=f"snapshots/{name}/kpageflags.bin",
            )  # fmt: skip
            yield from baseline([runs], end, view)

    def _entries(self, name: str) -> tuple[list[EventBatch], int]:
        """Return the entries of a dump, and how many of its records are known to be missing."""
        source = f"snapshot {name}"
        with self._snapshots.open_dump(name) as stream:
            dump = PageOwnerDump(stream, source=source)
            entries = list(dump.batches())
        account = dump.account
        self.account.events.update(account.events)
        for example in account.examples:
            self.account.note_line(example.line, f"{source}: {example.text}")
        self.account.not_understood += account.not_understood - len(account.examples)
        if account.truncated:
            self.account.truncated = account.truncated
        return entries, account.not_understood + bool(account.truncated)

    def _timed_rows(self) -> list[tuple[int, Rows]]:
        """Return rows that have a time of their own and no place in the trace, by time: uevents, a perf's markers."""
        if self._relation is None:
            return []
        rows = [*self._hotplug_rows(self._relation)]
        if self._format is Format.PERF_SCRIPT:  # its samples are no markers; the snapshots kept theirs
            rows += self._marker_rows(self._relation)
        return sorted(rows, key=lambda row: row[0])

    def _marker_rows(self, known: Relation) -> Iterator[tuple[int, Rows]]:
        for text in self._snapshots.markers():
            marker = parse_marker(text)
            if marker and marker.monotonic is not None:
                at = marker.monotonic - known.mono_offset
                yield at, _then(detail_row(Kind.MARKER, at, Marker(text=text)), self._behind(marker, at))

    def _hotplug_rows(self, known: Relation) -> Iterator[tuple[int, Rows]]:
        """Yield what uevents tell of hotplug, unless probes were on it."""
        block_bytes = self._boot.block_bytes()
        text = self._boot.text("uevents.txt")
        if not text or block_bytes is None or f"{HOTPLUG_GROUP}:" in (self._boot.text("set_event.txt") or ""):
            return
        pages = block_bytes >> PAGE_SHIFT
        for event in parse_uevents(text):
            if event.action not in CALL_OF_UEVENT:
                continue
            at = event.monotonic - known.mono_offset
            detail = Hotplug.model_validate(
                {"call": CALL_OF_UEVENT[event.action], "phase": "notified", "source": "uevents.txt"}
            )
            row = detail_row(Kind.HOTPLUG, at, detail, pfn=event.block * pages, nr_pages=pages, ret=0)
            yield at, _then(row)


def parser_of(stream: Input, found: Format, *, gfp_flags: Mapping[str, int] | None, vmemmap_base: int | None) -> Parser:
    """Return the parser of a trace of format *found*."""
    if found is Format.PERF_SCRIPT:
        return PerfScript(stream, source=stream.source, gfp_flags=gfp_flags)
    return FtraceText(stream, source=stream.source, gfp_flags=gfp_flags, vmemmap_base=vmemmap_base)


def coverage_row(trace_ts_nsec: int, covers: tuple[Covered, ...]) -> EventBatch:
    """Return the COVERAGE row of what the operator declares."""
    return detail_row(Kind.COVERAGE, trace_ts_nsec, Coverage(kinds=covers, declared_by="the operator"))


def find_trace(directory: Path) -> Path:
    """Return the trace of a capture directory.

    Raises
    ------
    InputError
        There is none that can be read; the message says what there is instead.
    """
    expected = f"{directory}: expected a capture directory, with a trace ({', '.join(TRACES)}; plain, .zst or .gz)"
    if not directory.is_dir():
        raise InputError(f"{expected}; found no directory: check the path")
    for name in TRACES:
        if path := find_compressed(directory, name):
            return path
    for name in BINARY_TRACES:
        if path := find_compressed(directory, name):
            check_readable(_format_of(path), path.name)
    inner = sorted(path.name for path in directory.iterdir() if any(find_compressed(path, name) for name in TRACES))
    if inner:
        raise InputError(f"{expected}; found directories that have one: {', '.join(inner)}: give them one by one")
    raise InputError(f"{expected}; found none: give its page_owner dumps one by one, if they are what it holds")


def without(batch: EventBatch, kinds: tuple[Kind, ...]) -> EventBatch:
    """Return *batch* without the rows of *kinds*."""
    keep: NDArray[np.bool_] = ~np.isin(batch.columns["kind"], kinds)
    if keep.all():
        return batch
    rows = np.cumsum(keep) - 1
    columns: Mapping[str, NDArray[np.generic]] = {name: array[keep] for name, array in batch.columns.items()}
    details = {int(rows[row]): text for row, text in batch.details.items() if keep[row]}
    return EventBatch(columns=columns, texts=batch.texts, details=details)


def _then(row: EventBatch, more: Rows | None = None) -> Rows:
    def rows() -> Iterator[EventBatch]:
        yield row
        if more:
            yield from more()

    return rows


def _format_of(path: Path) -> Format:
    with open_input(path) as stream:
        return recognise(stream.read(HEAD_BYTES), path.name)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
