"""What the fold says of every page, beside what the model kernel knows to be true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.log.framing import single
from pagetrail.queries.core.certainty import judge
from pagetrail.queries.core.judgement import ATTRIBUTES
from pagetrail.queries.core.row_columns import unknown_records
from pagetrail.replay.fold.records.held import records_of
from pagetrail.replay.fold.tables import DOUBTS
from pagetrail.replay.rules.clients.client import UNKNOWN
from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import CLOCK_SKEW_OPTION, RecordingBegin
from pagetrail.schemas.frames import FrameOrigin, header_of
from pagetrail.schemas.linux.gfp import GFP_MOVABLE
from pagetrail.schemas.owner import ABSENT64, RUN_DTYPE, SAME_TS_NSEC, State
from tests.model.config import ModelConfig
from tests.model.kernel import History
from tests.model.page_ext import Pages, PageState, Truth

ORIGIN = FrameOrigin(host="model", boot_id="boot", recording="model", producer="workload-model", producer_version="1")
LARGEST = ModelConfig().max_order - 1  # order of its largest block
NUMBERS = ("order", "pid", "tgid", "gfp_mask")


def numbered(events: EventBatch, skew: int = 0) -> EventBatch:
    """Return *events* as a recording that declares a clock skew: row i has seq i + 1, after the RECORDING_BEGIN."""
    first = int(events.columns["trace_ts_nsec"][0])
    options = {CLOCK_SKEW_OPTION: str(skew)} if skew else {}
    begin = single(
        Kind.RECORDING_BEGIN, first, RecordingBegin(source="model", format="workload-model", options=options)
    )
    batch = concat([begin, events])
    return EventBatch(
        columns={**batch.columns, "seq": np.arange(len(batch), dtype=np.int64)},
        texts=batch.texts,
        details=batch.details,
    )


def folded(
    events: EventBatch, rows: Sequence[int], options: FoldOptions | None = None, skew: int = 0
) -> Iterator[StreamEngine]:
    """Yield the engine as it stands just after each of *rows*, which rise: one frame up to each."""
    batch, done = numbered(events, skew), 0
    engine = StreamEngine(
        host=ORIGIN.host, boot_id=ORIGIN.boot_id, options=options or FoldOptions(floor=1 << 40, events_a_live=1)
    )
    for frame, row in enumerate(rows):
        part = batch.slice(done, row + 2)
        for _ in () if not len(part) else engine.apply(header_of(part, ORIGIN, frame), part):
            pass
        done = row + 2
        yield engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the fold says of each page: RECORD_DTYPE, state UNKNOWN where nothing is known; and which are absent."""

    proven: NDArray[np.void]
    kernel: NDArray[np.void]
    viewed: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    generation: NDArray[np.int32]


def said(engine: StreamEngine, config: ModelConfig) -> Said:
    """Return what *engine* says of every page of the model."""
    tables, pages = engine.state.tables, engine.state.facts.pages_per_section
    sections = config.nr_pages // pages
    slot, generation = np.full(sections, -1), np.zeros(sections, np.int32)
    known = min(tables.slot.size, sections)
    slot[:known], generation[:known] = tables.slot[:known], tables.generation[:known]
    owner, view = np.full((sections, pages), -1), np.full((sections, pages), -1)
    owner[slot >= 0], view[slot >= 0] = tables.owner[slot[slot >= 0]], tables.kernel[slot[slot >= 0]]
    return Said(
        proven=_records(engine, owner.ravel()),
        kernel=_records(engine, np.where(view >= 0, view, owner).ravel()),
        viewed=view.ravel() >= 0,
        absent=np.repeat([not engine.state.sections.is_open(nr) for nr in range(sections)], pages),
        generation=np.repeat(generation, pages),
    )


def flags_said(engine: StreamEngine, config: ModelConfig) -> dict[str, NDArray[np.int64]]:
    """Return what *engine* says of each flag of every page of the model: 1, 0, or UNKNOWN."""
    found = {name: np.full(config.nr_pages, UNKNOWN, np.int64) for name in ("poison", "guard")}
    for row in engine.state.values.live(engine.state.tables):
        name = engine.state.facts.fields[row["field"]].removeprefix("debug.")
        found[name][row["pfn"] : row["pfn"] + row["nr_pages"]] = row["value"]
    return found


def _records(engine: StreamEngine, handles: NDArray[np.int64]) -> NDArray[np.void]:
    records = unknown_records(handles.size)
    known = np.flatnonzero(handles >= 0)
    records[known] = records_of(engine.state.tables, handles[known], known)
    return records


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


def describe(
    differ: dict[str, NDArray[np.bool_]], records: NDArray[np.void], truth: Pages, limit: int = 6
) -> list[str]:
    """Return the first differences, for the message of a failed test."""
    lines = []
    for name, pages in differ.items():
        for pfn in np.flatnonzero(pages)[:limit].tolist():
            ours = {field: int(records[field][pfn]) for field in ("state", *NUMBERS, "how", "block_pfn", "begin_seq")}
            theirs = {field: int(truth[field][pfn]) for field in ("state", *NUMBERS, "event", "early")}
            lines.append(f"{name} of pfn {pfn}: fold {ours}, model {theirs}")
    return lines


def expected(truth: Truth) -> Pages:
    """Return what is to be proven: who really owns each page; of pages that no event told of, what page_owner says."""
    told = truth.actual.pages["event"] >= 0
    stamped = truth.kernel.pages["state"] == PageState.OWNED
    unseen = ~told & ~stamped & (truth.actual.pages["state"] == PageState.OWNED)
    pages: Pages = np.where(told | unseen, truth.actual.pages, truth.kernel.pages)
    return pages


def listed(truth: Truth) -> Pages:
    """Return the kernel's records as a dump of that instant lists them: it steps over what lies in the buddy allocator."""
    pages: Pages = truth.kernel.pages.copy()
    pages["state"][(pages["state"] == PageState.OWNED) & truth.actual.pages["in_buddy"]] = PageState.FREE
    return pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered for every page at an instant, with (pages, ATTRIBUTES) bool: of what it is certain."""

    ts: int
    said: Said
    certain: NDArray[np.bool_]


def answers(
    events: EventBatch, instants: Sequence[int], config: ModelConfig, skew: int = 0
) -> tuple[list[Answer], StreamEngine]:
    """Return the answers at *instants* (trace clock, rising) when all of *events* have been replayed."""
    ts = events.columns["trace_ts_nsec"]
    rows = [int(row) - 1 for row in np.searchsorted(ts, instants, side="right")]
    assert rows[0] >= 0
    states = []
    for engine in folded(events, [*rows, len(events) - 1], skew=skew):
        states.append(said(engine, config))
    doubts = engine.state.tables.doubts[: engine.state.tables.counts[DOUBTS]]
    return [_judged(engine, state, at, doubts) for state, at in zip(states, instants, strict=False)], engine


def _judged(engine: StreamEngine, state: Said, at: int, doubts: NDArray[np.void]) -> Answer:
    runs = np.zeros(state.proven.size, RUN_DTYPE)
    runs["pfn"], runs["nr_pages"] = np.arange(runs.size), 1
    bears = doubts[(doubts["from_ts"] <= at) & (doubts["to_ts"] >= at)]
    judged = judge(runs, state.proven, state.viewed, at, engine.state.facts, bears)
    certain = np.array([[name not in lost for name in ATTRIBUTES] for lost in judged.uncertain().to_pylist()])
    return Answer(ts=at, said=state, certain=certain & ~state.absent[:, None])


def wrong_and_certain(answer: Answer, truth: Truth, config: ModelConfig) -> dict[str, NDArray[np.bool_]]:
    """Return for each attribute on which pages the answer is certain of it, and not true."""
    real = expected(truth)
    differ = wrong(answer.said.proven, real, config)
    differ["state"] |= (real["state"] == PageState.ABSENT) & (answer.said.proven["state"] != State.UNKNOWN)
    differ["ts_nsec"] = differ.pop("ts")
    return {name: differ[name] & answer.certain[:, i] for i, name in enumerate(ATTRIBUTES)}


def contradictions(events: EventBatch) -> list[tuple[int, int, int]]:
    """Return what allocations and frees alone contradict, page by page: (pfn, last evidence, now), trace clock ns.

    Migrations and splits are evidence too; a dump is evidence for every page. A migration is of a whole block, and does not say
    how large it is: as large as its source was allocated, or, where that was not seen, as its target may be.
    """
    state: dict[int, tuple[State, int]] = {}
    orders: dict[int, int] = {}
    dump, found = 0, []
    names = ("kind", "trace_ts_nsec", "pfn", "order", "gfp_mask", "nr_pages", "src_pfn")
    for kind, ts, pfn, order, gfp_mask, nr_pages, src_pfn in zip(
        *(events.column(name).tolist() for name in names), strict=True
    ):
        if kind == Kind.BASELINE_END:
            dump = ts
            state.clear()  # what the dump says is compared elsewhere
        elif kind in (Kind.ALLOC, Kind.FREE, Kind.ISOLATE):
            new = State.FREE if kind == Kind.FREE else State.OWNED
            for page in range(pfn, pfn + (1 << order)):
                before, since = state.get(page, (State.UNKNOWN, 0))
                # an allocation with the mask of an isolated page is seen twice
                if before == new and not (kind == Kind.ALLOC and gfp_mask == GFP_MOVABLE):
                    found.append((page, max(since, dump), ts))
                state[page] = (new, ts)
                orders.pop(page, None)
            if kind == Kind.ALLOC:
                orders[pfn] = order
        elif kind in (Kind.SPLIT, Kind.MIGRATE, Kind.DRAIN, Kind.REFILL):
            size = nr_pages if kind == Kind.SPLIT else 1 << max(order, 0)
            if kind == Kind.MIGRATE:
                aligned = (pfn & -pfn or 1 << LARGEST).bit_length() - 1
                orders[pfn] = orders.get(src_pfn, min(aligned, LARGEST))
                size = 1 << orders[pfn]
            for page in range(pfn, pfn + size):
                state.pop(page, None)
    return found


def settled(history: History, at: int, bound: int) -> NDArray[np.bool_]:
    """Return the pages to which nothing happens within *bound* ns around an instant."""
    ts = history.events.columns["trace_ts_nsec"]
    low, high = (int(np.searchsorted(ts, at + side * bound, side="right")) for side in (-1, 1))
    quiet = np.ones(history.config.nr_pages, np.bool_)
    for event, op, arguments in history.journal.entries:
        if low - 1 <= event <= high and op in ("set_owner", "reset_owner", "split_owner", "drained", "refilled"):
            quiet[arguments[0] : arguments[0] + arguments[1]] = False
        elif low - 1 <= event <= high and op == "copy_owner":
            pfn, src_pfn, *more = arguments
            quiet[pfn : pfn + (more[0] if more else 1)] = False
            quiet[src_pfn] = False
    return quiet
