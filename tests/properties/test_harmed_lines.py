"""Lines that are harmed so that it can be seen: no page is certain and different from the truth, and each line is counted."""

import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.ordering import in_order
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import Marker
from tests.effort import effort
from tests.model.config import ModelConfig
from tests.model.events import pick
from tests.model.kernel import History, ModelKernel
from tests.oracles.answers import answers, describe, expected, wrong_and_certain
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import slices
from tests.properties.harm import harmed, swapped

HISTORIES = effort(40, 5_000)
SLICES = effort(160, 5_000)
PARTS = 6
STEPS = 150
BASE = 0xFFFFEA0000000000
KEPT = b"tracing_mark_write"
CONFIG = ModelConfig()
TEXTS = {
    "small": "trace.txt.zst", "stack": "trace.txt.zst", "probes": "trace.txt.zst", "lossy": "trace.txt.zst",
    "perf-plain": "perf-script.txt.zst", "perf-g": "perf-script.txt.zst",
}  # fmt: skip


# -- generated histories: the fold of what is left against the truth


def printed(row: dict[str, int]) -> str | None:
    """Return what the kernel would print of a row of the model; null where it is none of a tracepoint or a probe."""
    pfn, order = row["pfn"], row["order"]
    match Kind(row["kind"]):
        case Kind.ALLOC:
            fields = f"migratetype={max(0, row['migratetype'])} gfp_flags={row['gfp_mask']:#x}"
            return f"mm_page_alloc: page=0 pfn={pfn:#x} order={order} {fields}"
        case Kind.FREE:
            return f"mm_page_free: page=0 pfn={pfn:#x} order={order}"
        case Kind.DRAIN:
            return f"mm_page_pcpu_drain: page=0 pfn={pfn:#x} order={order} migratetype={max(0, row['migratetype'])}"
        case Kind.REFILL:
            fields = f"migratetype={max(0, row['migratetype'])} percpu_refill=1"
            return f"mm_page_alloc_zone_locked: page=0 pfn={pfn:#x} order={order} {fields}"
        case Kind.SPLIT if order == 0:
            return f"split_owner: (f+0x0/0x50) page={BASE + 64 * pfn:#x} nr={row['nr_pages']}"
        case Kind.MIGRATE if row["src_pfn"] == pfn:
            return f"migrate_reason: (f+0x0/0x30) page={BASE + 64 * pfn:#x} reason={row['migrate_reason']}"
        case Kind.MIGRATE:
            return f"copy_owner: (f+0x0/0x50) new={BASE + 64 * pfn:#x} old={BASE + 64 * row['src_pfn']:#x}"
        case Kind.ISOLATE:
            return f"iso_owner: (f+0x0/0x50) page={BASE + 64 * pfn:#x} order={order} gfp={row['gfp_mask']:#x}"
    return None


def as_text(history: History) -> bytes:
    """Return a history as ftrace text; a row that no tracepoint gives is a marker with its number."""
    batch = history.events
    columns = {name: batch.column(name).tolist() for name in (
        "kind", "trace_ts_nsec", "cpu", "pid", "pfn", "order", "migratetype", "gfp_mask", "nr_pages", "src_pfn",
        "migrate_reason",
    )}  # fmt: skip
    lines = []
    for at in range(len(batch)):
        row = {name: int(column[at]) for name, column in columns.items()}
        text = printed(row) if row["cpu"] != absent("cpu") and row["pid"] >= 0 else None
        seconds, nanoseconds = divmod(row["trace_ts_nsec"], 10**9)
        head = f"{'task':>16}-{row['pid']:<7} [{row['cpu']:03}] ....."
        if text is None:
            head, text = f"{'marker':>16}-1       [000] .....", f"tracing_mark_write: ROW {at}"
        lines.append(f"{head} {seconds:>5}.{nanoseconds:09}: {text}\n")
    return "".join(lines).encode()


def events_of(history: History, reader: TextReader) -> EventBatch:
    """Return what *reader* reads, with the history's own rows in the places of their markers."""
    parts = []
    for batch in reader.batches():
        start = 0
        for at in np.flatnonzero(batch.columns["kind"] == Kind.MARKER).tolist():
            row = int(Marker.model_validate_json(batch.details[at]).text.removeprefix("ROW "))
            parts += [batch.slice(start, at), pick(history.events, np.array([row]))]
            start = at + 1
        parts.append(batch.slice(start, len(batch)))
    return concat([part for part in parts if len(part)])


def reader_of(text: bytes) -> FtraceText:
    return FtraceText(io.BytesIO(text), source="test", kernel=RecordedKernel(vmemmap_base=BASE))


def check(history: History, events: EventBatch, seed: int) -> int:
    """Hold answers from *events* against the truth of *history*; return how many pages some of them were certain of."""
    ts = history.events.columns["trace_ts_nsec"]
    end = min(int(events.columns["trace_ts_nsec"][-1]), int(ts[-1]))
    times = sorted({*(at for at in random.Random(seed).sample(np.unique(ts).tolist(), 6) if at < end), end})
    rows = [int(row) - 1 for row in np.searchsorted(ts, times, side="right")]
    certain = 0
    for answer, truth in zip(answers(events, times, CONFIG)[0], history.journal.truths(rows), strict=True):
        bad = {name: pages for name, pages in wrong_and_certain(answer, truth, CONFIG).items() if pages.any()}
        assert not bad, (seed, answer.ts, describe(bad, answer.said.proven, expected(truth)))
        certain += int(answer.certain.any(axis=1).sum())
    return certain


@pytest.mark.parametrize("part", range(PARTS))
def test_no_page_is_certain_and_different_from_the_truth(part: int) -> None:
    certain = 0
    for seed in range(part, HISTORIES, PARTS):
        history = ModelKernel(seed, config=CONFIG).run(STEPS)
        text = harmed(as_text(history), seed, 1 + seed % 4, kept=KEPT)
        reader = reader_of(text.text)
        events = events_of(history, reader)
        assert reader.account.not_understood >= len(text.lines), (seed, text.lines)
        certain += check(history, events, seed)
    assert certain


@pytest.mark.parametrize("part", range(PARTS))
def test_a_swap_across_time_leaves_no_page_certain_and_different_from_the_truth(part: int) -> None:
    certain = 0
    for seed in range(part, HISTORIES, 2 * PARTS):
        history = ModelKernel(seed, config=CONFIG).run(STEPS)
        text = swapped(as_text(history), seed, 1 + seed % 2, kept=KEPT)
        reader = reader_of(text)
        batches = [*in_order([events_of(history, reader)], reader.account)]
        certain += check(history, concat([batch for batch in batches if len(batch)]), seed)
    assert certain


@pytest.mark.parametrize("seed", range(3))
def test_a_text_that_is_not_harmed_gives_the_history(seed: int) -> None:
    history = ModelKernel(seed, config=CONFIG).run(STEPS)
    read = events_of(history, reader_of(as_text(history)))
    for name in ("kind", "trace_ts_nsec", "cpu", "pfn", "order", "src_pfn", "nr_pages"):
        assert np.array_equal(read.column(name), history.events.column(name)), name


# -- captures: what is not read any more lies within a gap


def comparable(row: Row) -> tuple[object, ...]:
    """Return what is compared of a row: of a damaged task's name, a stack and a mask nothing is said."""
    return tuple(row.get(name) for name in ("kind", "trace_ts_nsec", "cpu", "pfn", "order", "src_pfn", "nr_pages"))


def is_within(row: Row, gap: Row, last: int) -> bool:
    """Return whether the loss of *row* is known by *gap*, of a recording that ends at *last*."""
    detail = gap["detail"]
    concerned = "pfn" not in gap or (gap["pfn"], gap["order"]) == (row["pfn"], row["order"])
    ended = detail["t_hi"] < last  # type: ignore[index]
    at = row["trace_ts_nsec"]
    return concerned and detail["t_lo"] <= at and (not ended or at <= detail["t_hi"])  # type: ignore[index, operator]


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_not_read_of_a_harmed_capture_lies_within_its_gaps(captures: Path, name: str) -> None:
    opened = PerfScript if name.startswith("perf") else FtraceText
    (piece,) = slices(captures / name / TEXTS[name], 60_000, (2_000_000,))
    # samples and entries; no frames, and no events of which only the name is read
    lines = [line for line in piece.split(b"\n")[:-1] if b": " in line and b"mm_page_free_batched" not in line]
    whole = b"".join(line + b"\n" for line in lines[:300])
    rows = rows_of(opened(io.BytesIO(whole), source="test").batches())
    for seed in range(SLICES // len(TEXTS)):
        text = harmed(whole, seed, 1 + seed % 5, kept=b"stack trace>")
        reader = opened(io.BytesIO(text.text), source="test")
        left = rows_of(reader.batches())
        gaps = [row for row in left if row["kind"] == Kind.GAP]
        last = max(int(str(row["trace_ts_nsec"])) for row in left)
        missing = Counter(map(comparable, rows)) - Counter(map(comparable, left))
        invented = Counter(comparable(row) for row in left if row["kind"] != Kind.GAP) - Counter(map(comparable, rows))
        assert not invented, (seed, text.lines)
        for row in rows:
            assert comparable(row) not in missing or any(is_within(row, gap, last) for gap in gaps), (
                seed,
                text.lines,
                row,
            )
        assert reader.account.not_understood >= len(text.lines), (seed, text.lines)
