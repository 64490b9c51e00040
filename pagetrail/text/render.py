"""Answers for people: tables and sentences. Programs get Arrow, JSON or Parquet instead."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from pagetrail.queries.core.instant import as_text, wall_text
from pagetrail.replay.facts.facts import Facts


def table_text(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> str:
    """Return rows as an aligned table with a header; lines are as long as they are, for whoever pipes them."""
    cells = [list(columns), *(["" if value is None else str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    flush = [str.rjust if name in right else str.ljust for name in columns]
    lines = ("  ".join(f(cell, w) for f, cell, w in zip(flush, row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def json_text(value: object) -> str:
    """Return a table, or any plain value, as JSON: a list of rows for a table."""
    if isinstance(value, pa.Table):
        value = value.to_pylist()
    return json.dumps(value, indent=1, default=str) + "\n"


def json_rows(table: pa.Table) -> Iterable[str]:
    """Yield a table as a JSON array, batch by batch."""
    separator = "[\n"
    for batch in table.to_batches(max_chunksize=16_384):
        for row in batch.to_pylist():
            yield separator + json.dumps(row, default=str)
            separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def size_text(size: int) -> str:
    """Return a number of bytes with a binary unit."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def duration_text(nanoseconds: int | None) -> str:
    """Return a length of time for people."""
    return "" if nanoseconds is None else f"{nanoseconds / 1e9:.3f} s"


def owner_text(row: dict[str, Any], facts: Facts) -> str:
    """Return one answer to *who owned this page then* as a few lines: the answer, how it is known, how sure it is."""
    at = f"at {as_text(row['asked_ts'])}" + (f" ({wall})" if (wall := wall_text(row["asked_ts"], facts)) else "")
    lines = [f"pfn {row['asked_pfn']} ({hex(row['asked_pfn'])}) {at}: {_headline(row)}"]
    if row["state"] == "owned":
        lines += _owner_lines(row, "  ")
    if row["state"] == "free" and row["free_pid"] is not None:
        last = (
            f"; last owner seen: pid {row['last_pid']} {row['last_comm'] or ''}" if row["last_pid"] is not None else ""
        )
        lines.append(f"  freed by  pid {row['free_pid']} {row['free_comm'] or ''}{last}")
    if row["kernel_says"] is not None:
        lines.append(f"  kernel    says otherwise, and is known to be wrong here: {_headline(row['kernel_says'])}")
    lines += _page_ext_lines(row["page_ext"])
    lines += _evidence_lines(row)
    return "\n".join(lines) + "\n"


def _headline(row: dict[str, Any]) -> str:
    if row["state"] != "owned":
        return str(row["state"])
    tgid = "" if row["tgid"] is None else f" tgid {row['tgid']}"
    return f"owned by pid {row['pid']}{tgid} ({row['comm'] or '?'}), order {row['order']}, gfp {_hex(row['gfp_mask'])}"


def _owner_lines(row: dict[str, Any], indent: str) -> list[str]:
    block = (
        f"pages {row['block_pfn']} to {row['block_pfn'] + (1 << row['order']) - 1}" if row["order"] is not None else ""
    )
    lines = [f"{indent}block     {block}; run of {row['nr_pages']} from {row['pfn']}"]
    if row["alloc_ts"] is not None:
        lines.append(f"{indent}since     {as_text(row['alloc_ts'])} (trace clock)")
    if row["ts_nsec"] is not None:
        lines.append(f"{indent}ts_nsec   {row['ts_nsec']} (page_owner's clock)")
    if row["src_pfn"] is not None:
        lines.append(f"{indent}migrated  from pfn {row['src_pfn']}")
    if row["stack"]:
        frames = row["stack"].split("\n")
        lines.append(f"{indent}stack     {frames[0]}")
        lines += [f"{indent}          {frame}" for frame in frames[1:]]
    return lines


def _page_ext_lines(said: list[dict[str, Any]]) -> list[str]:
    lines = []
    for i, value in enumerate(said):
        name = f"{value['client']}.{value['field']}"
        known = (
            f"{value['value']}, {value['evidence']} at {as_text(value['begin_ts'])}"
            if value["value"] is not None
            else "unknown"
        )
        lines.append(f"  {'page_ext' if i == 0 else '':<9} {name}: {known}{'' if value['certain'] else ' (advisory)'}")
    return lines


def _evidence_lines(row: dict[str, Any]) -> list[str]:
    if row["evidence"] == "none":
        known = "nothing"
    else:
        known = (
            f"{row['evidence']}: {row['how']} at {as_text(row['begin_ts'])}, event {row['event']} of {row['recording']}"
        )
    sure = "certain" if row["certain"] else f"not certain of {', '.join(row['uncertain'])}"
    lines = [f"  known by  {known}", *_proof_lines(row), f"  sure      {sure}"]
    if row["why"]:
        lines.append(f"  why not   {row['why']}")
    lines.append(f"  horizon   {as_text(row['horizon'])}")
    return lines


def _proof_lines(row: dict[str, Any]) -> list[str]:
    """Where the events lie that prove the answer: ``pagetrail event`` shows them."""
    if row["evidence"] == "none":
        return []
    lines = [f"  proof     {_place(row['log_offset'], row['event'], row['recording'])}"]
    if row["evidence_event"] != row["event"] or row["evidence_recording"] != row["recording"]:
        where = _place(row["evidence_log_offset"], row["evidence_event"], row["evidence_recording"])
        lines.append(f"            whose evidence is {where}, as of {as_text(row['evidence_ts'])}")
    return lines


def _place(offset: int | None, event: int, recording: str) -> str:
    if offset is None:
        return f"event {event} of recording {recording}, not in the trail's own log"
    return f"log offset {offset}, event {event}"


def _hex(value: int | None) -> str:
    return "?" if value is None else hex(value)


def stack_text(stack: str | None) -> str:
    """Return a stack on one line, the innermost function first."""
    return "(not recorded)" if stack is None else " < ".join(stack.split("\n"))
