"""Replay against the kernel's dumps: a line a dump, and a line a page_owner record that differs."""

from collections.abc import Callable
from typing import Any, Final

from pagetrail.schemas.times import as_text
from pagetrail.text.tables import hex_text, stack_text, table_text

Row = dict[str, Any]

_STACKS_SHOWN: Final = 10


def audits_text(rows: list[Row], counted: str = "records", time: Callable[[int], str] = as_text) -> str:
    """Return rows of ``Trail.audits``; *counted* names what was compared, *time* makes text of a time of the trace clock."""
    columns = ("dump", "at", counted, "agree", "share %", "extra", "use", "the rest, by class of difference")
    table = []
    for r in rows:
        classes = [item for item in dict(r["classes"]).items() if item[0] != "not in the dump"]
        rest = ", ".join(f"{name}: {count:,}" for name, count in sorted(classes, key=lambda item: -item[1]))
        use = "set the state" if r["applied"] else "audit only"
        share = "" if r["share"] is None else f"{r['share']:.2f}"
        table.append((r["name"], time(r["ts"]), r["records"], r["agree"], share, r["extra"], use, rest))
    return table_text(columns, table, right=("at", counted, "agree", "share %", "extra"))


def differences_text(rows: list[Row]) -> str:
    """Return rows of ``Trail.differences``: the kernel's side, then that of replay."""
    columns = (
        "dump", "pfn", "class", "kernel: order", "pid", "gfp_mask", "ts_nsec", "replay: order", "pid ", "gfp_mask ",
        "ts_nsec ",
    )  # fmt: skip
    table = [
        (
            r.get("name"), r["pfn"], r.get("class"), r["kernel_order"], r["kernel_pid"], hex_text(r["kernel_gfp_mask"]),
            r["kernel_ts_nsec"], r["order"], r["pid"], hex_text(r["gfp_mask"]), r["ts_nsec"],
        )
        for r in rows
    ]  # fmt: skip
    return table_text(columns, table)


def stack_audit_text(rows: list[Row], *, records: bool) -> str:
    """Return rows of ``Trail.audit_stacks``: a line a class, and a line a stack that differs; with *records*, all of them."""
    classes = dict.fromkeys(row["class"] for row in rows)
    sums = [
        (
            name,
            len(mine),
            *(sum(row[column] or 0 for row in mine) for column in ("kernel_pages", "pages", "certain_pages")),
        )
        for name in classes
        if (mine := [row for row in rows if row["class"] == name])
    ]
    head = ("stacks", "kernel: pages", "replay: pages", "certain")
    text = table_text(("class", *head), sums, right=head)
    differing = [row for row in rows if row["class"] != "agree"]
    shown = differing if records else differing[:_STACKS_SHOWN]
    cells = [(r["kernel_pages"], r["pages"], r["certain_pages"], r["class"], stack_text(r["stack"])) for r in shown]
    if cells:
        text += "\n" + table_text((*head[1:], "class", "stack"), cells, right=head)
    hidden = len(differing) - len(shown)
    return text + (f"{hidden} more; --records shows all\n" if hidden else "")
