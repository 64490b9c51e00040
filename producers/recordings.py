"""Open the input that the user names as one recording: a capture directory, a trace, a dump, or stdin."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from pagetrail.producers.arrangement import MERGED, arrange
from pagetrail.producers.capture.directory import Capture
from pagetrail.producers.detail_rows import coverage_row, detail_row
from pagetrail.producers.dump_given import STACK_HANDLES, Given
from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.page_owner.alone import PageOwnerFile
from pagetrail.producers.formats.perf_data.several import outputs_in
from pagetrail.producers.formats.recognise import opener
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.formats.tracepoints.symbols import symbols_of
from pagetrail.producers.formats.tracepoints.vmlinux import linked_symbols
from pagetrail.producers.inputs import Input, Source
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.ordering import in_order
from pagetrail.producers.parsed import Parser, ReadAccount
from pagetrail.producers.recording_info import Recording, RecordingInfo
from pagetrail.producers.spool import at_hand
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import CLOCK_SKEW_OPTION, PAGE_BYTES_OPTION, Boot, Covered
from pagetrail.schemas.errors import BadArgument, TruncatedInput
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT


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
    anew
        Where the trace begins anew: the times before and behind.
    """

    def __init__(
        self,
        stream: Input,
        parser: Parser,
        *,
        covers: tuple[Covered, ...] = (),
        anew: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._stream, self._parser, self._covers, self._anew = stream, parser, covers, anew
        self.account: ReadAccount = parser.account

    def batches(self) -> Iterator[EventBatch]:
        """Yield the trace's events; before them, what the operator declares."""
        with self._stream:
            covers = self._covers
            for batch in in_order(self._parser.batches(), self.account, self._anew):
                if covers and len(batch):
                    yield coverage_row(int(batch.columns["trace_ts_nsec"][0]), covers)
                    covers = ()
                yield batch
            if self._stream.truncated:
                self.account.truncated = str(self._stream.truncated)


class WithBoot:
    """A file of whose machine something is known, by its header or by its operator: a BOOT row before its events says so.

    Parameters
    ----------
    boot
        The kernel's release and its names of gfp flags, the size of a page.
    """

    def __init__(self, parser: Parser, boot: Boot) -> None:
        self._parser, self._boot = parser, boot
        self.account: ReadAccount = parser.account

    def batches(self) -> Iterator[EventBatch]:
        """Yield the BOOT row, and the events."""
        begun = False
        for batch in self._parser.batches():
            if not begun and len(batch):
                yield detail_row(Kind.BOOT, int(batch.columns["trace_ts_nsec"][0]), self._boot)
                begun = True
            yield batch


def open_recording(
    path: Path | str | Source,
    *,
    host: str | None = None,
    boot_id: str | None = None,
    covers: tuple[Covered, ...] = (),
    probes: bool = True,
    vmemmap_base: int | None = None,
    clock_skew: int = 0,
    kernel_release: str | None = None,
    gfp_table: Mapping[str, int] | None = None,
    page_shift: int | None = None,
    kallsyms: Path | None = None,
    vmlinux: Path | None = None,
    dump: Given | None = None,
    spool: Path | None = None,
    cut: TruncatedInput | None = None,
    follow_links: bool = False,
    formats: tuple[Format, ...] = FORMATS,
) -> Recording:
    """Open *path*: a file or a capture directory, stdin for ``-``, or a file that was found in another one.

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
    kernel_release
        ``uname -r`` of the recorded kernel; what the recording says of it is overruled.
    gfp_table
        Names of gfp flags of the recorded kernel, to their bits, where the recording does not have them.
    page_shift
        log2 of the bytes of the machine's pages, where the recording does not say.
    kallsyms
        Symbols of the recorded boot, which name the addresses of stacks.
    vmlinux
        The same of the kernel as it was linked (ELF, or System.map), where *kallsyms* is not given.
    dump
        What the user says of a dump alone.
    spool
        Where stdin is kept until it has ended, and what has to be merged: see ``spooled``.
    cut
        Why a file of a capture directory ends in the middle, if one does and its own bytes do not say so.
    follow_links
        Of a capture directory: follow links that lead out of it.
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
    if page_shift is not None:
        options[PAGE_BYTES_OPTION] = str(1 << page_shift)
    options |= {} if dump is None else dump.options()
    if clock_skew:
        options[CLOCK_SKEW_OPTION] = str(clock_skew)
    if kernel_release is not None:
        options["kernel_release"] = kernel_release
    if gfp_table is not None:
        options["gfp_table"] = ",".join(f"{name}={bits:#x}" for name, bits in gfp_table.items())
    symbols = None if kallsyms is None else symbols_of(kallsyms)
    if symbols is not None:
        options["kallsyms"] = symbols.digest
    elif vmlinux is not None:
        symbols = linked_symbols(vmlinux)
        options["vmlinux"] = symbols.digest
    given = RecordedKernel(
        gfp_flags=gfp_table or {}, gfp_from="--gfp-table", vmemmap_base=vmemmap_base, release=kernel_release, symbols=symbols,
    )  # fmt: skip
    if not isinstance(path, Source) and str(path) != "-" and Path(path).is_dir():
        path = outputs_in(Path(path)) or path
    if not isinstance(path, Source) and str(path) != "-" and Path(path).is_dir():
        _only_of_dumps(str(path), "a capture directory", dump)
        capture = Capture(
            Path(path), probes=probes, covers=covers, given=given, page_shift=page_shift, cut=cut,
            follow_links=follow_links, formats=formats,
        )  # fmt: skip
        return Recording(info=_named(capture.info, host, boot_id, options), parser=capture)
    with nullcontext(path) if isinstance(path, Source) else at_hand(path, spool) as source:
        arrangement = arrange(source, formats)
        found, head = arrangement.found, arrangement.head
        opens = opener(found, source.name, formats, head)
        stream = arrangement.open(spool)
    try:
        said = found.origin_of(source, head)
        kernel = given if given.release else replace(given, release=said.release)
        parser = opens(stream, kernel)
        reads = parser if isinstance(parser, PageOwnerFile) else None
        if reads is None:
            _only_of_dumps(stream.source, found.name, dump)
        elif dump is not None:
            reads.given = dump
    except BaseException:
        stream.close()
        raise
    info = RecordingInfo(
        host=said.host, boot_id=None, recording_id=arrangement.content_id, format=found.name, source=stream.source,
        trace_clock=said.trace_clock,
        gfp_read_for=kernel.gfp.read_for if found.tracer else None,
        gfp_known=(found.raw or kernel.gfp.known) if found.tracer else None,
        notes=[*([MERGED.format(arrangement.merged)] if arrangement.merged else []), *_unread_gfp(found, kernel)],
    )  # fmt: skip
    if covers and not found.tracer:
        info.notes.append(f"--covers does not apply: {found.name} has no events, and covers none")
    if found.declares is not None:
        parser = found.declares(parser)
    if found.tracer:
        parser = TraceFile(stream, parser, covers=covers, anew=arrangement.anew)
    if page_shift is not None or kernel.release or kernel.gfp_flags:
        shift = PAGE_SHIFT if page_shift is None else page_shift
        parser = WithBoot(parser, Boot(release=kernel.release, gfp_flags=dict(kernel.gfp_flags), page_shift=shift))
    return Recording(info=_named(info, host, boot_id, options), parser=parser, file=stream, dump=reads)


def _only_of_dumps(source: str, what: str, given: Given | None) -> None:
    """Refuse what the user says of a dump, of something else."""
    if given is not None and (said := given.options()):
        names = " and ".join("show_stacks_handles" if name == STACK_HANDLES else f"--{name}" for name in said)
        raise BadArgument(f"{source}: expected a page_owner dump alone with {names}, found {what}")


def _unread_gfp(found: Format, kernel: RecordedKernel) -> list[str]:
    said = kernel.unread_gfp() if found.tracer and not found.raw else None
    return [] if said is None else [said]


def _named(info: RecordingInfo, host: str | None, boot_id: str | None, options: dict[str, str]) -> RecordingInfo:
    return replace(info, host=host or info.host, boot_id=boot_id or info.boot_id, options={**info.options, **options})
