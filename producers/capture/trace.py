"""Find the trace of a capture directory, and its twins; or the copies of the kernel's rings, with what says how to read them."""

import re
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.producers.capture.coverage import Losses
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.formats.format import Format, Opener
from pagetrail.producers.formats.recognise import opener, recognise
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.formats.trace_dat.raw_rings import RawRings
from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.formats.tracer import Tracer
from pagetrail.producers.inputs import SUFFIXES, Source, source_of
from pagetrail.producers.spool import held
from pagetrail.schemas.errors import InputError

PER_CPU: Final = "per_cpu"
RAW: Final = "trace_pipe_raw"
_CPU: Final = re.compile(r"cpu([0-9]{1,4})")
_MOST_FORMATS: Final = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureTrace:
    """The trace of a capture directory.

    Attributes
    ----------
    found
        Its format.
    clock
        What the trace itself says of its clock; null: nothing.
    twins
        Names of the other recordings of the same time in it, which are not read.
    source
        What is read: the file *path*, or what was made of the copies of rings in it.
    """

    path: Path
    found: Format
    opens: Opener
    tracer: Tracer
    clock: str | None
    twins: tuple[str, ...]
    source: Source

    @property
    def losses(self) -> Losses | None:
        """Returns by CPU how many events the trace says were lost, null where it gives no number; null: its lines say it."""
        found = self.found.losses
        return None if found is None else lambda: found(self.source)

    @property
    def elsewhere(self) -> Collection[str]:
        """Names of events of which the statistics of the capture's rings do not speak: they are of other ones."""
        found = self.found.elsewhere
        return () if found is None else found(self.source)


def find_trace(folder: CaptureFolder, formats: tuple[Format, ...] = FORMATS) -> CaptureTrace:
    """Return the trace of a capture directory.

    Raises
    ------
    InputError
        There is none that can be read; the message says what there is instead.
    """
    names, directory = _trace_names(formats, read=True), folder.path
    expected = (
        f"{directory}: expected a capture directory, with a trace ({', '.join(names)}; plain, .zst, .gz, .xz or .bz2)"
    )
    if not directory.is_dir():
        raise InputError(f"{expected}; found no directory: check the path")
    unread = _present(folder, _trace_names(formats, read=False))
    present = _present(folder, names)
    if present:
        twins = tuple(path.name for path in (*present, *unread)[1:])
        return _trace(present[0], twins, formats)
    if (rings := _find_rings(folder)) is not None:
        file, cut = rings.assembled(None)
        made = held(file, TRACE_DAT.trace_names[0], cut)
        weakref.finalize(made.raw, file.close)
        return _trace(directory / PER_CPU, (), formats, made)
    for path in unread:
        opener(_format_of(path, formats), path.name, formats)  # says what to give instead
    inner = sorted(name for name in folder.folders(".") if _present(CaptureFolder(directory / name), names))
    if said := "; ".join(folder.notes):
        raise InputError(f"{expected}; found none that may be read: {said}")
    if inner:
        raise InputError(f"{expected}; found directories that have one: {', '.join(inner)}: give them one by one")
    raise InputError(f"{expected}; found none: give its page_owner dumps one by one, if they are what it holds")


def _trace(
    path: Path, twins: tuple[str, ...], formats: tuple[Format, ...], source: Source | None = None
) -> CaptureTrace:
    source = source or source_of(path)
    head = source.head()
    found = recognise(head, path.name, formats)
    opens = opener(found, path.name, formats)
    clock = found.origin_of(source, head).trace_clock
    if found.tracer is None:
        raise InputError(f"{path}: expected a trace, found {found.phrase}; give it by itself, or mend the names")
    if found.from_start:
        raise InputError(
            f"{path}: expected times of the trace clock, found {found.phrase}, whose times count from an unknown start and "
            "cannot be compared with the capture's other files; run 'echo 0 > /sys/kernel/tracing/options/latency-format' and "
            "record again, or give the file by itself"
        )
    return CaptureTrace(
        path=path, found=found, opens=opens, tracer=found.tracer, clock=clock, twins=twins, source=source
    )


def _trace_names(formats: tuple[Format, ...], *, read: bool) -> list[str]:
    return [name for found in formats if (found.opens is not None) == read for name in found.trace_names]


def _present(folder: CaptureFolder, names: list[str]) -> list[Path]:
    return [path for name in names if (path := folder.find(name))]


def _format_of(path: Path, formats: tuple[Format, ...]) -> Format:
    return recognise(source_of(path).head(), path.name, formats)


def _find_rings(folder: CaptureFolder) -> RawRings | None:
    """Return the copies of per_cpu/cpuN/trace_pipe_raw in a capture directory; null: it has none.

    Raises
    ------
    InputError
        It has, and no events/header_page, which says how they are to be read.
    """
    pages = dict(sorted(_pages(folder)))
    if not pages:
        return None
    header_page = folder.text("events/header_page") or folder.text("formats/header_page")
    rings = RawRings(
        pages=pages, header_page=header_page or "", formats=tuple(_formats(folder)),
        comms=folder.text("saved_cmdlines.txt") or folder.text("saved_cmdlines") or "",
        clock=folder.text("trace_clock.txt") or folder.text("trace_clock") or "",
    )  # fmt: skip
    if not rings.page_size():
        raise InputError(
            f"{folder.path}: expected events/header_page beside {PER_CPU}/cpu*/{RAW}, found "
            f"{'one that does not say where data are' if header_page else 'none'}; copy it from /sys/kernel/tracing/events, with "
            "the format of each event that was on"
        )
    return rings


def _pages(folder: CaptureFolder) -> Iterator[tuple[int, Path]]:
    for name in folder.folders(PER_CPU):
        cpu = _CPU.fullmatch(name)
        if cpu and (path := folder.find(f"{PER_CPU}/{name}/{RAW}")):
            yield int(cpu[1]), path


def _formats(folder: CaptureFolder) -> Iterator[str]:
    """Yield the texts of events/GROUP/EVENT/format, and of formats/EVENT.format."""
    names = [
        f"events/{group}/{event}/format"
        for group in folder.folders("events")
        for event in folder.folders(f"events/{group}")
    ]
    names += [f"formats/{name}" for name in _files(folder.path / "formats") if name.endswith(".format")]
    for name in sorted(set(names))[:_MOST_FORMATS]:
        text = folder.text(name)
        if text is not None:
            yield text


def _files(path: Path) -> Iterator[str]:
    """Yield the names of the files of a folder, without what says that they are compressed."""
    if path.is_dir():
        for file in path.iterdir():
            yield next(
                (file.name.removesuffix(suffix) for suffix in SUFFIXES if suffix and file.name.endswith(suffix)),
                file.name,
            )
