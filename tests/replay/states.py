"""What an engine holds, page by page, in the oracle's words; and engines and trails run over histories."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.facts.carried import collected
from pagetrail.replay.facts.digest import plain
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.fold.records.held import lasting_doubts, records_of
from pagetrail.replay.fold.tables import (
    DOUBTS,
    EVENTS,
    LAST_SEQ,
    LAST_TS,
    LIVE,
    QUARANTINE,
    RUNS,
    SPARE,
    Tables,
    live_pieces,
    remembered_moves,
)
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.rules.sections import generations
from pagetrail.replay.rules.state import StreamState
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.run.replayer import Replayer
from pagetrail.replay.run.report import ReplayReport
from pagetrail.replay.store.content import Content, Link
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.frames import Frame, decode_frame
from pagetrail.schemas.log.contract import MAX_READ_BYTES
from pagetrail.schemas.owner import (
    ABSENT64,
    ACT_FIELDS,
    DETAIL_FIELDS,
    OPEN_END,
    OWNER_FIELDS,
    RECORD_DTYPE,
    RUN_DTYPE,
    Anomaly,
    Evidence,
)
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import fold_name, stream_name
from pagetrail.schemas.structs import concatenated
from tests.oracles.fold.oracle import Reference
from tests.oracles.fold.values import FIELDS, Flag, Owner, Span

FLOOR = 12
"""Events of a segment, at least: small, so that a short history has many."""

ABSENT = {name: int(np.iinfo(RECORD_DTYPE[name]).min) for name in FIELDS}

State = dict[tuple[int, int], tuple[Any, ...]]
Expanded = Counter[tuple[Any, ...]]


def said(engine: StreamEngine, record: np.void) -> tuple[Any, ...]:
    """Return all that a record says, in the order of ``FIELDS``; what is absent is None."""
    values = {}
    for name in FIELDS:
        value = int(record[name])
        if name.endswith("comm"):
            values[name] = None if value < 0 else engine.state.comms.texts[value]
        elif name.endswith("stack"):
            values[name] = None if value < 0 else engine.state.stacks.raw[value]
        else:
            values[name] = None if value == ABSENT[name] else value
    return tuple(values.values())


def live_rows(tables: Tables) -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]:
    """Return the open spans of ``live_pieces`` at once: runs, their records (row by row), and the handles of the records."""
    pieces = list(live_pieces(tables))
    runs = concatenated([np.zeros(0, RUN_DTYPE), *(piece.runs() for piece in pieces)])
    handles = np.concatenate([np.zeros(0, np.int64), *(piece.handles for piece in pieces)])
    return runs, records_of(tables, handles, runs["pfn"]), handles


def live_state(engine: StreamEngine) -> State:
    """Return (page, view) → (generation, all that its record says)."""
    runs, records, _ = live_rows(engine.state.tables)
    state: State = {}
    for run, record in zip(runs, records, strict=True):
        content = (int(run["generation"]), said(engine, record))
        for page in range(int(run["pfn"]), int(run["pfn"] + run["nr_pages"])):
            assert (page, int(run["kernel_view"])) not in state
            state[page, int(run["kernel_view"])] = content
    return state


def ended_spans(t: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return the spans that ended in the present stretch, in that order: RUN_DTYPE and RECORD_DTYPE."""
    ended = t.runs[: t.counts[RUNS]]
    runs, records = np.zeros(ended.size, RUN_DTYPE), np.zeros(ended.size, RECORD_DTYPE)
    for run, record, row in zip(runs, records, ended, strict=True):
        begun, over = (
            {name: column[row[which]] for name, column in t.events._asdict().items()}
            for which in ("begin_event", "end_event")
        )
        for name in ("pfn", "nr_pages", "generation", "kernel_view"):
            run[name] = row[name]
        run["end_seq"], run["end_ts"], run["end_how"] = (
            over["seq"],
            over["ts"],
            t.acts[over["act"], ACT_FIELDS.index("how")],
        )
        for fields, values in ((ACT_FIELDS, t.acts[begun["act"]]), (OWNER_FIELDS, t.owners[begun["owner"]])):
            for name, value in zip(fields, values.tolist(), strict=True):
                record[name] = np.iinfo(record[name].dtype).min if value == ABSENT64 else value
        detail = (
            dict(zip(DETAIL_FIELDS, t.details[begun["detail"]].tolist(), strict=True)) if begun["detail"] >= 0 else {}
        )
        for name in ("ts_nsec", "free_ts_nsec", "src_pfn"):
            record[name] = detail.get(name, ABSENT64)
        record["begin_seq"], record["begin_ts"], record["evidence_ts"] = begun["seq"], begun["ts"], begun["ts"]
        if detail.get("evidence_ts", ABSENT64) != ABSENT64:
            record["evidence_ts"] = detail["evidence_ts"]
        record["alloc_ts"] = ABSENT64 if begun["age"] == ABSENT64 else begun["ts"] - begun["age"]
        order = max(int(record["order"]), 0)
        record["block_pfn"] = row["pfn"] >> order << order
        if detail.get("block_pfn", ABSENT64) != ABSENT64:
            record["block_pfn"] = detail["block_pfn"]
    return runs, records


def closed_spans(engine: StreamEngine) -> Counter[Span]:
    """Return the spans that ended in the present stretch, page by page, without those that covered no instant."""
    spans: Counter[Span] = Counter()
    for run, record in zip(*ended_spans(engine.state.tables), strict=True):
        if record["begin_seq"] == run["end_seq"]:
            continue
        content = said(engine, record)
        for page in range(int(run["pfn"]), int(run["pfn"] + run["nr_pages"])):
            spans[Span(
                pfn=page, view=int(run["kernel_view"]), generation=int(run["generation"]), said=content,
                end_seq=int(run["end_seq"]), end_ts=int(run["end_ts"]), end_how=int(run["end_how"]),  # type: ignore[arg-type]
            )] += 1  # fmt: skip
    return spans


def flags(engine: StreamEngine, rows: np.ndarray) -> Counter[tuple[Flag, int, int]]:
    """Return what the debug client says, page by page, with seq and time of each end; none that covered no instant."""
    found: Counter[tuple[Flag, int, int]] = Counter()
    for row in rows:
        name = engine.state.facts.fields[int(row["field"])]
        said = {key: int(row[key]) for key in ("generation", "value", "begin_seq", "begin_ts")}
        for page in range(int(row["pfn"]), int(row["pfn"] + row["nr_pages"])):
            flag = Flag(pfn=page, field=name.split(".")[1], evidence=Evidence(int(row["evidence"])), **said)
            found[flag, int(row["end_seq"]), int(row["end_ts"])] += 1
    return found


def live_flags(engine: StreamEngine) -> set[Flag]:
    """Return what the debug client says now, page by page."""
    found = flags(engine, engine.state.values.live(engine.state.tables))
    assert set(found.values()) <= {1}
    assert all((seq, ts) == (OPEN_END, OPEN_END) for _, seq, ts in found)
    return {flag for flag, _, _ in found}


def doubts(engine: StreamEngine) -> Expanded:
    """Return the doubts of the present stretch, page by page; of an absurdly long one the first 4096 pages."""
    t = engine.state.tables
    found: Expanded = Counter()
    for row in t.doubts[: t.counts[DOUBTS]].tolist():
        pfn, nr_pages, *said = row
        for page in range(pfn, pfn + min(nr_pages, 4096)):
            found[(page, *said)] += 1
    return found


@dataclass
class Run:
    """An engine after some frames, and what it sealed on the way.

    Whoever asks only what the fold says does not need what segments would hold (*kept*): to make that takes most of the time.
    """

    engine: StreamEngine
    kept: bool = True
    write: Callable[[Content], object] = lambda content: None
    link: Link = field(default_factory=Link)
    digests: list[tuple[int, int, str]] = field(default_factory=list)
    state_digests: list[str] = field(default_factory=list)
    passed: list[Facts] = field(default_factory=list)
    """The facts of each sealed stretch."""
    tables: list[dict[str, pa.Table]] = field(default_factory=list)
    spans: Counter[Span] = field(default_factory=Counter)
    doubts: Expanded = field(default_factory=Counter)
    flags: Counter[tuple[Flag, int, int]] = field(default_factory=Counter)
    quarantined: list[tuple[int, ...]] = field(default_factory=list)

    def apply(self, frames: Iterable[Frame]) -> "Run":
        """Fold *frames*, and take what each seal would write."""
        for frame in frames:
            for stretch in self.engine.apply(*decode_frame(frame.payload)):
                self._keep(stretch)
                self._gather()
        return self

    @property
    def facts(self) -> Facts:
        """The facts since the stream began."""
        return collected([*self.passed, self.engine.state.facts])

    def _keep(self, stretch: Stretch) -> None:
        known = collected([*self.passed, stretch.facts])
        self.passed += [] if stretch.origin.tip else [stretch.facts]
        if not self.kept:
            return
        content = Content(stretch, self.link)
        self.write(content)
        origin = content.stretch.origin
        self.digests.append((origin.first_seq, origin.last_seq, content.digest))
        self.state_digests.append(content.state_digest(known))
        self.tables.append(content.tables())
        self.link = content.link

    def _gather(self) -> None:
        t = self.engine.state.tables
        self.spans += closed_spans(self.engine)
        self.doubts += doubts(self.engine)
        self.flags += flags(self.engine, self.engine.state.values.closed())
        self.quarantined += [tuple(row) for row in t.quarantine[: t.counts[QUARANTINE]].tolist()]

    def finish(self) -> "Run":
        """Take what was not sealed too."""
        self._gather()
        self._keep(self.engine.stretch())
        return self

    def content(self) -> Content:
        """Return what a tip would hold now."""
        return Content(self.engine.stretch(), self.link)


def new_engine(*, correct: bool = True, floor: int = FLOOR) -> StreamEngine:
    """Return the engine of a stream of which nothing is known."""
    return StreamEngine(host="host", boot_id="boot", options=FoldOptions(correct=correct, floor=floor, events_a_live=1))


def folded(frames: Iterable[Frame], *, correct: bool = True, floor: int = FLOOR, kept: bool = True) -> Run:
    """Return a run over *frames*, to its end."""
    return Run(new_engine(correct=correct, floor=floor), kept=kept).apply(frames).finish()


def anomalies(engine: StreamEngine) -> dict[Anomaly, tuple[int, int, int]]:
    """Return events, pages and the first stream_seq of each kind of anomaly that was met."""
    rows = engine.state.tables.anomalies
    return {kind: tuple(rows[kind, :3].tolist()) for kind in Anomaly if rows[kind, 0]}


def reference_anomalies(reference: Reference) -> dict[Anomaly, tuple[int, int, int]]:
    """Return the same of the oracle."""
    noted = reference.events_noted
    return {kind: (len(noted[kind]), reference.pages_noted[kind], min(noted[kind])) for kind in Anomaly if noted[kind]}


def open_baseline(state: StreamState) -> tuple[object, ...] | None:
    """Return the baseline that is open, entry by entry."""
    opened = state.baseline
    if opened is None:
        return None
    records = opened.records()
    return opened.begin, opened.seq, opened.floor, opened.since, None if records is None else records.to_pylist()


def semantic(engine: StreamEngine, link: Link) -> dict[str, Any]:
    """Return every attribute of a stream, in words that do not depend on how its arrays are laid out."""
    state, t = engine.state, engine.state.tables
    content = Content(engine.stretch(), link)
    handles = live_rows(t)[2].tolist()
    renumbered = {handle: i for i, handle in enumerate(dict.fromkeys(handles))}
    return {
        "host": engine.host, "boot_id": engine.boot_id, "options": engine.options, "facts": plain(state.facts),
        "sections": plain(state.sections.history), "open": sorted(state.sections._open), "opts": state.opts.tolist(),
        "sections are the facts'": state.sections.history is state.facts.sections, "correct": state.correct,
        "segment": (engine.segment_first_seq, engine.segment_first_ts, link),
        "baseline": open_baseline(state), "pages": live_state(engine), "records": [renumbered[h] for h in handles],
        "sizes": [int(t.records[h]["pages"]) for h in renumbered], "generations": generations(t),
        "seated sections are open": [nr for nr in np.flatnonzero(t.slot >= 0).tolist() if not state.sections.is_open(nr)] == [],
        "anomalies": anomalies(engine), "spans": closed_spans(engine),
        "doubts": doubts(engine),
        "doubted": lasting_doubts(t).tolist(), "moves": remembered_moves(t).tolist(),
        "quarantine": t.quarantine[: t.counts[QUARANTINE]].tolist(),
        "counts": {i: int(t.counts[i]) for i in (LIVE, RUNS, DOUBTS, QUARANTINE, EVENTS, LAST_TS, LAST_SEQ)},
        "unused": int(t.counts[SPARE]) + int(t.counts[LIVE]) == t.records.shape[0],
        "types": [(array.dtype, array.shape[1:]) for array in (*t, *t.events) if isinstance(array, np.ndarray)],
        "values": (live_flags(engine), flags(engine, state.values.closed())),
        "clients": [client.name for client in state.values.needed], "fields": state.values.fields,
        "differences": content.tables()["audit_differences"].to_pylist(),
        "digest": (content.digest, content.state_digest(state.facts)),
        "derived": (sorted(set(vars(engine)) - {"_room", "state"}), sorted(set(vars(state)) - {"comms", "stacks", "tables"})),
    }  # fmt: skip


# -- trails --------------------------------------------------------------------------------------------------------------


def trail_of(folder: Path, frames: Sequence[Frame]) -> Path:
    """Return a new trail that holds *frames*."""
    folder.mkdir(parents=True)
    with SqliteLogWriter(folder) as log:
        log.append(frames)
    return folder


def replay(
    trail: Path,
    *,
    correct: bool = True,
    floor: int = FLOOR,
    read_bytes: int = MAX_READ_BYTES,
    frames: int | None = None,
    into: Store | None = None,
) -> tuple[ReplayReport, Replayer]:
    """Replay a trail to the end of its log, or stop after so many frames; *into* another store than its own."""
    with SqliteLogReader(trail) as reader:
        options = FoldOptions(correct=correct, floor=floor, events_a_live=1)
        replayer = Replayer(trail, reader, store=into, options=options, read_bytes=read_bytes)
        stop = (lambda: False) if frames is None else (lambda: replayer.report.frames >= frames)
        return replayer.run(stop=stop), replayer


def store(trail: Path) -> dict[str, str]:
    """Return the segments and tips of a trail, all streams and folds, by name, with their digests."""
    root = store_of(trail).root
    return {
        name: digest_of(store_of(trail), name)
        for name in sorted(str(path.relative_to(root)) for path in root.rglob("[!.]*.duckdb"))
    }


def digest_of(holder: Store, name: str) -> str:
    """Return the digest that a segment or tip has of itself."""
    from pagetrail.replay.store.read import meta, opened

    with opened(holder, name) as db:
        return meta(db, name)["digest"]


def litter(trail: Path) -> list[str]:
    """Return what stopped writers left."""
    return [path.name for path in store_of(trail).root.rglob(".writing-*")]


def place(trail: Path, *, host: str = "host", boot_id: str = "boot", fold: str | None = None) -> StreamPlace:
    """Return where the files of a stream are in its trail."""
    return StreamPlace(store_of(trail), stream_name(host, boot_id, fold or fold_name(correct=True)))


def stream(trail: Path, **whose: Any) -> Path:
    """Return the folder of a stream's files."""
    return store_of(trail).root / place(trail, **whose).name


def chained(trail: Path, **whose: Any) -> list[Path]:
    """Return the files of a stream, in order."""
    return [store_of(trail).root / file.name for file in place(trail, **whose).chain()]


def owners(reference: Reference) -> dict[tuple[int, int], Owner]:
    """Return (page, view) → owner."""
    return {(p, v): o for v, pages in enumerate((reference.proven, reference.kernel)) for p, o in pages.items()}
