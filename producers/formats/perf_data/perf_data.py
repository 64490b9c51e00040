"""perf.data as a format: how a file of it is recognised and opened."""

from dataclasses import replace
from typing import Final

from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.perf_data.header import read_header
from pagetrail.producers.formats.perf_data.reader import PerfData
from pagetrail.producers.formats.tracepoints.held_bytes import HeldBytes
from pagetrail.producers.formats.tracer import PERF
from pagetrail.producers.inputs import Input, Source
from pagetrail.producers.meaning import RecordedKernel


def _opened(stream: Input, kernel: RecordedKernel) -> PerfData:
    data = HeldBytes(stream, "perf")
    header = read_header(stream.source, data.read, data.size)
    known = kernel if kernel.release else replace(kernel, release=header.release)
    return PerfData(header, data.read, source=stream.source, kernel=known)


def _about(source: Source) -> Origin:
    with source.open() as stream:
        data = HeldBytes(stream, "perf")
        header = read_header(source.name, data.read, data.size)
    return Origin(host=header.hostname, release=header.release, trace_clock=header.clock)


PERF_DATA: Final = Format(
    name="perf.data",
    phrase="a perf.data",
    magics=(b"PERFILE2", b"2ELIFREP"),  # tools/perf/util/header.c, __perf_magic2, in both byte orders
    opens=_opened,
    about=_about,
    raw=True,
    tracer=PERF,
    trace_names=("perf.data",),
)
