"""pagetrail audit: replay against the kernel's own dumps."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pagetrail import api
from pagetrail.commands.options import DEFAULT_TRAIL, CorrectOption, JsonOption, StreamOption, TrailOption, out, say
from pagetrail.queries.core.instant import as_text
from pagetrail.replay.facts.facts import plain
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.text.render import json_text, table_text


def audit(
    dump: Annotated[Path | None, typer.Argument(help="A page_owner dump that was not ingested.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Of the dump; or one @SNAPSHOT of the recording's own.")
    ] = None,
    records: Annotated[bool, typer.Option("--records", help="Each record that differs, with both sides.")] = False,
    trail: TrailOption = DEFAULT_TRAIL,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold replay against the kernel's own dumps, by class of difference.

    An agreeing record has the same pfn, order, pid and gfp mask, and a ts within 20 ms.
    """
    opened = api.open(trail, correct=correct)
    if dump is not None:
        if at is None:
            raise BadArgument("audit DUMP: expected --at TIME, the instant at which the dump was made")
        chosen = opened.stream(stream)
        from pagetrail.queries.questions.audit_dump import (
            audit_dump,  # here, as its parser takes half a second to import
        )

        found, differences = audit_dump(chosen, dump, chosen.instant(at))
        rows = [plain(found) | {"share": 100.0 * found.agree / found.records}]
        differing = differences.to_pylist()
    else:
        name = at.removeprefix("@") if at else None
        rows = [row for row in opened.audits(stream=stream).to_pylist() if name in (None, row["name"])]
        if not rows:
            raise NotFound(f"no dump {at or ''} was replayed with this stream; 'pagetrail streams' lists its snapshots")
        differing = opened.differences(name, stream=stream).to_pylist() if records or as_json else []
    free = [] if dump is not None else opened.audits(view="kpageflags", stream=stream).to_pylist()
    free = [row for row in free if at is None or row["name"] == at.removeprefix("@")]
    if as_json:
        out(json_text({"dumps": rows, "free_pages": free, "differences": differing}))
        return
    _table(rows)
    if free:
        out("\npages that the kernel's kpageflags proves free:\n")
        _table(free, "pages")
    if records:
        _records(differing)
    elif dump is None and any(row["agree"] < row["records"] for row in rows):
        say.print("each record that differs, with both sides: pagetrail audit --records")


def _table(rows: list[dict[str, Any]], counted: str = "records") -> None:
    columns = ("dump", "at", counted, "agree", "share %", "extra", "use", "the rest, by class of difference")
    table = []
    for r in rows:
        classes = dict(r["classes"])
        classes.pop("not in the dump", None)
        rest = ", ".join(f"{name}: {count:,}" for name, count in sorted(classes.items(), key=lambda item: -item[1]))
        use = "state was set by it" if r["applied"] else "audit only"
        table.append(
            (r["name"], as_text(r["ts"]), r["records"], r["agree"], f"{r['share']:.2f}", r["extra"], use, rest)
        )
    out(table_text(columns, table, right=("at", counted, "agree", "share %", "extra")))


def _records(rows: list[dict[str, Any]]) -> None:
    columns = (
        "dump",
        "pfn",
        "class",
        "kernel: order",
        "pid",
        "gfp_mask",
        "ts_nsec",
        "replay: order",
        "pid ",
        "gfp_mask ",
        "ts_nsec ",
    )
    table = [
        (
            r.get("name"), r["pfn"], r.get("class"), r["kernel_order"], r["kernel_pid"], _hex(r["kernel_gfp_mask"]),
            r["kernel_ts_nsec"], r["order"], r["pid"], _hex(r["gfp_mask"]), r["ts_nsec"],
        )
        for r in rows
    ]  # fmt: skip
    out(table_text(columns, table))


def _hex(value: int | None) -> str | None:
    return None if value is None else hex(value)
