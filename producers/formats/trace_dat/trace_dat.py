"""trace.dat as a format: how a file of it is recognised and opened."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.trace_dat.buffers import clock_of, elsewhere, losses
from pagetrail.producers.formats.trace_dat.file_header import read_file
from pagetrail.producers.formats.trace_dat.reader import TraceDat
from pagetrail.producers.formats.tracepoints.held_bytes import HeldBytes
from pagetrail.producers.formats.tracepoints.tracing_data import MAGIC
from pagetrail.producers.formats.tracer import FTRACE
from pagetrail.producers.inputs import Input, Source
from pagetrail.producers.meaning import RecordedKernel


def _opened(stream: Input, kernel: RecordedKernel) -> TraceDat:
    data = HeldBytes(stream, "trace")
    found = read_file(stream.source, data.read, data.size)
    known = kernel if kernel.release else replace(kernel, release=found.release)
    return TraceDat(found, data.read, data.size, kernel=known)


def _about(source: Source) -> Origin:
    with source.open() as stream:
        data = HeldBytes(stream, "trace")
        found = read_file(source.name, data.read, data.size)
        clock = clock_of(found, data.read, data.size)
    return Origin(host=found.hostname, release=found.release, trace_clock=clock or None)


def _losses(source: Source) -> Mapping[int, int | None]:
    with source.open() as stream:
        data = HeldBytes(stream, "trace")
        return losses(read_file(source.name, data.read, data.size), data.read, data.size)


def _elsewhere(source: Source) -> frozenset[str]:
    with source.open() as stream:
        data = HeldBytes(stream, "trace")
        return elsewhere(read_file(source.name, data.read, data.size), data.read, data.size)


TRACE_DAT: Final = Format(
    name="trace.dat",
    phrase="a trace.dat",
    magics=(MAGIC,),
    opens=_opened,
    about=_about,
    raw=True,
    tracer=FTRACE,
    trace_names=("trace.dat",),
    losses=_losses,
    elsewhere=_elsewhere,
)
