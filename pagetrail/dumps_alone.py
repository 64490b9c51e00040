"""Dumps alone: what the user says of them, and their place among the recordings of their boot."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import BadArgument, InputError, TrailMissing
from pagetrail.schemas.frames import Frame, FrameOrigin
from pagetrail.schemas.linux.trace_clock import DUMP_ORDER, WALL_CLOCK

if TYPE_CHECKING:
    from pagetrail.producers.dump_given import Given
    from pagetrail.producers.inputs import Source
    from pagetrail.producers.recording_info import Recording
    from pagetrail.schemas.log.stored import StoredRecording


def dumps_in_order(
    sources: Sequence[str], ats: Sequence[str | None], *, boot_id: str | None
) -> list[tuple[str, str | None]]:
    """Return *sources*, each with its time; dumps of one boot by their times, all else as it stands.

    Raises
    ------
    BadArgument
        One of the times is none.
    """
    from pagetrail.producers.formats.dump_order import in_order_of_time

    dumps = [(source, said_of_dump(source, at)) for source, at in zip(sources, ats, strict=True)]
    places = in_order_of_time(dumps) if boot_id is not None and len(dumps) > 1 else range(len(dumps))
    return [(sources[place], ats[place]) for place in places]


def stack_handles_among(sources: Sequence[str], *, boot_id: str | None) -> tuple[list[str], dict[int, str]]:
    """Return *sources* without the files of show_stacks_handles, and the stacks of these: those of the dumps given with them.

    Raises
    ------
    BadArgument
        Nobody says that the dumps are of one boot: a handle of another boot is another stack.
    InputError
        The files are of several boots.
    """
    from pagetrail.producers.formats.page_owner.stack_sums import has_stack_handles, read_stack_handles

    files = [source for source in sources if source != "-" and has_stack_handles(Path(source))]
    rest = [source for source in sources if source not in files]
    if not files or not rest:
        return list(sources), {}
    if len(rest) > 1 and boot_id is None:
        raise BadArgument(
            f"{files[0]} explains the handles of one boot, and {len(rest)} other files are given: say with --boot-id that they are "
            "of that boot, or give each with its own show_stacks_handles"
        )
    return rest, read_stack_handles([Path(file) for file in files])


def files_in_order(files: "Sequence[Source]") -> list[int]:
    """Return the places of *files*, the dumps of one boot in an archive, by their times; as they stand, if one has no time."""
    from pagetrail.producers.dump_given import Given
    from pagetrail.producers.formats.dump_order import in_order_of_time

    return in_order_of_time([(file, Given()) for file in files])


def dated(path: str | Path, at: str | None) -> str | None:
    """Return ``--at``; where it is the time of the file *path*, that time."""
    from pagetrail.producers.dump_given import FILE_TIME

    if at is None or at.strip() != FILE_TIME:
        return at
    if str(path) == "-":
        raise BadArgument(f"--at {FILE_TIME}: expected a file, found stdin, which has no time")
    if not Path(path).exists():
        return None  # its own ingest says so
    seconds, ns = divmod(Path(path).stat().st_mtime_ns, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}+00:00"
    except (ValueError, OverflowError, OSError):
        raise BadArgument(
            f"--at {FILE_TIME}: expected a file with a time of a calendar, found {seconds:,} s since 1970 at {path}; say the time"
        ) from None


def said_of_dump(
    path: "str | Path | Source",
    at: str | None,
    *,
    whole: bool = False,
    follows: int | None = None,
    stacks: Mapping[int, str] | None = None,
) -> "Given":
    """Return what the user says of a dump."""
    from pagetrail.producers.dump_given import Given, made_at

    time = dated(path, at) if isinstance(path, str | Path) else at
    said = Given() if time is None else made_at(time)
    return dataclasses.replace(said, unfiltered=whole, follows=follows, stacks=stacks or {})


def as_given_before(recording: "Recording", found: "StoredRecording") -> "Recording":
    """Return a dump as the user gave it before, where nothing else is said now.

    Raises
    ------
    InputError
        Something else is said now: what is in the log never changes.
    """
    from pagetrail.producers.dump_given import STACK_HANDLES

    info = recording.info
    if recording.dump is None or found.begin is None or found.begin.reader != info.reader:
        return recording
    before = found.begin.options
    said_of_dumps = ("at", "whole", STACK_HANDLES)
    for name in said_of_dumps:
        said, was = info.options.get(name), before.get(name)
        if said != was and (said is not None or found.end is None):
            given = f"--{name}" if name != STACK_HANDLES else "show_stacks_handles"
            with_what = f"{given} {was}" if was else f"no {given}"
            raise InputError(
                f"{info.source}: recording {found.recording} is in the log with {with_what}, and what is in the log never "
                "changes; say the same, or ingest it into another trail"
            )
    options: dict[str, str] = {name: before[name] for name in said_of_dumps if name in before}
    return dataclasses.replace(recording, info=dataclasses.replace(info, options={**info.options, **options}))


def newest_in(trail: Path, origin: FrameOrigin) -> "StoredRecording | None":
    """Return the recording of a boot that ends last in the log of *trail*; null: there is none."""
    try:
        with SqliteLogReader(trail) as log:
            return log.newest(origin.host, origin.boot_id)
    except TrailMissing:
        return None


def behind_others(
    recording: "Recording",
    found: "StoredRecording | None",
    newest_of_boot: "Callable[[], StoredRecording | None]",
) -> "StoredRecording | None":
    """Put a dump behind those of its boot that the log has; return the recording of that boot that ends last.

    Parameters
    ----------
    found
        What the log holds of the dump itself.
    newest_of_boot
        Asks the log for the recording of that boot that ends last.
    """
    from pagetrail.producers.formats.page_owner.alone import DUMPS

    dump = recording.dump
    if dump is None:
        return None
    if found is not None:  # its ingest was stopped: it goes on at the same place
        dump.given = dataclasses.replace(dump.given, follows=found.first_ts - 1)
        return None
    newest = newest_of_boot()
    if newest is not None and ((newest.begin is not None and newest.begin.format in DUMPS) or dump.given.in_order):
        behind = max(newest.last_ts, dump.given.follows or newest.last_ts)
        dump.given = dataclasses.replace(dump.given, follows=behind)
    return newest


EARLIER: Final = (
    "ingest it into another trail; or, if this dump is the later one, say so with --at order, or when it was made with "
    "--at TIME"
)
"""What to do with a dump that begins before a recording of its boot ends."""


def check_later(recording: "Recording", before: "StoredRecording | None", first: Frame) -> None:
    """Raise if a dump that begins with the frame *first* is earlier than the end of the recording *before* it in a topic."""
    if before is None or recording.dump is None or before.last_ts <= first.header.first_ts:
        return
    raise InputError(
        f"{recording.info.source}: it begins at {first.header.first_ts} ns (trace clock), before recording {before.recording} of "
        f"the same boot ({before.host} {before.boot_id}) ends ({before.last_ts} ns); recordings that overlap are not merged: "
        f"{EARLIER}"
    )


def check_clock(recording: "Recording", before: "StoredRecording | None") -> None:
    """Raise if a dump has a wall time, and the recording *before* it has times of another clock."""
    clock = recording.parser.account.trace_clock
    if before is None or clock != WALL_CLOCK:
        return
    if before.begin is not None and before.begin.trace_clock in (WALL_CLOCK, DUMP_ORDER):
        return
    raise InputError(
        f"{recording.info.source}: --at is a wall time, and the times of recording {before.recording} of the same boot count from "
        "the boot: they cannot be compared; give --at in seconds since the boot"
    )
