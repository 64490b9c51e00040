"""The contents of a page, from their allocation to their end: through splits and migrations, from page to page.

A migration moves a whole block, but Linux 6.1 copies the page_owner record of its head only (mm/page_owner.c,
__folio_copy_owner). The contents of a tail move too, while its record still names the migrator; the column ``link`` tells where.
"""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from pagetrail.queries.core.filters import check_pfns
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import Asked, rows_at
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.questions.history import HISTORY_SCHEMA, Row, history
from pagetrail.schemas.errors import NotFound
from pagetrail.schemas.owner import OPEN_END

LINEAGE_SCHEMA: Final = HISTORY_SCHEMA.append(
    pa.field("link", pa.utf8(), metadata={"doc": "how the contents came to this page, or its state to this"})
)
"""A row a stay, from when the contents came to when they went; ``src_pfn`` and ``dst_pfn`` are the pages before and after."""

_SAME_PAGE: Final = ("split", "split implied", "split by page ext", "confirmed", "migrate reason")
"""What begins a span that has the owner of the span before it."""

_LINKS: Final = {
    "alloc": "allocated", "isolate": "isolated", "split": "split", "split implied": "split, as a part was freed",
    "split by page ext": "split, as page_ext's own blocks are", "confirmed": "confirmed by a dump",
    "migrate reason": "the reason of its migration noted",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Contents on one page in one state, from an event on: their row, and the page and event where they were before."""

    row: Row
    begin_seq: int
    begin_ts: int
    link: str
    before: tuple[int, int] | None = None


def lineage(stream: Stream, pfn: int, at: Instant) -> pa.Table:
    """Return the stays of the contents that page *pfn* has at an instant, in order of time: ``LINEAGE_SCHEMA``.

    It goes back to their allocation, or as far as anything is known, and on to their end. A row is as certain as its stay was at
    its end: if migration was not covered, ``why`` says so, as there may be links that were not recorded.

    Raises
    ------
    NotFound
        Nobody owned the page at that instant.
    """
    check_pfns([pfn])
    pages = _Pages(stream)
    row = pages.at(pfn, at)
    if row is None or row["state"] != "owned":
        state = "unknown" if row is None else row["state"]
        raise NotFound(
            f"pfn {pfn} at {stream.time_text(at.ts)}: {state}, so there are no contents to follow; 'pagetrail history {pfn}' shows "
            "when it was owned"
        )
    chain = [pages.stay(row, at.ts)]
    while (before := pages.before(chain[0])) is not None:
        chain.insert(0, before)
    while (after := pages.after(chain[-1])) is not None:
        chain.append(after)
    return pa.Table.from_pylist([_row(stream, stay) for stay in chain], schema=LINEAGE_SCHEMA)


class _Pages:
    """The histories of pages; each is read once."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rows: dict[int, list[Row]] = {}

    def at(self, pfn: int, at: Instant) -> Row | None:
        """Return the row of a page's history at an instant."""
        if at.seq is not None:
            return self.covering(pfn, at.seq)
        ends = ((row, OPEN_END if row["end_ts"] is None else row["end_ts"]) for row in self._history(pfn))
        return next((row for row, end in ends if row["begin_ts"] <= at.ts < end), None)

    def covering(self, pfn: int, seq: int) -> Row | None:
        """Return the row of a page's history just after an event."""
        ends = ((row, OPEN_END if row["end_seq"] is None else row["end_seq"]) for row in self._history(pfn))
        return next((row for row, end in ends if row["begin_seq"] <= seq < end), None)

    def stay(self, row: Row, until: int) -> Stay:
        """Return how the contents of a page at a time (trace clock, ns) came there."""
        pfn, begin = int(row["pfn"]), int(row["begin_seq"])
        tail = self._arrived_as_a_tail(row, until)
        if tail is not None:
            return tail
        if row["how"] == "migrate" and row["src_pfn"] is not None:
            return self._arrived(row, int(row["src_pfn"]))
        if row["how"] in _SAME_PAGE:
            link, before = _LINKS[row["how"]], (pfn, begin - 1)
            return Stay(row=row, begin_seq=begin, begin_ts=row["begin_ts"], link=link, before=before)
        link = _LINKS.get(row["how"], f"a dump told of it ({row['how']})")
        there = self.covering(pfn, begin - 1)
        if row["how"] == "alloc" and there is not None and there["how"] == "isolate" and there["pid"] == row["pid"]:
            link = "allocated, isolated before"
        return Stay(row=row, begin_seq=begin, begin_ts=row["begin_ts"], link=link)

    def before(self, stay: Stay) -> Stay | None:
        """Return the stay before a stay; null: there is none, or nothing is known of it."""
        if stay.before is None:
            return None
        row = self.covering(*stay.before)
        return None if row is None or row["state"] != "owned" else self.stay(row, stay.begin_ts)

    def after(self, stay: Stay) -> Stay | None:
        """Return the stay after a stay; null: there is none."""
        row = stay.row
        if row["dst_pfn"] is not None and row["dst_seq"] > stay.begin_seq:
            there = self.covering(int(row["dst_pfn"]), int(row["dst_seq"]))
            return None if there is None or there["state"] != "owned" else self.stay(there, row["dst_ts"])
        if row["end_how"] not in _SAME_PAGE or row["end_seq"] is None:
            return None
        there = self.covering(int(row["pfn"]), int(row["end_seq"]))
        return self.stay(there, there["begin_ts"]) if there is not None and there["how"] in _SAME_PAGE else None

    def _arrived(self, row: Row, src_pfn: int) -> Stay:
        """Return the stay of the head of a block that was migrated to; it has the record of the old head."""
        pfn, begin = int(row["pfn"]), int(row["begin_seq"])
        taken, source = self.covering(pfn, begin - 1), self.covering(src_pfn, begin - 1)
        link = f"migrated from pfn {src_pfn}"
        if source is None or source["state"] != "owned":
            link += ", of which nothing was known"
        if taken is not None and taken["state"] == "owned":
            isolated = taken["gfp_mask"] == self._stream.facts.rules.gfp_isolated
            link += "; isolated before" if isolated else f"; allocated for it by pid {taken['pid']}"
        return Stay(row=row, begin_seq=begin, begin_ts=row["begin_ts"], link=link, before=(src_pfn, begin - 1))

    def _arrived_as_a_tail(self, row: Row, until: int) -> Stay | None:
        """Return the stay of a tail, if the head of its block was migrated to by *until*; its record is the migrator's."""
        pfn, head, order = int(row["pfn"]), row["block_pfn"], row["order"]
        if not order or head is None or not head < pfn < head + (1 << order):
            return None
        end = OPEN_END if row["end_seq"] is None else row["end_seq"]
        heads = [
            r
            for r in self._history(int(head))
            if r["how"] == "migrate" and row["begin_seq"] < r["begin_seq"] < end and r["begin_ts"] <= until
            and r["src_pfn"] is not None and pfn - head < 1 << max(r["order"] or 0, 0)
        ]  # fmt: skip
        if not heads:
            return None
        moved = heads[-1]
        source = int(moved["src_pfn"]) + pfn - int(head)
        link = f"migrated from pfn {source}, a tail: its record is the migrator's, pid {row['pid']}"
        begin = int(moved["begin_seq"])
        return Stay(
            row=row | {"src_pfn": source}, begin_seq=begin, begin_ts=moved["begin_ts"], link=link,
            before=(source, begin - 1),
        )  # fmt: skip

    def _history(self, pfn: int) -> list[Row]:
        if pfn not in self._rows:
            self._rows[pfn] = history(self._stream, pfn).to_pylist()
        return self._rows[pfn]


def _row(stream: Stream, stay: Stay) -> Row:
    """Return a stay as a row; it ends when the contents went to another page, whatever the old page's record says."""
    row = stay.row | {"begin_seq": stay.begin_seq, "begin_ts": stay.begin_ts, "link": stay.link}
    if row["dst_seq"] is None or row["dst_seq"] <= stay.begin_seq:
        return row | dict.fromkeys(("dst_pfn", "dst_ts", "dst_seq"))
    seq, ts = int(row["dst_seq"]), int(row["dst_ts"])
    sure = ("certain", "uncertain", "why")
    then = rows_at(stream, Instant(ts=ts, seq=seq - 1), Asked(pfns=[int(row["pfn"])], columns=sure)).to_pylist()
    return row | (then[0] if then else {}) | {"end_seq": seq, "end_ts": ts, "end_how": "migrate"}
