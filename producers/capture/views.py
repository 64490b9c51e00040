"""The kernel's files of each snapshot, bound to the markers of its begin and end: dump, kpageflags, vmstat."""

from collections.abc import Iterator, Sequence

import numpy as np

from pagetrail.producers.capture.clock import SnapshotMarker
from pagetrail.producers.capture.snapshots import Snapshots
from pagetrail.producers.capture.vmstat import Reading, parse_vmstat, unmoved
from pagetrail.producers.detail_rows import baseline, detail_row
from pagetrail.producers.formats.kpageflags import KPageFlags
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.formats.page_owner.stack_sums import read_stack_handles
from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.producers.inputs import open_input
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, Zone
from pagetrail.schemas.errors import InputError


class Views:
    """Reads the views of the snapshots, each when its marker comes.

    Parameters
    ----------
    account
        Takes what is read of the dumps.
    notes
        Takes what the user should know.
    wanted
        Read page_owner dumps and kpageflags.
    declared
        The capture declares coverage: vmstat may add to it.
    zones
        Those of the machine, as zoneinfo has them.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        account: ReadAccount,
        notes: list[str],
        *,
        wanted: bool,
        declared: bool,
        zones: Sequence[Zone] = (),
    ) -> None:
        self._zones = zones
        self._snapshots, self._account, self._notes = snapshots, account, notes
        self._wanted, self._declared = wanted, declared
        self._due = list(snapshots.dumps) if wanted else []
        self._begins: dict[str, int] = {}
        self._dump_ends: dict[str, int] = {}
        self._vmstat: list[Reading] = []
        self._stacks = self._stack_handles() if wanted else {}

    def behind(self, marker: SnapshotMarker, at: int, first_ts: int) -> Iterator[EventBatch]:
        """Yield what was read up to *marker*, which was read at trace time *at*; the recording begins at *first_ts*."""
        if marker.what == "begin":
            self._begins[marker.name] = at
        if marker.what == "page_owner_end":
            self._dump_ends[marker.name] = at
            yield from self._dump(marker.name, at)
        if marker.what == "end" and marker.name in self._dump_ends:
            begin = self._dump_ends[marker.name]
            if self._declared:
                yield from self._counters(marker.name, begin, at, first_ts)
            if self._wanted:
                yield from self._kpageflags(marker.name, begin, at)

    def close(self) -> None:
        """Close the dumps, and note those whose marker never came."""
        self._snapshots.close()
        for name in self._due:
            self._notes.append(f"the dump of snapshot {name} is left out: the trace has no marker of its end")

    def _dump(self, name: str, at: int) -> Iterator[EventBatch]:
        """Yield the dump of snapshot *name*, whose end was marked at *at*."""
        if name not in self._due:
            if self._wanted:
                self._notes.append(f"snapshot {name} is marked in the trace, and its dump is missing")
            return
        self._due.remove(name)
        if name not in self._begins:
            self._notes.append(f"the dump of snapshot {name} is left out: the trace has no marker of its begin")
            return
        entries, tally = self._entries(name)
        if tally.sorted_line is not None:
            self._notes.append(
                f"the dump of snapshot {name} is left out: it is output of page_owner_sort (line {tally.sorted_line})"
            )
            return
        if not entries:
            unread = tally.account.unread
            why = f"none of its {unread} records could be read" if unread else "it is empty: page_owner was off"
            self._notes.append(f"the dump of snapshot {name} says nothing: {why}")
            return
        self._notes += [f"the dump of snapshot {name} {said}" for said in nodes_left_out(entries, self._zones)]
        because = tally.partial_because(unfiltered=True)  # what is but suspected leaves its silence a doubt
        view = BaselineBegin(
            name=name, window_begin=self._begins[name], window_end=at, entries=sum(map(len, entries)), skipped=tally.missing,
            source=f"snapshots/{name}/page_owner.txt", extent="partial" if because else None, partial_because=because,
        )  # fmt: skip
        yield from baseline(entries, at, view)

    def _entries(self, name: str) -> tuple[list[EventBatch], Tally]:
        """Return the entries of a dump, and what was read of it."""
        source = f"snapshot {name}"
        with self._snapshots.open_dump(name) as stream:
            dump = PageOwnerDump(stream, source=source, stacks=self._stacks)
            entries = list(dump.batches())
        if said := dump.named.said("keep that file as snapshots/NAME/show_stacks_handles.txt"):
            self._notes.append(f"the dump of {source}: {said}")
        account = dump.account
        self._account.events.update(account.events)
        self._account.unread += account.unread
        for example in account.examples:
            self._account.note_line(example.line, f"{source}: {example.text}")
        self._account.not_understood += account.not_understood - len(account.examples)
        if account.truncated:
            self._account.truncated = account.truncated
        return entries, dump.tally

    def _stack_handles(self) -> dict[int, str]:
        """Return the stacks of this boot's handles; none where the files cannot be of one boot."""
        try:
            return read_stack_handles(self._snapshots.stack_handles())
        except InputError as error:
            self._notes.append(f"the stacks of handles are left unknown: {error}")
            return {}

    def _counters(self, name: str, begin: int, end: int, first_ts: int) -> Iterator[EventBatch]:
        """Yield the coverage that vmstat, read in [begin, end], shows together with earlier readings."""
        counters = parse_vmstat(self._snapshots.text(name, "vmstat") or "")
        if counters:
            self._vmstat.append(Reading(name=name, begin=begin, end=end, counters=counters))
            for covered in unmoved(self._vmstat, first_ts):
                yield detail_row(Kind.COVERAGE, end, covered)

    def _kpageflags(self, name: str, begin: int, end: int) -> Iterator[EventBatch]:
        """Yield kpageflags as they were read in [begin, end]."""
        flags = self._snapshots.file(name, "kpageflags.bin")
        if flags is None:
            return
        with open_input(
            flags
        ) as stream:  # read twice: how many runs there are is said first, and there may be very many
            counted = KPageFlags(stream)
            entries = sum(map(len, counted.batches()))
            skipped = int(counted.cut or stream.truncated is not None)
        if skipped:
            why = stream.truncated or "they end within a page's flags, or have more pages than any machine"
            self._notes.append(f"kpageflags of snapshot {name} are read to where they are cut: {why}")
        if not entries:
            return
        view = BaselineBegin(
            name=name, view="kpageflags", window_begin=begin, window_end=end, entries=entries, skipped=skipped,
            source=f"snapshots/{name}/kpageflags.bin",
        )  # fmt: skip
        with open_input(flags) as stream:
            yield from baseline((runs for runs in KPageFlags(stream).batches() if len(runs)), end, view)


def nodes_left_out(entries: Sequence[EventBatch], zones: Sequence[Zone]) -> list[str]:
    """Return, as texts, the nodes of which a dump has no page: a filter to other nodes leaves no other mark."""
    found = []
    for node in sorted({zone.node for zone in zones}):
        ranges = [(zone.start_pfn, zone.stop_pfn) for zone in zones if zone.node == node]
        if not any(_any_in(entries, start, stop) for start, stop in ranges):
            start, stop = min(start for start, _ in ranges), max(stop for _, stop in ranges)
            found.append(
                f"has no page of node {node}, which zoneinfo has from pfn {start} to {stop - 1}: it may be what a filter left, and "
                "its silence on that node says nothing"
            )
    return found


def _any_in(entries: Sequence[EventBatch], start: int, stop: int) -> bool:
    pfns = (np.asarray(batch.columns["pfn"], np.int64) for batch in entries)
    return any(bool(((pfn >= start) & (pfn < stop)).any()) for pfn in pfns)
