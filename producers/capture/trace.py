"""Find the trace of a capture directory, and its twins."""

from dataclasses import dataclass
from pathlib import Path

from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.formats.format import Format, Opener
from pagetrail.producers.formats.recognise import opener, recognise
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.formats.tracer import Tracer
from pagetrail.producers.inputs import source_of
from pagetrail.schemas.errors import InputError


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
    """

    path: Path
    found: Format
    opens: Opener
    tracer: Tracer
    clock: str | None
    twins: tuple[str, ...]


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
    for path in unread:
        opener(_format_of(path, formats), path.name, formats)  # says what to give instead
    inner = sorted(name for name in folder.folders(".") if _present(CaptureFolder(directory / name), names))
    if said := "; ".join(folder.notes):
        raise InputError(f"{expected}; found none that may be read: {said}")
    if inner:
        raise InputError(f"{expected}; found directories that have one: {', '.join(inner)}: give them one by one")
    raise InputError(f"{expected}; found none: give its page_owner dumps one by one, if they are what it holds")


def _trace(path: Path, twins: tuple[str, ...], formats: tuple[Format, ...]) -> CaptureTrace:
    source = source_of(path)
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
    return CaptureTrace(path=path, found=found, opens=opens, tracer=found.tracer, clock=clock, twins=twins)


def _trace_names(formats: tuple[Format, ...], *, read: bool) -> list[str]:
    return [name for found in formats if (found.opens is not None) == read for name in found.trace_names]


def _present(folder: CaptureFolder, names: list[str]) -> list[Path]:
    return [path for name in names if (path := folder.find(name))]


def _format_of(path: Path, formats: tuple[Format, ...]) -> Format:
    return recognise(source_of(path).head(), path.name, formats)
