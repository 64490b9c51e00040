"""Ingesting: recordings into the log of a trail, or into a topic."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from pagetrail.dumps_alone import (
    EARLIER,
    as_given_before,
    behind_others,
    check_clock,
    check_later,
    dated,
    files_in_order,
    newest_in,
    said_of_dump,
)
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.details import Covered
from pagetrail.schemas.errors import BadArgument, InputError, TrailMissing, TruncatedInput
from pagetrail.schemas.frames import Frame, FrameOrigin
from pagetrail.schemas.log.address import KafkaAddress
from pagetrail.version import __version__

if TYPE_CHECKING:
    from pagetrail.producers.inputs import Source
    from pagetrail.producers.log.ingest import IngestReport
    from pagetrail.producers.log.sink_kafka import KafkaLogWriter
    from pagetrail.producers.recording_info import Recording
    from pagetrail.producers.unpacking import Unpacking
    from pagetrail.schemas.log.stored import StoredRecording


class IngestOptions(TypedDict, total=False):
    """What ``ingest`` and ``ingest_all`` both take."""

    host: str | None
    covers: tuple[Covered, ...]
    probes: bool
    vmemmap_base: int | None
    log: KafkaAddress | None
    clock_skew: int
    kernel_release: str | None
    gfp_table: Mapping[str, int] | None
    page_shift: int | None
    kallsyms: Path | None
    vmlinux: Path | None
    at: str | None
    whole: bool
    follows: int | None
    stacks: Mapping[int, str] | None
    again: bool
    follow_links: bool
    on_progress: Callable[[int], None]


def ingest(
    trail: str | Path,
    path: "str | Path | Source",
    *,
    host: str | None = None,
    boot_id: str | None = None,
    covers: tuple[Covered, ...] = (),
    probes: bool = True,
    vmemmap_base: int | None = None,
    log: KafkaAddress | None = None,
    clock_skew: int = 0,
    kernel_release: str | None = None,
    gfp_table: Mapping[str, int] | None = None,
    page_shift: int | None = None,
    kallsyms: Path | None = None,
    vmlinux: Path | None = None,
    at: str | None = None,
    whole: bool = False,
    follows: int | None = None,
    stacks: Mapping[int, str] | None = None,
    again: bool = False,
    follow_links: bool = False,
    cut: "TruncatedInput | None" = None,
    on_progress: Callable[[int], None] = lambda events: None,
) -> "IngestReport":
    """Store one recording (a file, a capture directory, or ``-`` for stdin) in a trail's log; see ``open_recording``.

    With *log*, store it in that topic, whose last messages say what of it and of its boot is there; the trail is not touched.
    With *again*, a recording that an older reader made of the same bytes does not stand in the way: this one takes its place when
    the log is replayed. *cut*, *follow_links*: see ``open_recording``. Of a page_owner dump alone, *at* says when it was made, and
    *whole* that nothing was filtered from it; *stacks* are those of the handles that it has in their place. A dump without times
    comes behind the dumps of its boot that the log has, and behind the trace time *follows*.

    Raises
    ------
    BadArgument
        *at* is no time, or it or *whole* is said of something else than a dump alone.
    InputError
        It is not a recording, it overlaps another one of the same boot, or an older reader stored it; nothing was stored. (A topic
        takes a recording that overlaps; replay refuses it.)
    StorageFull
        No space is left; the same call continues from there.
    LogError
        The brokers do not answer or refuse us, or the topic does not exist; what was acknowledged stays.
    """
    # imported here: jit functions take half a second to import, and questions do not need them
    from pagetrail.producers.log.ingest import ingest as ingest_recording
    from pagetrail.producers.log.ingest import origin_of, stored_before
    from pagetrail.producers.recordings import open_recording

    with open_recording(
        path, host=host, boot_id=boot_id, covers=covers, probes=probes, vmemmap_base=vmemmap_base, clock_skew=clock_skew,
        page_shift=page_shift, spool=None if log is not None else Path(trail), cut=cut, kernel_release=kernel_release,
        gfp_table=gfp_table, kallsyms=kallsyms, vmlinux=vmlinux, follow_links=follow_links,
        dump=said_of_dump(path, at, whole=whole, follows=follows, stacks=stacks),
    ) as opened:  # fmt: skip
        if log is not None:
            from pagetrail.producers.log.sink_kafka import KafkaLogWriter

            with KafkaLogWriter(log) as topic:
                found = _in_topic(topic, opened)
                if found is None and again:  # it is further back than anybody looks
                    recording = _taking_the_place(opened, opened.info.recording_id)
                else:
                    recording = _named(opened, found, again=again)
                origin = _known_as(origin_of(recording, producer_version=__version__), recording, found)
                if found is not None:
                    recording = as_given_before(recording, found)
                last = behind_others(recording, found, lambda: topic.newest(origin.host, origin.boot_id))

                def fits(first: Frame) -> None:
                    check_clock(recording, last)
                    check_later(recording, last, first)

                return ingest_recording(recording, origin, topic, accept=fits, on_progress=on_progress)
        found = _stored(Path(trail), opened)
        recording = _named(opened, found, again=again)
        origin = _known_as(origin_of(recording, producer_version=__version__), recording, found)
        if found is not None:
            recording = as_given_before(recording, found)
        if found is not None and found.end is not None and _is_same(recording, origin, found):
            return stored_before(
                recording, origin, events=found.events, frames=found.frames, last_ts=found.last_ts, end=found.end
            )
        before = (
            found if recording.dump is None else behind_others(recording, found, lambda: newest_in(Path(trail), origin))
        )
        with SqliteLogWriter(Path(trail)) as embedded:

            def accept(first: Frame) -> None:
                check_clock(recording, before)
                _check_no_overlap(Path(trail), recording, first)
                _check_same_kernel(Path(trail), recording, first)

            return ingest_recording(recording, origin, embedded, accept=accept, on_progress=on_progress)


def ingest_all(
    trail: str | Path,
    path: str | Path | Sequence[Path],
    *,
    boot_id: str | None = None,
    split_boots: bool = False,
    on_report: "Callable[[IngestReport], None]" = lambda report: None,
    on_note: Callable[[str], None] = lambda note: None,
    **options: Unpack[IngestOptions],
) -> "tuple[IngestReport, ...]":
    """Store what a file holds as ``ingest`` does: one recording, or those of an archive (tar, zip), each as one of its own.

    Several files are those that one ``perf record --switch-output`` wrote: one recording. With *split_boots*, each of several boots
    in one file is a recording of its own. *on_report* is called with each report as soon
    as its recording is stored, *on_note* with what of an archive was left out.

    Raises
    ------
    BadArgument
        Several boots are to have one *boot_id*.
    InputError
        See ``ingest``. Of an archive, the others were stored; the message names those that were not.
    """
    from pagetrail.producers.dump_given import IN_ORDER
    from pagetrail.producers.spool import at_hand
    from pagetrail.producers.unpacking import Unpacking, kind_of

    if split_boots and boot_id is not None:
        raise BadArgument("--split-boots cannot be used with --boot-id: each boot has an id of its own")
    reports: list[IngestReport] = []
    spool = None if options.get("log") is not None else Path(trail)

    def store(found: "Path | Source", cut: "TruncatedInput | None" = None) -> None:
        with _apart(found, spool, split=split_boots) as recordings:
            for recording in recordings:
                reports.append(ingest(trail, recording, boot_id=boot_id, cut=cut, **options))
                on_report(reports[-1])
                if boot_id is not None:
                    options["follows"] = reports[-1].last_ts

    if not isinstance(path, str | Path):
        from pagetrail.producers.formats.perf_data.several import outputs_of

        store(outputs_of(path))
        return tuple(reports)
    if str(path) != "-" and Path(path).is_dir():
        options["at"] = dated(path, options.get("at"))
        store(Path(path))
        return tuple(reports)
    with at_hand(path, spool) as source:
        kind = kind_of(source)
        if kind is None:
            options["at"] = dated(path, options.get("at"))
            store(source)
            return tuple(reports)
        if (options.get("at") or IN_ORDER).strip() != IN_ORDER:
            raise BadArgument(
                f"{source.name}: --at says when one dump was made, and this is an archive; unpack it, and give each dump with "
                "its time"
            )
        unordered = boot_id is None or options.get("at") is not None
        unpacking = Unpacking(source, kind, spool, order=None if unordered else files_in_order)
        for unpacked in unpacking.recordings():
            try:
                store(unpacked.path, unpacked.cut)
            except InputError as error:
                unpacking.refused.append(f"{unpacked.name}: {error}")
    for note in unpacking.notes:
        on_note(note)
    if unpacking.refused or not reports:
        raise _left_out(source.name, unpacking, len(reports))
    return tuple(reports)


def _left_out(name: str, unpacking: "Unpacking", stored: int) -> InputError:
    from pagetrail.producers.unpacking import MOST_NAMED

    refused = "; ".join(unpacking.refused[:MOST_NAMED]) or "the archive holds no file"
    if more := unpacking.refused[MOST_NAMED:]:
        refused += f"; and {len(more):,} more"
    return InputError(f"{name}: of this archive, {stored} recordings were stored, and not these: {refused}")


@contextmanager
def _apart(found: "Path | Source", spool: Path | None, *, split: bool) -> "Iterator[tuple[Path | Source, ...]]":
    """Yield a file or a capture directory; if told to *split*, each of the recordings that a file consists of."""
    from pagetrail.producers.arrangement import arrange
    from pagetrail.producers.formats.table import FORMATS

    if not split or isinstance(found, Path):
        yield (found,)
        return
    with arrange(found, FORMATS).separate(spool) as parts:
        yield parts


def _stored(trail: Path, opened: "Recording") -> "StoredRecording | None":
    """Return what the log of *trail* holds of a recording: as this reader made it, else as the newest older one did."""
    try:
        with SqliteLogReader(trail) as log:
            return next((stored for one in _ids(opened) if (stored := log.stored(one)) is not None), None)
    except TrailMissing:
        return None


def _in_topic(topic: "KafkaLogWriter", opened: "Recording") -> "StoredRecording | None":
    """Return what the end of a topic holds of a recording, as ``_stored`` does; of a dump that older readers gave no host, too."""
    from pagetrail.producers.log.ingest import UNKNOWN_HOST, origin_of

    info, ids = opened.info, _ids(opened)
    if not ids:
        return None
    host = origin_of(opened, producer_version=__version__).host
    found = topic.stored({host} if info.host else {host, UNKNOWN_HOST}, ids)
    return None if found is None or info.boot_id not in (None, found.boot_id) else found


def _ids(opened: "Recording") -> list[str]:
    """Return the ids under which a log may hold a recording: as this reader made it, and as older ones did, the newest first."""
    from pagetrail.producers.recording_info import again_id

    info = opened.info
    if info.recording_id is None:
        return []
    return [again_id(info.recording_id, reader) for reader in range(info.reader, 1, -1)] + [info.recording_id]


def _named(opened: "Recording", found: "StoredRecording | None", *, again: bool) -> "Recording":
    """Return a recording with the id under which the log has it, or is to have it.

    Raises
    ------
    InputError
        Another version of the reader stored it, and it is not to be stored *again*.
    """
    if found is None:
        return opened
    if found.is_made_by(opened.info.reader):
        return _taking_the_place(opened, found.begin.supersedes) if found.begin and found.begin.supersedes else opened
    if again:
        return _taking_the_place(opened, found.recording)
    reader = None if found.begin is None else found.begin.reader
    by = "an older pagetrail" if reader is None else f"reader {reader}"
    raise InputError(
        f"{opened.info.source}: recording {found.recording} of {found.host} {found.boot_id} is in the log as {by} read it; reader "
        f"{opened.info.reader} reads these bytes differently, and the two are never mixed: run the same command with --again to "
        "store it anew; replay then uses the new one in place of the old one"
    )


def _known_as(origin: FrameOrigin, recording: "Recording", found: "StoredRecording | None") -> FrameOrigin:
    """Return the origin of a recording; where nobody names its host and boot, as the log has them: files may be renamed.

    Frames of a recording that the log has are made in the version of those that are there.
    """
    info = recording.info
    if found is None:
        return origin
    return dataclasses.replace(
        origin,
        host=origin.host if info.host else found.host,
        boot_id=origin.boot_id if info.boot_id else found.boot_id,
        version=found.version if found.recording == origin.recording else origin.version,
    )


def _taking_the_place(opened: "Recording", old: str | None) -> "Recording":
    """Return a recording that takes the place of the one with the id *old*: in its stream, under an id of its own."""
    from pagetrail.producers.recording_info import again_id

    info = opened.info
    if info.recording_id is None or old is None:
        return opened
    own = again_id(info.recording_id, info.reader)
    boot_id = info.boot_id or info.recording_id
    return dataclasses.replace(
        opened, info=dataclasses.replace(info, recording_id=own, supersedes=old, boot_id=boot_id)
    )


def _is_same(opened: "Recording", origin: FrameOrigin, found: "StoredRecording") -> bool:
    """Whether what the log holds is this recording of one file, made with the same options: then nothing has to be read."""
    info = opened.info
    return (
        info.trace_file is None  # a capture directory has more files than its id covers
        and (found.host, found.boot_id, found.recording) == (origin.host, origin.boot_id, origin.recording)
        and found.begin is not None
        and found.begin.options == dict(sorted(info.options.items()))
    )


def _check_no_overlap(trail: Path, recording: "Recording", first: Frame) -> None:
    """Raise if the log of *trail* holds another recording of the same boot that ends after the *first* frame begins."""
    with SqliteLogReader(trail) as reader:
        other = reader.later_recording(first.header, recording.info.supersedes)
    if other is None:
        return
    remedy = "ingest it into another trail" if recording.dump is None else EARLIER
    raise InputError(
        f"{recording.info.source}: it begins at {first.header.first_ts} ns (trace clock), before recording {other.recording} of "
        f"the same boot ({other.host} {other.boot_id}) ends ({other.last_ts} ns); recordings that overlap are not merged: {remedy}"
    )


def _check_same_kernel(trail: Path, recording: "Recording", first: Frame) -> None:
    """Raise if the *first* frame names another kernel than recordings of the same boot that the log of *trail* holds."""
    from pagetrail.schemas.log.stored import other_kernel, release_of

    named = release_of(first.payload)
    if named is None:
        return
    with SqliteLogReader(trail) as reader:
        known = reader.release(first.header, recording.info.supersedes)
    why = other_kernel(named, known)
    if why:
        raise InputError(
            f"{recording.info.source}: {why}; give it the --boot-id of its own boot, ingest it into another trail, or, if that "
            "release is wrong, say the right one with --kernel-release"
        )
