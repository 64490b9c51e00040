"""Files of trace.dat in every version, and what is read of them."""

from dataclasses import replace
from pathlib import Path

from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.columns import Kind
from tests.producers.formats.binary_rows import Rows, rows_of
from tests.producers.formats.trace_dat.maker import Made, alloc, free, page, record

T = 1_000_000_000
WAYS = {
    "6": Made.version_6, "7": lambda made: made.version_7("none"), "7 zstd": Made.version_7,
    "7 zlib": lambda made: made.version_7("zlib", pages_in_chunk=1),
}  # fmt: skip
TWO = Made(
    cpus=(
        [page(T, [record(1, alloc(256, 2)), record(4, free(256, 2))]), page(T + 10, [record(0, free(300))])],
        [page(T + 2, [record(0, alloc(400, pid=9)), record(5, free(400, pid=8))])],
    )
)
EXPECTED = [
    {"trace_ts_nsec": T + 1, "kind": Kind.ALLOC, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 256, "order": 2, "gfp_mask": 0xCC0,
     "migratetype": 1},
    {"trace_ts_nsec": T + 2, "kind": Kind.ALLOC, "cpu": 1, "pid": 9, "comm": "other", "pfn": 400, "order": 0, "gfp_mask": 0xCC0,
     "migratetype": 1},
    {"trace_ts_nsec": T + 5, "kind": Kind.FREE, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 256, "order": 2},
    {"trace_ts_nsec": T + 7, "kind": Kind.FREE, "cpu": 1, "pid": 8, "pfn": 400, "order": 0},
    {"trace_ts_nsec": T + 10, "kind": Kind.FREE, "cpu": 0, "pid": 7, "comm": "worker", "pfn": 300, "order": 0},
]  # fmt: skip
"""The rows of ``TWO``."""


def read(tmp_path: Path, data: bytes, *, kernel: RecordedKernel | None = None) -> tuple[Rows, ReadAccount]:
    """Return the rows of a file, and the account."""
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    return rows_of(path, TRACE_DAT, kernel)


def one_cpu(tmp_path: Path, *pages: bytes, **said: object) -> tuple[Rows, ReadAccount]:
    """Return the same of a file with the pages of one CPU."""
    return read(tmp_path, replace(Made(), cpus=[list(pages)], **said).version_6())  # type: ignore[arg-type]
