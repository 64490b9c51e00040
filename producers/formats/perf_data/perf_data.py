"""perf.data as a format: how a file of it is recognised and opened."""

from dataclasses import replace
from typing import Final

from pagetrail.producers.formats.format import Format, Origin
from pagetrail.producers.formats.perf_data.declared import SelfDeclared, declared_kinds
from pagetrail.producers.formats.perf_data.header import Header
from pagetrail.producers.formats.perf_data.reader import PerfData
from pagetrail.producers.formats.perf_data.several import NEXT, Records, parts_of
from pagetrail.producers.formats.tracepoints.held_bytes import HeldBytes
from pagetrail.producers.formats.tracer import PERF
from pagetrail.producers.inputs import Input, Source
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import Parser


def _first(parts: list[Records]) -> Header:
    header = parts[0].header
    assert header is not None  # a thread's records stand behind those of the first file
    return header


def _opened(stream: Input, kernel: RecordedKernel) -> PerfData:
    data = HeldBytes(stream, "perf")
    parts = parts_of(stream.source, data.read, data.size, stream.names)
    header = _first(parts)
    known = kernel if kernel.release else replace(kernel, release=header.release)
    return PerfData(header, parts, data.read, source=stream.source, kernel=known)


def _declaring(parser: Parser) -> Parser:
    """Return *parser* with the coverage that its file declares. What is several files may miss one."""
    if not isinstance(parser, PerfData) or parser.header.cpus is None or len(parser.parts) > 1:
        return parser
    kinds = declared_kinds(parser.header)
    return SelfDeclared(parser, kinds, parser.header.cpus) if kinds else parser


def _about(source: Source) -> Origin:
    with source.open() as stream:
        data = HeldBytes(stream, "perf")
        header = _first(parts_of(source.name, data.read, data.size, stream.names))
    return Origin(host=header.hostname, release=header.release, trace_clock=header.clock)


PERF_DATA: Final = Format(
    name="perf.data",
    phrase="a perf.data",
    magics=(b"PERFILE2", b"2ELIFREP", NEXT),  # tools/perf/util/header.c, __perf_magic2, in both byte orders
    opens=_opened,
    declares=_declaring,
    about=_about,
    raw=True,
    tracer=PERF,
    trace_names=("perf.data",),
)
