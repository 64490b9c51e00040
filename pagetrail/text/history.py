"""The owners of a page, and the stays of a page's contents: one line each, with what is not certain below."""

import re
from collections.abc import Callable
from typing import Any, Final

from pagetrail.schemas.times import as_text
from pagetrail.text.printable import printable
from pagetrail.text.tables import DUMP_COLUMNS, dump_cells, hex_text, table_text

_SINCE: Final = re.compile(r" since \d+(\.\d+)?")  # the line itself has the begin of its span

Row = dict[str, Any]
Time = Callable[[int], str]


def history_text(found: list[Row], time: Time = as_text) -> str:
    """Return the rows of ``Trail.history``, a line a span; *time* makes text of a time of the trace clock."""
    columns = (
        "from", "to", "gen", "state", "order", "pid", "comm", "gfp_mask", "began by", "ended by", "evidence",
        *DUMP_COLUMNS, "certain",
    )  # fmt: skip
    notes = _Notes()
    rows = []
    for r in found:
        came = "" if r["src_pfn"] is None else f" from pfn {r['src_pfn']}"
        went = "" if r["dst_pfn"] is None else f"migrated to pfn {r['dst_pfn']} at {time(r['dst_ts'])}; "
        ended = f"{went}{r['end_how'] or ''}".removesuffix("; ")
        who = (r["state"], r["order"], r["pid"], r["comm"], hex_text(r["gfp_mask"]))
        how = (r["how"] + came, ended, r["evidence"], *dump_cells(r))
        rows.append((*_times(r, time), r["generation"], *who, *how, notes.sure(r)))
    right = ("from", "to", "gen", "order", "pid")
    return table_text(columns, rows, right=right, optional=DUMP_COLUMNS) + notes.text()


def lineage_text(found: list[Row], time: Time = as_text) -> str:
    """Return the rows of ``Trail.lineage``, a line a stay; *time* makes text of a time of the trace clock."""
    columns = ("from", "to", "pfn", "order", "pid", "comm", "gfp_mask", "came by", "ended by", "evidence", "certain")
    notes = _Notes()
    rows = []
    for r in found:
        ended = r["end_how"] if r["dst_pfn"] is None else f"migrated to pfn {r['dst_pfn']}"
        who = (r["pfn"], r["order"], r["pid"], r["comm"], hex_text(r["gfp_mask"]))
        rows.append((*_times(r, time), *who, r["link"], ended, r["evidence"], notes.sure(r)))
    return table_text(columns, rows, right=("from", "to", "pfn", "order", "pid")) + notes.text()


class _Notes:
    """Why things are not certain: each reason is written once, below the table, and lines name it by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def sure(self, row: Row) -> str:
        """Return what a row is not certain of, and the number of the reason."""
        if row["certain"]:
            return "yes"
        why = _SINCE.sub("", row["why"])
        return f"no: {', '.join(row['uncertain'])} [{self._numbers.setdefault(why, len(self._numbers) + 1)}]"

    def text(self) -> str:
        """Return the notes."""
        return "".join(f"[{number}] {printable(why)}\n" for why, number in self._numbers.items())


def _times(row: Row, time: Time) -> tuple[str, str]:
    return time(row["begin_ts"]), "" if row["end_ts"] is None else time(row["end_ts"])
