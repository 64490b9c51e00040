"""A trail that is opened for questions: the one object that answers them.

A method imports its question: a process that asks one of them does not load the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.blaming import blames_files
from pagetrail.queries.core.filters import NO_FILTER, Filters
from pagetrail.queries.core.instant import Instant, Instants, wall_text
from pagetrail.queries.core.opening import choose, open_streams, wait_for
from pagetrail.queries.core.row_columns import ROW_SCHEMA
from pagetrail.queries.core.rows import Asked, rows_in_parts
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.holders.attributes import By, ByOfAll
from pagetrail.schemas.log.address import KafkaAddress

if TYPE_CHECKING:
    from pagetrail.queries.holders.sums import SumsOfAll

Time = str | int
"""An instant: TIME as on the command line, or ns of the trace clock."""


@blames_files
class Trail:
    """A trail, opened for questions. It reads the store as it is now: open it again after a replay.

    Parameters
    ----------
    path
        Directory of the trail.
    correct
        Which fold to ask: the one that the kernel's dumps corrected, or the one that they did not; null: the first that exists.
    fold
        The name of the fold to ask, as ``streams`` lists it; null: *correct* chooses.
    stream, times, wait
        Wait until replay of that stream has reached these instants, for *wait* seconds at most.

    Raises
    ------
    TrailMissing, NotFound
        There is no trail, nothing has been replayed yet, or not as *fold*.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        correct: bool | None = None,
        fold: str | None = None,
        stream: str | None = None,
        times: Sequence[Time | None] = (),
        wait: float = 0.0,
    ) -> None:
        self.path = Path(path)
        if wait > 0:
            asked = [str(at) for at in times if at is not None]
            found = wait_for(self.path, asked, stream=stream, correct=correct, fold=fold, seconds=wait)
        else:
            found = open_streams(self.path, correct=correct, fold=fold)
        self._streams, self._damaged = found.opened, found.damaged

    # -- streams -----------------------------------------------------------------------------------------------------------

    def stream(self, name: str | None = None) -> Stream:
        """Return the stream HOST[/BOOT_ID]; the only one, if *name* is null."""
        return choose(self._streams, name, self._damaged)

    def damage(self, stream: str | None = None, *, everywhere: bool = False) -> list[str]:
        """Return what is known to be wrong with the files of a stream, or of all: what these hold is not in any answer.

        It grows with what is asked: a question opens the files that it needs, and ``streams`` all.
        """
        damaged = [str(one.error) for one in self._damaged] if everywhere else []
        asked = self._streams if everywhere else [self.stream(stream)]
        return [*damaged, *(str(error) for one in asked for error in one.damage())]

    def _check_files(self) -> None:
        """Raise, if a file that was read is not whole."""
        for stream in self._streams:
            stream.check_files()

    def are_hosts(self) -> bool:
        """Return whether there are several streams, each of another host."""
        return len({stream.host for stream in self._streams}) == len(self._streams) > 1

    def _known(self, stream: str | None, as_of: Time | None) -> Stream:
        return self.stream(stream).as_of(None if as_of is None else str(as_of))

    def streams(self, log: KafkaAddress | None = None) -> pa.Table:
        """Return a row a stream, with its horizon and its digests; with *log*, also how far replay is behind it."""
        from pagetrail.queries.questions import streams

        if log is None:
            return streams.streams(self._streams, damaged=self._damaged)
        from pagetrail.replay.log.kafka import KafkaLogReader  # here: questions to a store need no client of Kafka

        with KafkaLogReader(log) as reader:
            return streams.streams(self._streams, reader, damaged=self._damaged)

    def time_text(self, stream: str | None = None) -> Callable[[int], str]:
        """Return what makes text of the times of a stream: seconds, or integers where its trace clock only counts."""
        return self.stream(stream).time_text

    def counting_clock(self, stream: str | None = None) -> str | None:
        """Return the name of the trace clock of a stream if it only counts; null: its times are ns."""
        return self.stream(stream).facts.counting_clock

    def gfp_text(self, stream: str | None = None) -> Callable[[int], str]:
        """Return what makes names of gfp masks of a stream, as the recorded kernel prints them."""
        return self.stream(stream).facts.gfp_text

    def markers(self, stream: str | None = None) -> pa.Table:
        """Return the markers of a stream: trace time in ns, event, text."""
        from pagetrail.queries.questions import markers

        return markers.markers(self.stream(stream))

    def instant(self, at: Time, *, stream: str | None = None, as_of: Time | None = None) -> int:
        """Return the instant that TIME means in a stream: ns of its trace clock."""
        return _instant(self._known(stream, as_of), at).ts

    def wall_time(self, at: Time, *, stream: str | None = None, as_of: Time | None = None) -> str | None:
        """Return the wall time (RFC 3339, UTC) of an instant; null where the recording did not read the wall clock."""
        known = self._known(stream, as_of)
        instant = _instant(known, at)
        return wall_text(instant.ts, known.facts_at(instant))

    def page_shift(self, stream: str | None = None) -> int:
        """Return log2 of the bytes of a page on the machine of a stream."""
        return self.stream(stream).facts.page_shift

    def page_size_is_known(self, stream: str | None = None) -> bool:
        """Return whether a recording of a stream says how large a page is; else it is taken to have the size of x86_64's."""
        return self.stream(stream).facts.page_size_is_known

    def page_bytes(self, stream: str | None = None) -> int:
        """Return the bytes of a page on the machine of a stream."""
        from pagetrail.queries.holders.owned import page_bytes

        return page_bytes(self.stream(stream))

    # -- pages -------------------------------------------------------------------------------------------------------------

    def owner(self, pfns: Sequence[int], at: Time, *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return who owned each page at an instant: ``questions.owner.ANSWER_SCHEMA``, a row a page, in their order."""
        from pagetrail.queries.questions import owner

        known = self._known(stream, as_of)
        return owner.owners_at(known, pfns, _instant(known, at))

    def owners(
        self, pairs: Sequence[tuple[int, Time]], *, stream: str | None = None, as_of: Time | None = None
    ) -> pa.Table:
        """Return who owned each page at its own instant, for many (pfn, time) pairs at once."""
        from pagetrail.queries.questions import owner

        return owner.owners_of_pairs(self._known(stream, as_of), pairs)

    def owners_of(
        self,
        pairs: pa.Table,
        *,
        columns: Sequence[str] | None = None,
        refused: Mapping[int, str] = MappingProxyType({}),
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> pa.Table:
        """Return who owned each page of a table of pairs at its own instant, a row a pair, in their order.

        Parameters
        ----------
        pairs
            Columns ``pfn`` (integers, or text: decimal or 0x hex) and ``time`` (integers: ns of the trace clock; or text: TIME);
            maybe ``stream`` or ``host`` (HOST[/BOOT_ID]), null or empty for *stream*. Other columns are kept.
        columns
            Columns of ``questions.owner.ANSWER_SCHEMA`` that are made, null: all. Only the texts that they show are read.
        refused
            Why some rows, by their index, are not asked: their ``error``.

        Returns
        -------
        pa.Table
            The columns of *pairs*; *columns*; and ``error``: why a row is not answered, its answer is null then. A column of
            *pairs* that is named as one of the answer is called ``given_`` and its name.

        Raises
        ------
        BadArgument
            There are no such columns, or they hold something else.
        """
        from pagetrail.queries.pairs.tables import answered_table
        from pagetrail.queries.questions import owner

        columns = owner.ANSWER_SCHEMA.names if columns is None else columns
        schema = pa.schema([owner.ANSWER_SCHEMA.field(name) for name in columns])

        def ask(known: Stream, pfns: NDArray[np.int64], at: Instants) -> pa.Table:
            return owner.owners(known, pfns, at, columns=columns)

        def choose(name: str | None) -> Stream:
            return self._known(name or stream, as_of)

        return answered_table(pairs, choose, ask, schema, refused)

    def history(
        self,
        pfn: int,
        *,
        since: Time | None = None,
        until: Time | None = None,
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> pa.Table:
        """Return every owner of a page: ``questions.history.HISTORY_SCHEMA``, in order of time.

        It includes the times between generations of the page's section, and where contents came from and went to; ``lineage``
        follows the contents.
        """
        from pagetrail.queries.questions import history

        known = self._known(stream, as_of)
        bounds = [None if t is None else _instant(known, t).ts for t in (since, until)]
        return history.history(known, pfn, since=bounds[0], until=bounds[1])

    def lineage(self, pfn: int, at: Time = "-0s", *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return where the contents of a page at an instant came from and went to: ``questions.lineage.LINEAGE_SCHEMA``.

        It goes back to their allocation and on to their end, through splits and migrations, with a row a stay.
        """
        from pagetrail.queries.questions import lineage

        known = self._known(stream, as_of)
        return lineage.lineage(known, pfn, _instant(known, at))

    # -- all pages ---------------------------------------------------------------------------------------------------------

    def snapshot(
        self,
        at: Time,
        *,
        everything: bool = False,
        columns: Sequence[str] = ROW_SCHEMA.names,
        filters: Filters = NO_FILTER,
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> pa.Table:
        """Return all owned pages at an instant, a row a run: *columns* of ``core.row_columns.ROW_SCHEMA``.

        With *everything*, also free and unknown pages. With *filters*, only the pages that they select.
        """
        asked = Asked(everything=everything, columns=columns, filters=filters)
        return pa.concat_tables(self._snapshot_parts(at, asked, stream, as_of))

    def snapshot_parts(
        self,
        at: Time,
        *,
        everything: bool = False,
        columns: Sequence[str] = ROW_SCHEMA.names,
        filters: Filters = NO_FILTER,
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the table of ``snapshot`` in parts, by pfn: at least one, maybe without rows. It takes little memory."""
        asked = Asked(everything=everything, columns=columns, filters=filters)
        return self._snapshot_parts(at, asked, stream, as_of)

    def _snapshot_parts(self, at: Time, asked: Asked, stream: str | None, as_of: Time | None) -> Iterator[pa.Table]:
        known = self._known(stream, as_of)
        return rows_in_parts(known, _instant(known, at), asked)

    def page_owner_text(
        self, at: Time, *, filters: Filters = NO_FILTER, stream: str | None = None, as_of: Time | None = None
    ) -> str:
        """Return the kernel's own text of page_owner, as it would have been at an instant."""
        return "".join(self.page_owner_records(at, filters=filters, stream=stream, as_of=as_of))

    def page_owner_records(
        self, at: Time, *, filters: Filters = NO_FILTER, stream: str | None = None, as_of: Time | None = None
    ) -> Iterator[str]:
        """Yield the same text, record by record."""
        from pagetrail.queries.export.page_owner_text import page_owner_records

        known = self._known(stream, as_of)
        return page_owner_records(known, _instant(known, at), filters)

    def top(
        self, at: Time, by: By, *, filters: Filters = NO_FILTER, stream: str | None = None, as_of: Time | None = None
    ) -> pa.Table:
        """Return pages and bytes owned at an instant by each stack, comm, pid, ..., the largest first."""
        from pagetrail.queries.questions import top

        known = self._known(stream, as_of)
        return top.top(known, _instant(known, at), by, filters)

    def leaks(
        self,
        since: Time,
        until: Time,
        by: By,
        *,
        filters: Filters = NO_FILTER,
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> pa.Table:
        """Return what was allocated after *since* and is alive at *until*, with its age in ns."""
        from pagetrail.queries.questions import leaks

        known = self._known(stream, as_of)
        return leaks.leaks(known, _instant(known, since), _instant(known, until), by, filters)

    def top_of_all(
        self, at: Time, by: ByOfAll, *, filters: Filters = NO_FILTER, as_of: Time | None = None
    ) -> "SumsOfAll":
        """Return what ``top`` says of all streams together, and of which: a time means in each what it means there.

        By "host", it is a row a host.
        """
        from pagetrail.queries.questions import top

        def asked(stream: Stream) -> tuple[Stream, Instant]:
            known = stream.as_of(None if as_of is None else str(as_of))
            return known, _instant(known, at)

        return top.top_of_all(self._streams, asked, by, filters)

    def leaks_of_all(
        self, since: Time, until: Time, by: ByOfAll, *, filters: Filters = NO_FILTER, as_of: Time | None = None
    ) -> "SumsOfAll":
        """Return what ``leaks`` says of all streams together, and of which: see ``top_of_all``."""
        from pagetrail.queries.questions import leaks

        def asked(stream: Stream) -> tuple[Stream, Instant, Instant]:
            known = stream.as_of(None if as_of is None else str(as_of))
            return known, _instant(known, since), _instant(known, until)

        return leaks.leaks_of_all(self._streams, asked, by, filters)

    def sections(self, at: Time | None = None, *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return sections and their extensions: all that there were, or those at an instant."""
        from pagetrail.queries.questions import sections

        known = self._known(stream, as_of)
        return sections.sections(known, None if at is None else _instant(known, at))

    def outside_zones(self, at: Time, *, stream: str | None = None, as_of: Time | None = None) -> str:
        """Return the sections, as text, that filters of zones and nodes leave out at an instant: they came online later."""
        from pagetrail.queries.questions import outside_zones

        known = self._known(stream, as_of)
        return outside_zones.outside_zones(known, _instant(known, at))

    # -- how good answers are ------------------------------------------------------------------------------------------------

    def audits(self, *, view: str = "page_owner", stream: str | None = None) -> pa.Table:
        """Return the kernel's dumps against replay, a row a dump; view "kpageflags": free pages instead of owners."""
        from pagetrail.queries.questions import audits

        return audits.audits(self.stream(stream), view)

    def differences(self, name: str | None = None, *, stream: str | None = None) -> pa.Table:
        """Return each record in which the kernel's dump (of snapshot *name*) and replay differed, with both sides."""
        from pagetrail.queries.questions import differences

        return differences.differences(self.stream(stream), name)

    def audit_dump(self, dump: str | Path, at: Time, *, stream: str | None = None) -> tuple[pa.Table, pa.Table]:
        """Return a dump that was not ingested against replay at an instant: in numbers, and the records that differ."""
        from pagetrail.queries.questions import audit_dump

        known = self.stream(stream)
        return audit_dump.audit_dump(known, Path(dump), _instant(known, at))

    def audit_stacks(self, files: Sequence[str | Path], at: Time, *, stream: str | None = None) -> pa.Table:
        """Return the kernel's sums of pages by stack against replay at an instant: ``sums.by_stack.STACK_AUDIT_SCHEMA``.

        *files* are page_owner_stacks/show_stacks, or show_handles and show_stacks_handles.
        """
        from pagetrail.queries.questions.sums import by_stack

        known = self.stream(stream)
        return by_stack.audit_stacks(known, [Path(file) for file in files], _instant(known, at))

    def audit_sites(self, file: str | Path, at: Time, *, stream: str | None = None) -> pa.Table:
        """Return /proc/allocinfo's sums of bytes by call site against replay at an instant: ``sums.by_site.SITE_AUDIT_SCHEMA``."""
        from pagetrail.queries.questions.sums import by_site

        known = self.stream(stream)
        return by_site.audit_sites(known, Path(file), _instant(known, at))

    def doctor(self, stream: str | None = None) -> pa.Table:
        """Return what makes answers of a stream less sure, the worst first: ``questions.doctor.FINDINGS_SCHEMA``."""
        from pagetrail.queries.questions import doctor

        return doctor.doctor(self.stream(stream))

    def quarantined(self, stream: str | None = None) -> pa.Table:
        """Return the events of a stream that could not be folded: seq, pfn, order, kind."""
        from pagetrail.queries.questions import quarantined

        return quarantined.quarantined(self.stream(stream))

    # -- for others --------------------------------------------------------------------------------------------------------

    def export_spans(self, directory: str | Path) -> list[Path]:
        """Write every span of every stream as Parquet; return the files."""
        from pagetrail.queries.export.parquet import export_spans

        return export_spans(self._streams, Path(directory))


def open(  # noqa: A001  # pagetrail.open reads well
    path: str | Path,
    *,
    correct: bool | None = None,
    fold: str | None = None,
    stream: str | None = None,
    times: Sequence[Time | None] = (),
    wait: float = 0.0,
) -> Trail:
    """Open a trail for questions; see ``Trail``."""
    return Trail(path, correct=correct, fold=fold, stream=stream, times=times, wait=wait)


def _instant(stream: Stream, at: Time) -> Instant:
    return stream.instant(str(at))
