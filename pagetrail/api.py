"""The Python API: the questions of the command line as calls, their answers as Arrow tables.

``open`` gives a ``Trail``; ``ingest`` and ``replay`` fill one, ``publish`` sends what it holds to others. Instants are what
TIME is on the command line: a string, or an int of nanoseconds of the trace clock. With *as_of*, an answer is what was
believed then: it rests on evidence up to that time alone, which lies at or after the instant asked for (else ``NotFound``).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.publishing import PublishReport as PublishReport
from pagetrail.publishing import publish as publish
from pagetrail.queries.core.holders import By
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import rows_at
from pagetrail.queries.core.stream import Stream, choose, open_streams
from pagetrail.queries.core.waiting import wait_for
from pagetrail.queries.export.page_owner_text import page_owner_records
from pagetrail.queries.export.parquet import export_spans
from pagetrail.queries.questions import audit as audit_queries
from pagetrail.queries.questions import events as event_queries
from pagetrail.queries.questions import history as history_queries
from pagetrail.queries.questions import leaks as leak_queries
from pagetrail.queries.questions import lineage as lineage_queries
from pagetrail.queries.questions import owner as owner_queries
from pagetrail.queries.questions import sections as section_queries
from pagetrail.queries.questions import top as top_queries
from pagetrail.queries.questions.streams import markers_table, streams_table
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.log.kafka import KafkaLogReader, ReadLimits
from pagetrail.replay.run.lag import PartitionLag, lag_of
from pagetrail.schemas.details import Covered
from pagetrail.schemas.errors import BadArgument, InputError
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.schemas.log.contract import EMBEDDED_PARTITION
from pagetrail.schemas.log.kafka import partition_of
from pagetrail.version import __version__

if TYPE_CHECKING:
    from pagetrail.producers.log.ingest import IngestReport
    from pagetrail.replay.run.partition import ReplayReport

Time = str | int


class Trail:
    """A trail, opened for questions. It looks at the store as it is now: open it again after a replay.

    Parameters
    ----------
    path
        Directory of the trail.
    correct
        Which fold to ask: the one that the kernel's dumps corrected, or the one they did not; null: the first there is.
    stream, times, wait
        Wait for so many seconds, at most, until replay of that stream has come to these instants.

    Raises
    ------
    TrailMissing, NotFound
        There is no trail, or nothing has been replayed yet.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        correct: bool | None = None,
        stream: str | None = None,
        times: Sequence[Time | None] = (),
        wait: float = 0.0,
    ) -> None:
        self.path = Path(path)
        if wait > 0:
            asked = [str(at) for at in times if at is not None]
            self._streams = wait_for(self.path, asked, stream=stream, correct=correct, seconds=wait)
        else:
            self._streams = open_streams(self.path, correct=correct)

    def stream(self, name: str | None = None) -> Stream:
        """Return the stream HOST[/BOOT_ID]; the only one, when nothing is named."""
        return choose(self._streams, name)

    def _as_of(self, stream: str | None, as_of: Time | None) -> Stream:
        return self.stream(stream).as_of(None if as_of is None else str(as_of))

    def streams(self, log: KafkaAddress | None = None) -> pa.Table:
        """Return what is in the trail: a row a stream, with its horizon and the digest of its state.

        With *log*, how far replay is behind it, too. No replay is asked or disturbed.
        """
        if log is None:
            return streams_table(self._streams)
        with KafkaLogReader(log) as reader:
            partitions = len(reader.partitions())
            found: dict[tuple[str, int], PartitionLag] = {}

            def lag(stream: Stream) -> PartitionLag:
                where = (stream.fold, partition_of(stream.host, partitions))
                if where not in found:
                    found[where] = lag_of(stream.place.store, where[0], reader, where[1])
                return found[where]

            return streams_table(self._streams, lag)

    def markers(self, stream: str | None = None) -> pa.Table:
        """Return the markers of a stream: trace time in ns, event, text."""
        return markers_table(self.stream(stream))

    def owner(self, pfns: Sequence[int], at: Time, *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return who owned each page at an instant: ``queries.owner.ANSWER_SCHEMA``, a row a page, in their order."""
        chosen = self._as_of(stream, as_of)
        return owner_queries.owners_at(chosen, pfns, _instant(chosen, at))

    def owners(
        self, pairs: Sequence[tuple[int, Time]], *, stream: str | None = None, as_of: Time | None = None
    ) -> pa.Table:
        """Return who owned each page at its own instant, for many (pfn, time) pairs at once."""
        chosen = self._as_of(stream, as_of)
        return owner_queries.owners(chosen, [(pfn, _instant(chosen, at)) for pfn, at in pairs])

    def history(
        self,
        pfn: int,
        *,
        since: Time | None = None,
        until: Time | None = None,
        stream: str | None = None,
        as_of: Time | None = None,
    ) -> pa.Table:
        """Return every owner of a page: ``queries.history.HISTORY_SCHEMA``, in order of time.

        With the times between generations of its section, and where contents came from and went to; ``lineage`` follows them.
        """
        chosen = self._as_of(stream, as_of)
        bounds = [None if t is None else _instant(chosen, t).ts for t in (since, until)]
        return history_queries.history(chosen, pfn, since=bounds[0], until=bounds[1])

    def lineage(self, pfn: int, at: Time = "-0s", *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return where the contents of a page at an instant came from and went to: ``queries.lineage.LINEAGE_SCHEMA``.

        Back to their allocation and on to their end, through splits and migrations, a row a stay; see ``queries.lineage``.
        """
        chosen = self._as_of(stream, as_of)
        return lineage_queries.lineage(chosen, pfn, _instant(chosen, at))

    def snapshot(
        self, at: Time, *, everything: bool = False, stream: str | None = None, as_of: Time | None = None
    ) -> pa.Table:
        """Return all owned pages at an instant: ``queries.rows.ROW_SCHEMA``, a row a run; *everything*: free and unknown too."""
        chosen = self._as_of(stream, as_of)
        return rows_at(chosen, _instant(chosen, at), everything=everything)

    def page_owner_text(self, at: Time, *, stream: str | None = None, as_of: Time | None = None) -> str:
        """Return the kernel's own text of page_owner, as of an instant."""
        chosen = self._as_of(stream, as_of)
        return "".join(page_owner_records(chosen, _instant(chosen, at)))

    def top(self, at: Time, by: By, *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return pages and bytes owned at an instant by each stack, comm, pid, ..., the largest first."""
        chosen = self._as_of(stream, as_of)
        return top_queries.top(chosen, _instant(chosen, at), by)

    def leaks(
        self, since: Time, until: Time, by: By, *, stream: str | None = None, as_of: Time | None = None
    ) -> pa.Table:
        """Return what was allocated after *since* and is alive at *until*, with its age in ns."""
        chosen = self._as_of(stream, as_of)
        return leak_queries.leaks(chosen, _instant(chosen, since), _instant(chosen, until), by)

    def sections(self, at: Time | None = None, *, stream: str | None = None, as_of: Time | None = None) -> pa.Table:
        """Return sections and their extensions, all that there were or those at an instant."""
        chosen = self._as_of(stream, as_of)
        return section_queries.sections(chosen, None if at is None else _instant(chosen, at))

    def audits(self, *, view: str = "page_owner", stream: str | None = None) -> pa.Table:
        """Return the kernel's dumps against replay, a row a dump; view "kpageflags": free pages instead of owners."""
        return audit_queries.audits_table(self.stream(stream), view)

    def differences(self, name: str | None = None, *, stream: str | None = None) -> pa.Table:
        """Return each record in which the kernel's dump (of snapshot *name*) and replay differed, with both sides."""
        return audit_queries.differences(self.stream(stream), name)

    def export_spans(self, directory: str | Path) -> list[Path]:
        """Write every span of every stream as Parquet; return the files."""
        return export_spans(self._streams, Path(directory))


def open(  # noqa: A001  # pagetrail.open reads well
    path: str | Path,
    *,
    correct: bool | None = None,
    stream: str | None = None,
    times: Sequence[Time | None] = (),
    wait: float = 0.0,
) -> Trail:
    """Open a trail for questions; see ``Trail``."""
    return Trail(path, correct=correct, stream=stream, times=times, wait=wait)


def events(
    trail: str | Path,
    offset: int,
    numbers: Sequence[int] = (),
    *,
    log: KafkaAddress | None = None,
    partition: int = EMBEDDED_PARTITION,
) -> pa.Table:
    """Return events of the frame at an offset, as the log holds them; see ``queries.events.events``.

    With *log* it is that topic's *partition*, else the trail's own log.
    """
    with _log_reader(trail, log) as reader:
        return event_queries.events(reader, partition, offset, numbers)


def events_of(
    trail: str | Path, recording: str, numbers: Sequence[int], *, log: KafkaAddress | None = None
) -> pa.Table:
    """Return events of a recording by their numbers; see ``queries.events.events_of``. A topic is read until they are found."""
    with _log_reader(trail, log) as reader:
        return event_queries.events_of(reader, recording, numbers)


def _log_reader(trail: str | Path, log: KafkaAddress | None) -> "KafkaLogReader | SqliteLogReader":
    return event_queries.own_log(Path(trail)) if log is None else KafkaLogReader(log)


def ingest(
    trail: str | Path,
    path: str | Path,
    *,
    host: str | None = None,
    boot_id: str | None = None,
    covers: tuple[Covered, ...] = (),
    probes: bool = True,
    vmemmap_base: int | None = None,
    log: KafkaAddress | None = None,
    clock_skew: int = 0,
    on_progress: Callable[[int], None] = lambda events: None,
) -> "IngestReport":
    """Store one recording (a file, a capture directory, or ``-`` for stdin) in a trail's log; see ``open_recording``.

    With *log* it goes to that topic, and the trail is not touched.

    Raises
    ------
    InputError
        It is no recording, or overlaps another one of the same boot; nothing was stored. (A topic takes it: replay refuses it.)
    StorageFull
        No space left; the same call goes on from there.
    LogError
        The brokers do not answer, or refuse us, or the topic is not there; what was acknowledged stays.
    """
    # here, as kernels take half a second to import, and no question needs them
    from pagetrail.producers.log.ingest import ingest as ingest_recording
    from pagetrail.producers.log.ingest import origin_of
    from pagetrail.producers.recordings import open_recording

    recording = open_recording(
        path, host=host, boot_id=boot_id, covers=covers, probes=probes, vmemmap_base=vmemmap_base, clock_skew=clock_skew
    )
    origin = origin_of(recording, producer_version=__version__)
    if log is not None:
        with KafkaLogWriter(log) as topic:
            return ingest_recording(recording, origin, topic, on_progress=on_progress)
    with SqliteLogWriter(Path(trail)) as embedded:

        def accept(first: Frame) -> None:
            with SqliteLogReader(Path(trail)) as reader:
                other = reader.later_recording(first.header)
            if other is not None:
                raise InputError(
                    f"{recording.info.source}: it begins at {first.header.first_ts} ns (trace clock), before the end "
                    f"({other.last_ts} ns) of recording {other.recording} of the same boot ({other.host} "
                    f"{other.boot_id}): two recordings of one time are never merged; ingest it into another trail"
                )

        return ingest_recording(recording, origin, embedded, accept=accept, on_progress=on_progress)


def replay(
    trail: str | Path,
    *,
    correct: bool = True,
    follow: bool = False,
    log: KafkaAddress | None = None,
    group: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_trouble: Callable[[str], None] = lambda said: None,
) -> "ReplayReport":
    """Fold a trail's log, or the topic *log*, into the trail's segments, going on where it stopped; see ``Replayer.run``.

    With *group*, as a member of that consumer group: see ``GroupReplayer.run``. Trouble that passes is told to *on_trouble*.
    """
    # here, as in ``ingest``
    from pagetrail.replay.rules.fold_options import FoldOptions
    from pagetrail.replay.run.group import READ_SECONDS, STEP_BYTES, GroupReplayer, Membership
    from pagetrail.replay.run.partition import ReplaySettings
    from pagetrail.replay.run.replayer import Replayer
    from pagetrail.replay.store.local import store_of

    options = FoldOptions(correct=correct)
    if group is not None:
        if log is None:
            raise BadArgument("--group: expected --log kafka://HOST:PORT/TOPIC beside it, found none")
        settings = ReplaySettings(store=store_of(Path(trail)), options=options, read_bytes=STEP_BYTES)
        with KafkaLogReader(log, ReadLimits(seconds=READ_SECONDS)) as topic:
            membership = Membership(address=log, group=group, on_trouble=on_trouble)
            return GroupReplayer(topic, membership, settings, on_progress=on_progress).run(follow=follow, stop=stop)
    with SqliteLogReader(Path(trail)) if log is None else KafkaLogReader(log) as reader:
        replayer = Replayer(Path(trail), reader, options=options, on_progress=on_progress)
        return replayer.run(follow=follow, stop=stop)


def _instant(stream: Stream, at: Time) -> Instant:
    return stream.instant(str(at))
