"""What the fold says of every page, beside what the model kernel knows to be true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.framing import single
from pagetrail.producers.model_config import ModelConfig
from pagetrail.producers.model_page_ext import Pages, PageState, Truth
from pagetrail.replay.engine import FoldOptions, StreamEngine
from pagetrail.replay.tables import live_rows
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import RecordingBegin
from pagetrail.schemas.frames import FrameOrigin, header_of
from pagetrail.schemas.owner import ABSENT64, RECORD_DTYPE, SAME_TS_NSEC, State

ORIGIN = FrameOrigin(host="model", boot_id="boot", recording="model", producer="workload-model", producer_version="1")
NUMBERS = ("order", "pid", "tgid", "gfp_mask")


def numbered(events: EventBatch) -> EventBatch:
    """Return *events* as a recording: row i has seq i + 1, after the RECORDING_BEGIN."""
    first = int(events.columns["trace_ts_nsec"][0])
    begin = single(Kind.RECORDING_BEGIN, first, RecordingBegin(source="model", format="workload-model"))
    batch = concat([begin, events])
    return EventBatch(
        columns={**batch.columns, "seq": np.arange(len(batch), dtype=np.int64)},
        texts=batch.texts,
        details=batch.details,
    )


def folded(events: EventBatch, rows: Sequence[int], options: FoldOptions | None = None) -> Iterator[StreamEngine]:
    """Yield the engine as it stands just after each of *rows*, which rise: one frame up to each."""
    batch, done = numbered(events), 0
    engine = StreamEngine(host=ORIGIN.host, boot_id=ORIGIN.boot_id, options=options or FoldOptions(floor=1 << 40))
    for frame, row in enumerate(rows):
        part = batch.slice(done, row + 2)
        for _ in engine.apply(header_of(part, ORIGIN, frame), part):
            pass
        done = row + 2
        yield engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the fold says of each page: RECORD_DTYPE, state UNKNOWN where nothing is known; and which are absent."""

    proven: NDArray[np.void]
    kernel: NDArray[np.void]
    absent: NDArray[np.bool_]
    generation: NDArray[np.int32]


def said(engine: StreamEngine, config: ModelConfig) -> Said:
    """Return what *engine* says of every page of the model."""
    runs, records, _ = live_rows(engine.tables)
    proven = np.zeros(config.nr_pages, RECORD_DTYPE)
    kernel = proven.copy()
    for view in (0, 1):
        for run, record in zip(runs, records, strict=True):
            if run["kernel_view"] == view:
                pages = slice(int(run["pfn"]), int(run["pfn"] + run["nr_pages"]))
                kernel[pages] = record
                if view == 0:
                    proven[pages] = record
    sections = np.arange(config.nr_pages) // config.pages_per_section
    slot = np.full(sections.max() + 1, -1)
    generation = np.zeros(sections.max() + 1, np.int32)
    known = engine.tables.slot.size
    slot[:known], generation[:known] = engine.tables.slot[: slot.size], engine.tables.generation[: slot.size]
    return Said(proven=proven, kernel=kernel, absent=slot[sections] < 0, generation=generation[sections])


def stamps(records: NDArray[np.void], offset: int) -> NDArray[np.int64]:
    """Return page_owner's time of each record, as the fold knows it."""
    derived = np.where(records["alloc_ts"] == ABSENT64, ABSENT64, records["alloc_ts"] + offset)
    return np.where(records["ts_nsec"] != ABSENT64, records["ts_nsec"], derived)


def wrong(records: NDArray[np.void], truth: Pages, config: ModelConfig) -> dict[str, NDArray[np.bool_]]:
    """Return for each attribute of an answer on which pages it is not true; an attribute not known is not wrong."""
    owned = (records["state"] == State.OWNED) & (truth["state"] == PageState.OWNED)
    differ = {
        "state": ((records["state"] == State.OWNED) != (truth["state"] == PageState.OWNED))
        & (records["state"] != State.UNKNOWN)
    }
    for name in NUMBERS:
        unknown = records[name] == np.iinfo(records[name].dtype).min
        differ[name] = owned & ~unknown & (records[name] != truth[name])
    stamp = stamps(records, config.owner_clock_offset)
    differ["ts"] = owned & (stamp != ABSENT64) & (np.abs(stamp - truth["ts_nsec"]) > SAME_TS_NSEC)
    return differ


def describe(differ: dict[str, NDArray[np.bool_]], records: NDArray[np.void], truth: Pages, limit: int = 6) -> list[str]:
    """Return the first differences, for the message of a failed test."""
    lines = []
    for name, pages in differ.items():
        for pfn in np.flatnonzero(pages)[:limit].tolist():
            ours = {field: int(records[field][pfn]) for field in ("state", *NUMBERS, "how", "block_pfn", "begin_seq")}
            theirs = {field: int(truth[field][pfn]) for field in ("state", *NUMBERS, "event", "early")}
            lines.append(f"{name} of pfn {pfn}: fold {ours}, model {theirs}")
    return lines


def unknown_or(truth: Truth) -> NDArray[np.bool_]:
    """Return the pages of which no event ever told: only a dump can."""
    return truth.actual.pages["event"] < 0
