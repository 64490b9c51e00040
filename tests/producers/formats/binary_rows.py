"""What binary traces are read as: rows, gaps and events; and mutants of their bytes."""

import random
import struct
from pathlib import Path

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Gap

Rows = list[dict[str, object]]


def rows_of(path: Path, wanted: Format, kernel: RecordedKernel | None = None) -> tuple[Rows, ReadAccount]:
    """Return the rows of a file, which has to be recognised as *wanted*, each without what it does not have, and the account."""
    source = source_of(path)
    found, _ = recognised(source)
    assert found is wanted
    assert found.opens is not None
    with source.open(text=True) as stream:
        parser = found.opens(stream, kernel or RecordedKernel())
        batches = list(parser.batches())
    rows = to_arrow(concat(batches)).to_pylist() if batches else []
    return [{name: value for name, value in row.items() if value is not None} for row in rows], parser.account


def gaps(rows: Rows) -> list[Gap]:
    """Return the gaps among *rows*."""
    return [Gap.model_validate_json(str(row["detail"])) for row in rows if row["kind"] == Kind.GAP]


def events(rows: Rows) -> list[tuple[object, ...]]:
    """Return time, kind and page of the others."""
    return [(row["trace_ts_nsec"], row["kind"], row.get("pfn")) for row in rows if row["kind"] != Kind.GAP]


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Return *data* harmed: bytes, numbers, a piece that is gone, there twice or moved, an end that is missing."""
    harmed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, len(harmed)))
        size = min(rng.choice((1, 2, 4, 8, 40, 400)), len(harmed) - at)
        way = rng.randrange(6)
        if way == 0:
            harmed[at : at + size] = rng.randbytes(size)
        elif way == 1:
            harmed[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
        elif way == 2:
            del harmed[at : at + size]
        elif way == 3:
            harmed[at:at] = harmed[at : at + size]
        elif way == 4:
            at -= at % 8
            harmed[at : at + 8] = struct.pack(
                "<Q", rng.choice((0, 1, 7, 1 << 16, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1))
            )
        elif rng.random() < 0.3:
            del harmed[at:]
    return bytes(harmed)
