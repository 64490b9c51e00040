"""pagetrail snapshot: all pages at an instant."""

import enum
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    AsOfOption,
    CorrectOption,
    StreamOption,
    TrailOption,
    WaitOption,
    out,
)
from pagetrail.commands.pages import AtOption
from pagetrail.queries.core.instant import as_text
from pagetrail.queries.export.page_owner_text import page_owner_records
from pagetrail.text.render import json_rows, stack_text, table_text


class Format(enum.StrEnum):
    """Forms of a snapshot."""

    TABLE = "table"
    PAGE_OWNER = "page_owner"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


def snapshot(
    at: AtOption,
    trail: TrailOption = DEFAULT_TRAIL,
    form: Annotated[Format, typer.Option("--format", help="page_owner is the kernel's own text.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Free and unknown pages too.")] = False,
    wait: WaitOption = 0.0,
    as_of: AsOfOption = None,
    stream: StreamOption = None,
    correct: CorrectOption = None,
) -> None:
    """Write all pages as they were then: a row a run of pages with one owner and one certainty."""
    opened = api.open(trail, correct=correct, stream=stream, times=[at], wait=wait)
    form = Format.JSON if as_json else form
    if form is Format.PAGE_OWNER:
        chosen = opened.stream(stream).as_of(as_of)
        _text(output, page_owner_records(chosen, chosen.instant(at)))
        return
    rows = opened.snapshot(at, everything=everything, stream=stream, as_of=as_of)
    if form is Format.TABLE:
        _text(output, [_table(rows)])
    elif form is Format.JSON:
        _text(output, json_rows(rows))
    else:
        _binary(output, rows, form)


def _table(rows: pa.Table) -> str:
    columns = (
        "pfn",
        "pages",
        "state",
        "order",
        "pid",
        "comm",
        "gfp_mask",
        "since",
        "evidence",
        "certain",
        "kernel says",
        "stack",
    )
    return table_text(
        columns,
        [
            (
                r["pfn"], r["nr_pages"], r["state"], r["order"], r["pid"], r["comm"],
                None if r["gfp_mask"] is None else hex(r["gfp_mask"]),
                None if r["alloc_ts"] is None else as_text(r["alloc_ts"]), r["evidence"],
                "yes" if r["certain"] else "no: " + ",".join(r["uncertain"]),
                None if r["kernel_says"] is None else f"{r['kernel_says']['state']} pid {r['kernel_says']['pid']}",
                stack_text(r["stack"]) if r["stack"] else None,
            )
            for r in rows.to_pylist()
        ],
        right=("pfn", "pages", "order", "pid", "since"),
    )  # fmt: skip


def _text(output: Path | None, parts: Iterable[str]) -> None:
    if output is None:
        for part in parts:
            out(part)
        return
    with output.open("w") as file:
        file.writelines(parts)


def _binary(output: Path | None, rows: pa.Table, form: Format) -> None:
    if output is None:
        _encode(sys.stdout.buffer, rows, form)
        return
    with output.open("wb") as file:
        _encode(file, rows, form)


def _encode(sink: BinaryIO, rows: pa.Table, form: Format) -> None:
    if form is Format.PARQUET:
        pq.write_table(rows, sink, compression="zstd")
        return
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
