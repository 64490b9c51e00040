"""All pages at an instant, a line a run."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pagetrail.schemas.times import as_text
from pagetrail.text.tables import DUMP_COLUMNS, dump_cells, hex_text, stack_text, table_parts

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN: Final = (
    "pfn", "nr_pages", "state", "order", "pid", "comm", "gfp_mask", "alloc_ts", "evidence", "certain", "uncertain",
    "kernel_says", "stack", "cgroup", "block_type", "page_flags", "page_flag_names",
)  # fmt: skip
"""The columns of ``Trail.snapshot`` that the table shows."""


def snapshot_text(parts: "Iterable[pa.Table]", time: Callable[[int], str] = as_text) -> Iterator[str]:
    """Yield a snapshot, which comes in parts, as a table, in parts; *time* makes text of a time of the trace clock."""
    columns = (
        "pfn", "pages", "state", "order", "pid", "comm", "gfp_mask", "since", "evidence", "certain", "kernel says",
        *DUMP_COLUMNS, "stack",
    )  # fmt: skip
    cells = (
        (
            r["pfn"], r["nr_pages"], r["state"], r["order"], r["pid"], r["comm"], hex_text(r["gfp_mask"]),
            None if r["alloc_ts"] is None else time(r["alloc_ts"]), r["evidence"],
            "yes" if r["certain"] else "no: " + ",".join(r["uncertain"]),
            _kernel_says(r["kernel_says"]), *dump_cells(r),
            stack_text(r["stack"]) if r["stack"] else None,
        )
        for part in parts for r in part.to_pylist()
    )  # fmt: skip
    return table_parts(columns, cells, right=("pfn", "pages", "order", "pid", "since"), optional=DUMP_COLUMNS)


def _kernel_says(record: dict[str, Any] | None) -> str | None:
    if record is None:
        return None
    return "no record" if record["state"] == "unknown" else f"{record['state']} pid {record['pid']}"
