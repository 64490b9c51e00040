"""Replay against the kernel's dumps: a line a dump, and a line a page_owner record that differs."""

from collections.abc import Callable
from typing import Any

from pagetrail.schemas.times import as_text
from pagetrail.text.tables import hex_text, table_text

Row = dict[str, Any]


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
