"""Open the input that the user names as one recording: a capture directory, a trace, a dump, or stdin."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.detail_rows import coverage_row
from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.recognise import HEAD_BYTES, opener, recognise
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.inputs import Input, content_id, open_input, stream_id
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.ordering import in_order
from pagetrail.producers.parsed import Parser, ReadAccount
from pagetrail.producers.recording_info import Recording, RecordingInfo
from pagetrail.producers.spool import open_spooled, spooled
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.details import CLOCK_SKEW_OPTION, Covered


class TraceFile:
    """A trace alone: no constants of its boot, and no coverage but what the operator declares.

    Parameters
    ----------
    stream
        Closed at its end.
    parser
        Reads *stream*.
    covers
        Kinds that the operator knows to be complete, on all CPUs, from the first event on.
    """

    def __init__(self, stream: Input, parser: Parser, *, covers: tuple[Covered, ...] = ()) -> None:
        self._stream, self._parser, self._covers = stream, parser, covers
        self.account: ReadAccount = parser.account

    def batches(self) -> Iterator[EventBatch]:
        """Yield the trace's events; before them, what the operator declares."""
        with self._stream:
            covers = self._covers
            for batch in in_order(self._parser.batches(), self.account):
                if covers and len(batch):
                    yield coverage_row(int(batch.columns["trace_ts_nsec"][0]), covers)
                    covers = ()
                yield batch
            if self._stream.truncated:
                self.account.truncated = str(self._stream.truncated)


def open_recording(
    path: Path | str,
    *,
    host: str | None = None,
    boot_id: str | None = None,
    covers: tuple[Covered, ...] = (),
    probes: bool = True,
    vmemmap_base: int | None = None,
    clock_skew: int = 0,
    spool: Path | None = None,
    formats: tuple[Format, ...] = FORMATS,
) -> Recording:
    """Open *path*, a file or a capture directory, or stdin for ``-``.

    Parameters
    ----------
    host, boot_id
        What the recording says of itself is overruled.
    covers
        Kinds that the operator knows to be complete, on all CPUs, from the first event on.
    probes
        Of a capture directory: read the probes on page_owner.
    vmemmap_base
        Address of the struct page of pfn 0, where the trace alone does not tell.
    clock_skew
        By how much the clocks of two CPUs may differ, ns.
    spool
        Where stdin is kept until it has ended: see ``spooled``.
    formats
        Those that a file, or the trace of a directory, may have.

    Raises
    ------
    InputError
        It is no recording that can be read; the message says what was found and what to do.
    """
    options = {"covers": ",".join(covers)} if covers else {}
    if vmemmap_base is not None:
        options["vmemmap_base"] = hex(vmemmap_base)
    if clock_skew:
        options[CLOCK_SKEW_OPTION] = str(clock_skew)
    if str(path) != "-" and Path(path).is_dir():
        capture = Capture(Path(path), probes=probes, covers=covers, vmemmap_base=vmemmap_base, formats=formats)
        return Recording(info=_named(capture.info, host, boot_id, options), parser=capture)
    stream, recording_id = _opened(path, spool)
    try:
        head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        found = recognise(head, stream.source, formats)
        said = found.origin(head) if found.origin else Origin()
        kernel = RecordedKernel(vmemmap_base=vmemmap_base, release=said.release)
        parser = opener(found, stream.source, formats)(stream, kernel)
    except BaseException:
        stream.close()
        raise
    info = RecordingInfo(
        host=said.host, boot_id=None, recording_id=recording_id, format=found.name, source=stream.source
    )
    if found.tracer:
        parser = TraceFile(stream, parser, covers=covers)
    return Recording(info=_named(info, host, boot_id, options), parser=parser, file=stream)


def _opened(path: Path | str, spool: Path | None) -> tuple[Input, str]:
    """Return a file, or stdin, opened, and the hash of its content."""
    if str(path) != "-":
        recording_id = content_id(path)
        return open_input(path), recording_id
    with spooled(spool) as file:
        with open_spooled(file) as whole:
            recording_id = stream_id(whole)
        return open_spooled(file), recording_id


def _named(info: RecordingInfo, host: str | None, boot_id: str | None, options: dict[str, str]) -> RecordingInfo:
    return replace(info, host=host or info.host, boot_id=boot_id or info.boot_id, options={**info.options, **options})
