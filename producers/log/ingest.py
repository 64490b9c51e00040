"""Ingest one recording into the log, frame by frame. Ingesting it again makes the same frames."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from pagetrail.producers.formats.page_owner.alone import DUMPS
from pagetrail.producers.formats.page_owner.reports import PAGE_REPORTS
from pagetrail.producers.log.ahead import drawn_ahead
from pagetrail.producers.log.framing import Framer, single
from pagetrail.producers.parsed import ReadAccount
from pagetrail.producers.recording_info import Recording
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import LinesOfKind, RecordingBegin, RecordingEnd
from pagetrail.schemas.errors import BadArgument, InputError
from pagetrail.schemas.frames import Frame, FrameOrigin
from pagetrail.schemas.limits.names import NAME, unfit
from pagetrail.schemas.log.contract import LogWriter

APPEND_FRAMES = 8
"""Frames in one append: each costs one fsync; more would only hold more events back from a reader."""

NAMED_BY_FILE: Final = DUMPS | {PAGE_REPORTS.name}
UNKNOWN_HOST = "unknown"
"""Host of a recording for which neither the recording nor the operator names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What became of one recording."""

    source: str
    origin: FrameOrigin
    events: int
    frames: int
    duplicates: int
    last_ts: int
    """Trace clock of its last event, ns."""
    end: RecordingEnd
    """The recording's last event: the account of what was read."""
    notes: tuple[str, ...]


def origin_of(recording: Recording, *, producer_version: str) -> FrameOrigin:
    """Return whose events a recording holds. One without a boot_id gets its own id as one: it is joined to no other.

    A dump alone, which names no host and no boot, is known by the name of its file.

    Raises
    ------
    BadArgument
        The host or boot has bytes that are not UTF-8, or is otherwise no name of a frame: see ``NAME``.
    """
    info = recording.info
    identity = info.recording_id or uuid.uuid4().hex
    nameless = info.boot_id in (None, info.supersedes)  # with a boot of the user's choice, several dumps are one stream
    named = info.source.split(".")[0] if info.format in NAMED_BY_FILE and nameless and info.source != "-" else ""
    return FrameOrigin(
        host=_text("--host", info.host) or _text("--host", _readable(named)) or UNKNOWN_HOST,
        boot_id=_text("--boot-id", info.boot_id) or identity,
        recording=identity,
        producer=info.format,
        producer_version=producer_version,
    )


def _text(option: str, name: str | None) -> str | None:
    """Return a name that the recording or the operator gives; empty is none.

    Raises
    ------
    BadArgument
        It is no name: see ``NAME``.
    """
    if not name:
        return None
    if _readable(name) != name:
        raise BadArgument(
            f"{_readable(name)}: expected a name in UTF-8, found other bytes; choose another one with {option}"
        )
    if why := unfit(name):
        raise BadArgument(f"expected a name of {NAME}, found {why}; choose another one with {option}")
    return name


def _readable(name: str) -> str:
    """Return a name with every byte that is not UTF-8 as an escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def ingest(
    recording: Recording,
    origin: FrameOrigin,
    log: LogWriter,
    *,
    accept: Callable[[Frame], None] = lambda first: None,
    on_progress: Callable[[int], None] = lambda events: None,
) -> IngestReport:
    """Append the frames of *recording* to *log*; frames that are there already are skipped.

    Parameters
    ----------
    accept
        Called with the first frame before anything is stored; it raises to refuse the recording.
    on_progress
        Called with the number of events read so far.

    Raises
    ------
    InputError
        There is no event in it.
    FrameConflict, StorageFull
        From the log. What was appended before stays, and the same command goes on from there.
    """
    framer = Framer(origin)
    sending = _Sending(log, accept)
    info = recording.info
    begun = False
    before: list[EventBatch] = []
    with closing(drawn_ahead(recording.parser.batches())) as batches:
        for batch in batches:
            before.append(batch)
            if not begun and not np.isin(batch.columns["kind"], _OF_THE_RECORDING, invert=True).any():
                continue
            if not begun:
                first_ts = next(int(held.columns["trace_ts_nsec"][0]) for held in before if len(held))
                sending.send(framer.add(single(Kind.RECORDING_BEGIN, first_ts, _begin(recording))))
                begun = True
            for held in before:
                if len(held):
                    sending.send(framer.add(held))
            before = []
            on_progress(framer.seq)
    account = recording.parser.account
    if not begun:
        raise InputError(
            f"{info.source}: expected events of page allocation, found none{_what_was_read(account)}; nothing was stored. "
            "Record kmem:mm_page_alloc and kmem:mm_page_free; docs/guide.md says how"
        )
    end = _end(account, account.clamped + framer.clamped)
    sending.send(framer.add(single(Kind.RECORDING_END, framer.last_ts or 0, end, given_only=True)))
    sending.send(framer.finish())
    sending.flush()
    return IngestReport(
        source=info.source, origin=origin, events=framer.seq, frames=framer.frame, duplicates=sending.duplicates,
        last_ts=framer.last_ts or 0, end=end, notes=(*info.notes, *account.notes),
    )  # fmt: skip


def _begin(recording: Recording) -> RecordingBegin:
    """Return the first event of a recording, of which something was read."""
    info = recording.info
    return RecordingBegin(
        source=info.trace_file or info.format,
        format=info.format,
        trace_clock=info.trace_clock or recording.parser.account.trace_clock,
        options=dict(sorted(info.options.items())),
        reader=info.reader,
        supersedes=info.supersedes,
        gfp_read_for=info.gfp_read_for,
        gfp_known=info.gfp_known,
    )


def stored_before(
    recording: Recording, origin: FrameOrigin, *, events: int, frames: int, last_ts: int, end: RecordingEnd
) -> IngestReport:
    """Return the report of a recording that is in the log already, to its *end*: nothing was read again."""
    return IngestReport(
        source=recording.info.source, origin=origin, events=events, frames=frames, duplicates=frames, last_ts=last_ts,
        end=end, notes=tuple(recording.info.notes),
    )  # fmt: skip


_OF_THE_RECORDING: Final = [int(kind) for kind in (Kind.BOOT, Kind.CLOCK, Kind.COVERAGE, Kind.GAP)]
"""Rows that tell of the recording and not of pages: where there are no others, nothing of it was read."""
_KINDS_NAMED: Final = 3


def _what_was_read(account: ReadAccount) -> str:
    """Return what the lines were of a source without an event, for a message: the commonest kinds, and the first line of each."""
    if not account.lines:
        return ""
    kinds = sorted(account.kinds.items(), key=lambda item: (item[0][0] != "not_understood", -item[1].lines))
    named = [
        f"{found.lines:,} {'not understood: ' if what == 'not_understood' else 'of '}{kind}, the first is line {found.first_line}"
        + (f" {found.text!r}" if found.text else "")
        for (what, kind), found in kinds[:_KINDS_NAMED]
    ]
    return f" in {account.lines:,} lines ({'; '.join(named)})"


class _Sending:
    """Frames on their way to the log, a few in one append."""

    def __init__(self, log: LogWriter, accept: Callable[[Frame], None]) -> None:
        self.log, self.accept = log, accept
        self.duplicates = 0
        self._accepted = False
        self._waiting: list[Frame] = []

    def send(self, frames: Iterator[Frame]) -> None:
        for frame in frames:
            if not self._accepted:
                self.accept(frame)
                self._accepted = True
            self._waiting.append(frame)
            if len(self._waiting) >= APPEND_FRAMES:
                self.flush()

    def flush(self) -> None:
        if self._waiting:
            self.duplicates += self.log.append(self._waiting).duplicates
            self._waiting = []
        self.log.flush()


def _end(account: ReadAccount, clamped: int) -> RecordingEnd:
    """Return what was read, as the log keeps it."""
    return RecordingEnd(
        events=dict(sorted(account.events.items())),
        ignored=dict(sorted(account.ignored.items())),
        not_understood=account.not_understood,
        examples=tuple(account.examples),
        failed_allocs=account.failed_allocs,
        clamped=clamped,
        lost_events=account.lost_events,
        truncated=account.truncated,
        lines=account.lines,
        lines_of_kinds=tuple(
            LinesOfKind(
                kind=kind, what=what, lines=found.lines, first_line=found.first_line or None, text=found.text or None
            )
            for (what, kind), found in sorted(account.kinds.items())
        ),
        **({"records": account.records, "records_unread": account.unread} if account.unread else {}),
    )
