"""pagetrail audit: replay against the kernel's own dumps."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    CorrectOption,
    FoldOption,
    JsonOption,
    StreamOption,
    TrailOption,
    out,
    say,
    say_damage,
)
from pagetrail.commands.questions.audit_sums import Sums, audit_sums
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.text.audit import audits_text, differences_text
from pagetrail.text.json_text import json_text

Rows = list[dict[str, Any]]


def audit(
    dump: Annotated[Path | None, typer.Argument(help="A page_owner dump that was not ingested.")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="When DUMP was made; without DUMP: one @SNAPSHOT of the recording."),
    ] = None,
    show_stacks: Annotated[
        list[Path] | None,
        typer.Option(
            "--show-stacks",
            metavar="FILE",
            help="page_owner_stacks/show_stacks as it was --at TIME; or once show_handles and once show_stacks_handles.",
        ),
    ] = None,
    allocinfo: Annotated[
        Path | None, typer.Option("--allocinfo", metavar="FILE", help="/proc/allocinfo as it was --at TIME.")
    ] = None,
    sums: Annotated[
        Path | None,
        typer.Option("--sums", metavar="DIR", help="A capture directory: such files of each of its snapshots."),
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Show each page_owner record that differs, with both sides.")
    ] = False,
    trail: TrailOption = DEFAULT_TRAIL,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare replay with the kernel's own dumps, or its sums of pages by stack or call site, by class of difference.

    A record agrees if it has the same pfn, order, pid and gfp mask, and a ts within 20 ms.
    """
    opened = api.open(trail, correct=correct, fold=fold)
    if dump is not None and (show_stacks or allocinfo is not None or sums is not None):
        raise BadArgument(
            "audit DUMP cannot be used with --show-stacks, --allocinfo or --sums: ask one after the other"
        )
    if show_stacks or allocinfo is not None or sums is not None:
        audit_sums(opened, Sums(show_stacks or [], allocinfo, sums, at), stream, records=records, as_json=as_json)
        return
    if dump is not None:
        if at is None:
            raise BadArgument("audit DUMP requires --at TIME, the instant at which the dump was made")
        rows, differing = _foreign(opened, dump, at, stream)
        free: Rows = []
    else:
        name = at.removeprefix("@") if at else None
        rows, free = (_own(opened, view, name, stream) for view in ("page_owner", "kpageflags"))
        if not rows and not free:
            raise NotFound(f"no dump {at or ''} was replayed with this stream; 'pagetrail streams' lists its snapshots")
        differing = opened.differences(name, stream=stream).to_pylist() if records or as_json else []
    if as_json:
        out(json_text({"dumps": rows, "free_pages": free, "differences": differing}))
    else:
        _show(rows, free, opened.time_text(stream))
        if records:
            out(differences_text(differing))
        elif dump is None and any(row["agree"] < row["records"] for row in rows):
            say("'pagetrail audit --records' shows each record that differs, with both sides")
    say_damage(opened, stream)


def _show(rows: Rows, free: Rows, time: Callable[[int], str]) -> None:
    if rows:
        out(audits_text(rows, time=time))
    if free:
        out("\n" * bool(rows) + "pages that the kernel's kpageflags proves free:\n" + audits_text(free, "pages", time))


def _own(opened: "api.Trail", view: str, name: str | None, stream: str | None) -> Rows:
    """Return the audits of the recording's own dumps; of snapshot *name*, if it is given."""
    rows = opened.audits(view=view, stream=stream).to_pylist()
    return [row for row in rows if name in (None, row["name"])]


def _foreign(opened: "api.Trail", dump: Path, at: str, stream: str | None) -> tuple[Rows, Rows]:
    numbers, differences = opened.audit_dump(dump, at, stream=stream)
    rows = [row | {name: dict(row[name]) for name in ("classes", "sections")} for row in numbers.to_pylist()]
    return rows, differences.to_pylist()
