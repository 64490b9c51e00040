"""The tables of a segment, column by column with units.

A segment is one DuckDB file. It has each fact once: runs of pages, and the events that began and ended their spans. ``spans`` and
``live`` are views over them with the same columns; together they hold every span that covers an instant of the segment, which is
(last event of its parent, own last event]. A row covers stream_seq S if ``begin_seq <= S < end_seq``, and instant T (every event up
to and including T) if ``begin_ts <= T < end_ts``.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import pyarrow as pa

STORE_FORMAT: Final = 9
"""The version of these tables, which is also in the names of the store: a pagetrail reads no other.

3: what dumps said of pages beside their owners.
4: a file that ends within a dump has the dump's records so far in rows of their own.
5: spans are runs of pages and the events that begin and end them; ``spans`` and ``live`` are views.
6: a file has the facts that were new in it, and of earlier ones those that it may still need; it names its parent.
7: streams, cuts and locks have folders of their own; two hosts, or boots, never share one.
8: runs of a single page have tables of their own, without the columns that are the same in nearly all; details name their events.
9: ``meta`` has a digest of the rows that the chain digest does not cover.
"""

FOLD_VERSION: Final = 9
"""Version of the rules of replay. Another version makes other segments, beside the old ones.

3: when coverage ends for one CPU, it ends for all (2 ignored the CPUs of a declaration).
4: losses may name their pages; what only an earlier dump listed is unknown after a whole dump that does not list it; a recording of
an older reader that did not understand every line is a loss.
5: doubts that last until new evidence are known in every later segment; contiguous ranges whose return was lost, or which a kernel
may stamp in two ways, are in doubt; a migrated page has no earlier reason.
6: a page that was migrated has the reason that its recording gives.
7: the same rules; the sums of the state digest no longer depend on where segments end (a carry went from one half to the other
where two segments were added), so sums of version 6 cannot be continued.
8: the same rules; a segment ends where its events are more than a million, and more than four times the open spans.
9: the same rules; a segment ends where its events are more than 4,194,304, too.
"""

DIGEST_VERSION: Final = 5
"""Version of what a chain digest covers, and how. It is not the rules' version: rules that find the same facts in a log make the
same digests.

3: runs and events, as they are in the file.
4: the facts that the file has.
5: BLAKE3 of runs and events.
"""

BLOCK_SIZE: Final = 16_384
"""DuckDB's smallest block: a tip of an idle host takes tens of kilobytes, not megabytes."""

LARGE_BLOCK_SIZE: Final = 65_536
"""The blocks of a segment of many spans. DuckDB keeps a kilobyte of each block."""

LARGE_SPANS: Final = 1 << 17
"""From so many spans on, a segment has large blocks."""

ROW_GROUP_SIZE: Final = 122_880
"""Rows of a table that DuckDB writes, and reads, at once: a writer holds some row groups of each of its threads."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a segment: (name, DuckDB type, comment) for each column; with *select*, a view over others."""

    name: str
    doc: str
    columns: tuple[tuple[str, str, str], ...]
    select: str = ""


_SPAN: Final = (
    ("pfn", "BIGINT", "page frame number of the first page of the run"),
    ("nr_pages", "BIGINT", "pages in the run"),
    ("block_pfn", "BIGINT", "first page of the block, as it was allocated or freed"),
    ("order", "TINYINT", "the block is 2^order pages"),
    ("state", "TINYINT", "1 owned, 2 free"),
    ("pid", "INTEGER", "thread id of the owner; of a free run: of the last owner that was seen"),
    ("tgid", "INTEGER", "process id of the owner; null where it was not recorded"),
    ("comm", "INTEGER", "id in comms: name of the owner, advisory"),
    ("gfp_mask", "BIGINT", "gfp_t of the allocation"),
    ("migratetype", "TINYINT", "MIGRATE_* of the allocation"),
    ("stack", "INTEGER", "id in stacks: of the allocation"),
    ("alloc_ts", "BIGINT", "ns, trace clock: when the owner allocated; null when only a dump shows the allocation"),
    ("ts_nsec", "BIGINT", "ns, page_owner's clock: its stamp of the allocation; null until a dump gives it"),
    ("free_ts_nsec", "BIGINT", "ns, page_owner's clock: last free before that, from a dump"),
    ("src_pfn", "BIGINT", "page frame number that the contents were migrated from"),
    ("migrate_reason", "TINYINT", "MR_* of the last migration, from a dump or a probe"),
    ("free_pid", "INTEGER", "of a free run: thread id of the task that freed it"),
    ("free_tgid", "INTEGER", "of a free run: process id of the task that freed it"),
    ("free_comm", "INTEGER", "id in comms: of a free run, name of the task that freed it"),
    ("free_stack", "INTEGER", "id in stacks: of a free run, stack of the free"),
    ("evidence", "TINYINT", "1 observed, 2 baseline, 3 inferred"),
    ("how", "TINYINT", "what began this span: see the table words"),
    ("cpu", "SMALLINT", "CPU of the event that began it; null: no event of a CPU began it"),
    (
        "unordered",
        "TINYINT",
        "1: began within the clock skew of another CPU's event: unknown which of the two came last",
    ),
    ("begin_seq", "BIGINT", "stream_seq of the event that began it"),
    ("begin_ts", "BIGINT", "ns, trace clock: when it began"),
    (
        "evidence_ts",
        "BIGINT",
        "ns, trace clock: time of the evidence; a split or migration passes it on",
    ),
    ("end_seq", "BIGINT", "stream_seq of the event that ended it; 2^63-1: open"),
    ("end_ts", "BIGINT", "ns, trace clock: when it ended; 2^63-1: open"),
    ("end_how", "TINYINT", "what ended it: see the table words; 0: open"),
    ("generation", "INTEGER", "generation of the section: a pfn in another generation is another page"),
    ("kernel_view", "TINYINT", "1: the kernel's own record, where it is known to be wrong; 0: what is proven"),
    ("record", "INTEGER", "runs with the same number belong to one span (live only; within this file)"),
)

_OF_SPAN: Final = {column[0]: column for column in _SPAN}


def _of_span(*names: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(_OF_SPAN[name] for name in names)


_PAGE: Final = (
    ("pfn", "BIGINT", "page frame number"),
    ("begin_event", "INTEGER", "row of events: what began the span"),
)
_RUN: Final = (
    ("place", "INTEGER", "row of the run in the order of the runs of both tables, from 0 on"),
    ("pfn", "BIGINT", "page frame number of the first page"),
    ("nr_pages", "INTEGER", "pages"),
    ("begin_event", "INTEGER", "row of events: what began the span"),
    *_of_span("generation", "kernel_view"),
)
_END: Final = ("end_event", "INTEGER", "row of events: what ended the span")

SINGLE_PAGE: Final = {"nr_pages": 1, "generation": 1, "kernel_view": 0}
"""What runs in ``ended_pages`` and ``open_pages`` have in common; all others are in ``ended_runs`` and ``open_runs``."""

RUN_TABLES: Final = {"spans": ("ended_pages", "ended_runs"), "live": ("open_pages", "open_runs")}
"""The tables of the runs of each view."""

_OF_RUNS: Final = {"ended_pages": (*_PAGE, _END), "open_pages": _PAGE, "ended_runs": (*_RUN, _END), "open_runs": _RUN}


def run_rows(table: str) -> str:
    """Return the query of the runs of one table, with the columns that a run of any has; *place* is left out."""
    stored = [name for name, _, _ in _OF_RUNS[table]]
    fixed = [
        name if name in stored else f"CAST({SINGLE_PAGE[name]} AS {kind}) AS {name}"
        for name, kind, _ in _RUN
        if name in SINGLE_PAGE
    ]
    others = [name for name in stored if name not in (*SINGLE_PAGE, "place")]
    return f"SELECT {', '.join(others + fixed)} FROM {table}"  # noqa: S608 (names of ours)


_DERIVED: Final = {
    "pfn": "r.pfn", "nr_pages": "CAST(r.nr_pages AS BIGINT)", "generation": "r.generation", "kernel_view": "r.kernel_view",
    "block_pfn": "coalesce(d.block_pfn, CASE WHEN a.\"order\" > 0 THEN (r.pfn >> a.\"order\") << a.\"order\" ELSE r.pfn END)",
    "alloc_ts": "b.ts - b.age", "begin_seq": "b.seq", "begin_ts": "b.ts", "evidence_ts": "coalesce(d.evidence_ts, b.ts)",
}  # fmt: skip
_FROM_ACTS: Final = (
    "order",
    "state",
    "free_pid",
    "free_tgid",
    "free_comm",
    "free_stack",
    "evidence",
    "how",
    "cpu",
    "unordered",
)
_FROM_DETAILS: Final = ("ts_nsec", "free_ts_nsec", "src_pfn")
_ENDS: Final = {
    "spans": {"end_seq": "e.seq", "end_ts": "e.ts", "end_how": "w.how", "record": "CAST(NULL AS INTEGER)"},
    "live": {
        "end_seq": f"CAST({(1 << 63) - 1} AS BIGINT)", "end_ts": f"CAST({(1 << 63) - 1} AS BIGINT)",
        "end_how": "CAST(0 AS TINYINT)", "record": "r.begin_event",
    },
}  # fmt: skip


def span_rows(name: str) -> str:
    """Return the query behind the view ``spans`` or ``live``. pagetrail itself asks it, and not the view of a file."""

    def column(field: str) -> str:
        found = (_DERIVED | _ENDS[name]).get(field)
        if found is None:
            found = f'{"a" if field in _FROM_ACTS else "d" if field in _FROM_DETAILS else "o"}."{field}"'
        return f'{found} AS "{field}"'

    columns = ", ".join(column(field) for field, _, _ in _SPAN)
    kinds = "JOIN acts a ON a.id = b.act LEFT JOIN owners o ON o.id = b.owner LEFT JOIN details d ON d.event = r.begin_event"
    runs = f"({' UNION ALL '.join(map(run_rows, RUN_TABLES[name]))}) r"
    if name == "spans":
        runs += " JOIN events e ON e.rowid = r.end_event JOIN acts w ON w.id = e.act"
    return f"SELECT {columns} FROM {runs} JOIN events b ON b.rowid = r.begin_event {kinds}"  # noqa: S608 (names of ours)


_DOUBT: Final = (
    ("pfn", "BIGINT", "first page"), ("nr_pages", "BIGINT", "pages"),
    ("from_ts", "BIGINT", "ns, trace clock: last evidence before the contradiction"),
    ("to_ts", "BIGINT", "ns, trace clock: end of the doubt, which is when it was noticed; 2^63-1: not over yet"),
    ("noticed_ts", "BIGINT", "ns, trace clock: when it was noticed; as of an earlier time there is no doubt"),
    ("seq", "BIGINT", "stream_seq of the event that showed it"),
    ("reason", "TINYINT", "see the table words")
)  # fmt: skip

TABLES: Final = (
    Table("meta", "Properties of this file, as text by key.", (("key", "VARCHAR", "name"), ("value", "VARCHAR", "value"))),
    Table("words", "The codes of the columns state, evidence, how, end_how and reason.", (
        ("field", "VARCHAR", "column"), ("code", "INTEGER", "value in the column"), ("word", "VARCHAR", "its meaning"))),
    Table("ended_pages", "Single pages whose span ended within the segment, sorted by (pfn, end): runs of a page of the first "
        "generation, by what is proven.", _OF_RUNS["ended_pages"]),
    Table("open_pages", "Such pages whose span is open at the segment's end, sorted by pfn.", _OF_RUNS["open_pages"]),
    Table("ended_runs", "All other runs of pages whose span ended within the segment, sorted by (pfn, end).",
        _OF_RUNS["ended_runs"]),
    Table("open_runs", "All other runs of pages whose span is open at the segment's end, sorted by (kernel_view, pfn).",
        _OF_RUNS["open_runs"]),
    Table("events", "What began and ended spans, in the order of their events; other tables have the numbers of these rows.", (
        ("seq", "BIGINT", "stream_seq of the event"), ("ts", "BIGINT", "ns, trace clock"),
        ("act", "INTEGER", "id in acts: what happened"),
        ("owner", "INTEGER", "id in owners: whose pages they became, or were last; null: no span began"),
        ("age", "BIGINT", "ns since that owner allocated; null: unknown"))),
    Table("acts", "What happened to pages.", (("id", "INTEGER", "as in events"), *_of_span(
        "state", "evidence", "how", "cpu", "order", "unordered", "free_pid", "free_tgid", "free_comm", "free_stack"))),
    Table("owners", "Owners.", (("id", "INTEGER", "as in events"), *_of_span(
        "pid", "tgid", "comm", "gfp_mask", "migratetype", "stack", "migrate_reason"))),
    Table("details", "What only some events have, in the order of these.", (
        ("event", "INTEGER", "row of events"), ("id", "INTEGER", "the same for all events that share the details"),
        ("block_pfn", "BIGINT", "first page of the block; null: that of the run, rounded down to its order"),
        ("evidence_ts", "BIGINT", "ns, trace clock: time of the evidence; null: that of the event"),
        *_of_span("ts_nsec", "free_ts_nsec", "src_pfn"))),
    Table("spans", "Every span that ended within the segment.", _SPAN, span_rows("spans")),
    Table("live", "Every span open at the segment's end.", _SPAN, span_rows("live")),
    Table("sections", "Sections and their page_ext extensions in this file's time, and of each the last one before.", (
        ("section_nr", "BIGINT", "section: pfn divided by pages a section"),
        ("generation", "INTEGER", "number of extensions that the section has had, including this one"),
        ("begin_seq", "BIGINT", "stream_seq at which the extension was allocated"),
        ("begin_ts", "BIGINT", "ns, trace clock"),
        ("end_seq", "BIGINT", "stream_seq at which it was freed; 2^63-1: it still exists"),
        ("end_ts", "BIGINT", "ns, trace clock; 2^63-1: it still exists"),
        ("how", "VARCHAR", "boot, online_pages, notified, inferred"),
        ("end_how", "VARCHAR", "offline_pages, cancelled, notified; unseen: it came online again; null: it still exists"))),
    Table("page_ext", "Values of page_ext's clients other than owner: spans that ended within the segment, and open ones.", (
        ("client", "VARCHAR", "name of the client: debug, ..."),
        ("field", "VARCHAR", "field of the client: poison, guard, ..."),
        ("pfn", "BIGINT", "first page of the run"), ("nr_pages", "BIGINT", "pages"),
        ("value", "BIGINT", "of debug: 1 the flag is set, 0 it is not"),
        ("evidence", "TINYINT", "1 observed: an event reported it; 3 inferred: a fresh extension is zeroed"),
        ("begin_seq", "BIGINT", "stream_seq of the last event that reported it"),
        ("begin_ts", "BIGINT", "ns, trace clock: time of that event"),
        ("end_seq", "BIGINT", "stream_seq of the next one, or of the extension's end; 2^63-1: open"),
        ("end_ts", "BIGINT", "ns, trace clock; 2^63-1: open"),
        ("generation", "INTEGER", "generation of the section"))),
    Table("gaps", "Known losses, new in this file or still of account: events between t_lo and t_hi may be missing from the log.", (
        ("seq", "BIGINT", "stream_seq of the event that reported it"),
        ("cpu", "INTEGER", "CPU that lost events; null: all"),
        ("t_lo", "BIGINT", "ns, trace clock: last event before the loss"),
        ("t_hi", "BIGINT", "ns, trace clock: first event after it"),
        ("lost", "BIGINT", "events lost; null: unknown"),
        ("reason", "VARCHAR", "how they were lost"))),
    Table("doubts", "Answers that later events showed to be unsafe: these pages, from from_ts to to_ts.", _DOUBT),
    Table("lasting_doubts", "Doubts that earlier files cast, and that lasted into this one; without those that later ones hide.",
        _DOUBT),
    Table("anomalies", "What replay noticed, by kind, from the beginning of the stream to the segment's end.", (
        ("kind", "INTEGER", "see the table words"), ("events", "BIGINT", "events that showed it"),
        ("pages", "BIGINT", "pages concerned"), ("first_seq", "BIGINT", "stream_seq of the first"))),
    Table("quarantined", "Events of this segment that could not be folded.", (
        ("seq", "BIGINT", "stream_seq"), ("pfn", "BIGINT", "its page frame number"),
        ("order", "BIGINT", "its order"), ("kind", "INTEGER", "reason: see the table words"))),
    Table("audits", "Comparisons of replay with baselines of this file, before any correction.", (
        ("seq", "BIGINT", "stream_seq of the dump"), ("ts", "BIGINT", "ns, trace clock: end of the dump"),
        ("name", "VARCHAR", "name of the snapshot"), ("records", "BIGINT", "records of the dump"),
        ("agree", "BIGINT", "of them: same pfn, order, pid, gfp_mask, and ts within 20 ms"),
        ("pages", "BIGINT", "pages of the records"), ("agree_pages", "BIGINT", "pages of those that agree"),
        ("extra", "BIGINT", "heads of blocks that replay has as owned and the dump does not list"),
        ("applied", "BOOLEAN", "whether the baseline then set, confirmed and corrected the state"),
        ("view", "VARCHAR", "page_owner: records of owners; kpageflags: free pages (records counts pages then)"))),
    Table("audit_differences", "Each record in which a dump and replay differed, with both sides.", (
        ("seq", "BIGINT", "stream_seq of the dump"), ("name", "VARCHAR", "name of the snapshot"),
        ("pfn", "BIGINT", "page frame number"), ("class", "VARCHAR", "class of difference"),
        ("kernel_order", "TINYINT", "kernel: order; null: no record"), ("kernel_pid", "INTEGER", "kernel: pid"),
        ("kernel_tgid", "INTEGER", "kernel: tgid"), ("kernel_gfp_mask", "BIGINT", "kernel: gfp_mask"),
        ("kernel_ts_nsec", "BIGINT", "kernel: ns, page_owner's clock"),
        ("order", "TINYINT", "replay: order; null: no owner"), ("pid", "INTEGER", "replay: pid"),
        ("tgid", "INTEGER", "replay: tgid"), ("gfp_mask", "BIGINT", "replay: gfp_mask"),
        ("ts_nsec", "BIGINT", "replay: ns, page_owner's clock"))),
    Table("markers", "Texts that were written into trace_marker, within this file.", (
        ("seq", "BIGINT", "stream_seq"), ("ts", "BIGINT", "ns, trace clock"), ("text", "VARCHAR", "the marker"))),
    Table("hotplug", "Hotplug calls and notifications within this file, and calls entered before that had not returned.", (
        ("seq", "BIGINT", "stream_seq"), ("ts", "BIGINT", "ns, trace clock"),
        ("call", "VARCHAR", "online_pages or offline_pages"), ("phase", "VARCHAR", "entry, return, notified"),
        ("pfn", "BIGINT", "start_pfn"), ("nr_pages", "BIGINT", "pages"), ("ret", "INTEGER", "result: 0 or -errno"),
        ("pid", "INTEGER", "thread id of the caller"))),
    Table("stacks", "The stacks that this file uses.", (
        ("id", "INTEGER", "as in the columns stack and free_stack of this file"),
        ("stack_id", "BIGINT", "64-bit id of the canonical form, the same in every file and on every host"),
        ("frames", "VARCHAR", "canonical form: innermost first, a frame a line, no offsets"),
        ("raw", "VARCHAR", "one of its forms as recorded"),
        ("truncated", "BOOLEAN", "whether deeper frames were cut off"))),
    Table("comms", "The command names that this file uses.", (
        ("id", "INTEGER", "as in the columns comm and free_comm of this file"), ("comm", "VARCHAR", "name"))),
    Table("said", "Pages that dumps listed, and whose allocation lasted into the segment, sorted by (pfn, seq of the dump).", (
        ("pfn", "BIGINT", "page frame number that the dump has the record of: the first page of a block"),
        ("said", "INTEGER", "id in said_values"))),
    Table("said_values", "What dumps said of pages beside their owners; it may have changed since.", (
        ("id", "INTEGER", "as in the column said of this file"),
        ("seq", "BIGINT", "stream_seq of the end of the dump"), ("ts", "BIGINT", "ns, trace clock: end of the dump"),
        ("window_begin", "BIGINT", "ns, trace clock: when its reading began"),
        ("page_flags", "BIGINT", "struct page flags, 64 bits as a signed number"),
        ("page_flag_names", "INTEGER", "id in said_texts: what the dump has in brackets behind them"),
        ("cgroup", "INTEGER", "id in said_texts: name of the memory cgroup"),
        ("comm", "INTEGER", "id in said_texts: name of the owner, where the span has another"),
        ("stack", "INTEGER", "id in said_texts: the stack as the dump has it, where the span has another form"),
        ("tgid", "INTEGER", "process id of the owner, where the span has another"),
        ("memcg_flags", "TINYINT", "1 a slab page, 2 charged via objcg, 4 to an offline memcg; summed"),
        ("block_migratetype", "TINYINT", "MIGRATE_* of the pageblock"),
        ("migrate_reason", "TINYINT", "MR_* of the last migration"))),
    Table("said_stamps", "The times of pages in dumps, where their spans have others, sorted by (pfn, seq).", (
        ("pfn", "BIGINT", "as in said"), ("seq", "BIGINT", "stream_seq of the end of the dump"),
        ("ts_nsec", "BIGINT", "ns, page_owner's clock: its stamp of the allocation"),
        ("free_ts_nsec", "BIGINT", "ns, page_owner's clock: last free before that"))),
    Table("said_texts", "The texts of said_values.", (("id", "INTEGER", "their id in this file"), ("text", "VARCHAR", "text"))),
    Table("state", "Everything else that a resume needs, as JSON by name.", (
        ("name", "VARCHAR", "field"), ("value", "VARCHAR", "JSON"))),
)  # fmt: skip

TABLE: Final = {table.name: table for table in TABLES}

CHAINED: Final = (
    "ended_pages", "open_pages", "ended_runs", "open_runs", "events", "acts", "owners", "details", "doubts", "lasting_doubts",
)  # fmt: skip
"""The tables of which the chain digest covers every row."""

TABLES_DIGEST: Final = "tables_digest"
"""The key in ``meta`` of the digest of all other tables, and of the rest of ``meta``."""


_ARROW: Final = {
    "BIGINT": pa.int64(), "INTEGER": pa.int32(), "SMALLINT": pa.int16(), "TINYINT": pa.int8(), "VARCHAR": pa.utf8(),
    "BOOLEAN": pa.bool_(),
}  # fmt: skip


@cache
def arrow_schema(name: str) -> pa.Schema:
    """Return the columns of a table in Arrow's types."""
    return pa.schema([(column, _ARROW[kind]) for column, kind, _ in TABLE[name].columns])


VIEWS: Final = tuple(table.name for table in TABLES if table.select)
"""The views."""

STORED: Final = tuple(table.name for table in TABLES if not table.select)
"""The tables that are no views."""


_LARGE: Final = ("ended_pages", "open_pages", "ended_runs", "open_runs", "events")
"""Tables of numbers with a row or more for each event: to try other compressions than the best one takes a tenth of the writing."""


def ddl() -> list[str]:
    """Return the statements that create a segment's tables and views, with a comment on each of them and of their columns."""
    statements = []
    for table in TABLES:
        if table.select:
            kind = "VIEW"
            statements.append(f'CREATE VIEW "{table.name}" AS {table.select}')
        else:
            kind = "TABLE"
            how = " USING COMPRESSION bitpacking" if table.name in _LARGE else ""
            columns = ", ".join(f'"{name}" {of}{how}' for name, of, _ in table.columns)
            statements.append(f'CREATE TABLE "{table.name}" ({columns})')
        statements.append(f"COMMENT ON {kind} \"{table.name}\" IS '{_quoted(table.doc)}'")
        statements += [
            f'COMMENT ON COLUMN "{table.name}"."{name}" IS \'{_quoted(doc)}\'' for name, _, doc in table.columns
        ]
    return statements


def _quoted(text: str) -> str:
    return text.replace("'", "''")
