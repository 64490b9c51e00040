"""What a segment holds, as Arrow tables: from the engine's arrays, and back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import open_call_doubts, plain
from pagetrail.replay.fold.options import OPT_SKEW
from pagetrail.replay.fold.tables import ANOMALY_ROWS, DOUBTS, QUARANTINE, RUNS, live_rows, recent_moves
from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.store.digest import facts_digest, join_digests, rows_digest, spans_digest, values_digest
from pagetrail.replay.store.state_digest import EndedSums, doubts_sum, quarantined_sum, spans_sum, values_sum
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    ANOMALY_TEXT,
    DOUBT_DTYPE,
    DOUBT_TEXT,
    OPEN_END,
    Anomaly,
    Evidence,
    How,
    State,
)
from pagetrail.schemas.store.tables import FOLD_VERSION, STORE_FORMAT, TABLE
from pagetrail.schemas.structs import taken

_SMALLEST = {
    np.dtype(np.int64): ABSENT64, np.dtype(np.int32): ABSENT32, np.dtype(np.int16): ABSENT16, np.dtype(np.int8): ABSENT8,
}  # fmt: skip
_ARROW = {
    "BIGINT": pa.int64(), "INTEGER": pa.int32(), "SMALLINT": pa.int16(), "TINYINT": pa.int8(), "VARCHAR": pa.utf8(),
    "BOOLEAN": pa.bool_(),
}  # fmt: skip
_RUN_FIELDS = ("pfn", "nr_pages", "end_seq", "end_ts", "generation", "end_how", "kernel_view")


class Stretch:
    """The state of an engine at one instant, taken apart into tables: a segment's content, or a tip's."""

    def __init__(self, engine: StreamEngine, *, tip: bool) -> None:
        t = engine.tables
        self.engine = engine
        self.first_seq, self.last_seq = engine.segment_first_seq, engine.last_seq
        self.runs, self.records = t.runs[: t.counts[RUNS]], t.closed[: t.counts[RUNS]]
        self.live_runs, self.live_records, self.live_handles = live_rows(t)
        self.noticed = t.doubts[: t.counts[DOUBTS]]
        self.doubts = np.concatenate([self.noticed, open_call_doubts(engine.facts)])
        self.values, self.live_values = engine.values.closed(), engine.values.live(t)
        self.digest = self._digest()
        self.ended = engine.ended.plus(self._ended())
        self.state_digest = self._state_digest()
        self.tip = tip

    def _digest(self) -> str:
        e = self.engine
        return join_digests(
            e.parent_digest.encode(),
            f"{e.host}\0{e.boot_id}\0{e.options.name}\0{self.first_seq}\0{self.last_seq}".encode(),
            spans_digest(self.runs, self.records, e.comms.texts, e.stacks.ids),
            spans_digest(self.live_runs, self.live_records, e.comms.texts, e.stacks.ids),
            rows_digest(self.doubts),
            e.tables.anomalies[:, :3].tobytes(),
            facts_digest(e.facts),
            *values_digest(self.values, self.live_values, e.facts.fields),
        )

    def _ended(self) -> EndedSums:
        """Return the sums over what ended in the stretch."""
        e = self.engine
        return EndedSums(
            spans=spans_sum(self.runs, self.records, e.comms.texts, e.stacks.ids),
            values=values_sum(self.values, e.facts.fields),
            doubts=doubts_sum(self.noticed),
            quarantined=quarantined_sum(e.tables.quarantine[: e.tables.counts[QUARANTINE]]),
        )

    def _state_digest(self) -> str:
        e = self.engine
        live = spans_sum(self.live_runs, self.live_records, e.comms.texts, e.stacks.ids)
        return join_digests(
            json.dumps(self.ended.plain()).encode(),
            f"{live:032x} {values_sum(self.live_values, e.facts.fields):032x}".encode(),
            e.tables.anomalies[:, :3].tobytes(),
            facts_digest(e.facts),
        )

    def tables(self) -> dict[str, pa.Table]:
        """Return every table of the segment, by name."""
        e = self.engine
        facts = e.facts
        closed = np.lexsort((self.records["begin_seq"], self.runs["pfn"]))
        comms, stacks = self._used("comm", "free_comm"), self._used("stack", "free_stack")
        spans = _spans(taken(self.runs, closed), taken(self.records, closed), np.full(closed.size, -1), comms, stacks)
        return {
            "meta": _rows("meta", list(self._meta().items())),
            "words": _rows("words", _words()),
            "spans": spans,
            "live": _spans(self.live_runs, self.live_records, self.live_handles, comms, stacks),
            "sections": _rows("sections", [tuple(asdict(s).values()) for s in facts.sections]),
            "page_ext": _values(np.concatenate([self.values, self.live_values]), facts.fields),
            "gaps": _rows("gaps", [(s, cpu, g.t_lo, g.t_hi, g.lost, g.reason) for s, cpu, g in facts.gaps]),
            "doubts": pa.table({n: np.ascontiguousarray(self.doubts[n]) for n in DOUBT_DTYPE.names or ()}),
            "anomalies": _rows("anomalies", self._anomalies()),
            "quarantined": _rows("quarantined", e.tables.quarantine[: e.tables.counts[QUARANTINE]].tolist()),
            "audits": _rows("audits", [tuple(asdict(a).values())[:10] for a in facts.audits]),
            "audit_differences": _differences(e.differences),
            "markers": _rows("markers", facts.markers),
            "hotplug": _rows("hotplug", [tuple(asdict(h).values()) for h in facts.hotplug]),
            "stacks": _rows("stacks", [
                (i, e.stacks.ids[d], e.stacks.frames[d], e.stacks.raw[d], e.stacks.truncated[d])
                for i, d in enumerate(stacks.tolist())]),
            "comms": _rows("comms", [(i, e.comms.texts[d]) for i, d in enumerate(comms.tolist())]),
            "state": _rows("state", [(name, json.dumps(value)) for name, value in self._state().items()]),
        }  # fmt: skip

    def _used(self, *fields: str) -> NDArray[np.int64]:
        parts = [rows[name] for rows in (self.records, self.live_records) for name in fields]
        used = np.unique(np.concatenate(parts))
        return np.asarray(used[used >= 0], np.int64)

    def _meta(self) -> dict[str, str]:
        e = self.engine
        first_ts = e.segment_first_ts if e.segment_first_ts is not None else e.last_ts
        reach = min((int(ts) for ts in self.doubts["from_ts"]), default=OPEN_END)
        values = {
            "format": STORE_FORMAT, "fold_version": FOLD_VERSION, "fold": e.options.name,
            "host": e.host, "boot_id": e.boot_id, "tip": int(self.tip), "first_seq": self.first_seq,
            "last_seq": self.last_seq, "first_ts": first_ts, "last_ts": e.last_ts, "digest": self.digest,
            "state_digest": self.state_digest, "parent_digest": e.parent_digest, "doubts_reach_back_to": reach,
            "live_pages": int(self.live_runs["nr_pages"][self.live_runs["kernel_view"] == 0].sum()),
        }  # fmt: skip
        return {key: "" if value is None else str(value) for key, value in values.items()}

    def _anomalies(self) -> list[tuple[int, ...]]:
        counts = self.engine.tables.anomalies
        return [(k, *(int(x) for x in counts[k, :3])) for k in range(ANOMALY_ROWS) if counts[k, 0]]

    def _state(self) -> dict[str, object]:
        e = self.engine
        return {
            "facts": plain(e.facts),
            "counts": e.tables.counts.tolist(),
            "moves": recent_moves(e.tables, int(e.opts[OPT_SKEW])).tolist(),
            "options": e.opts.tolist(),
            "segment_first_seq": e.segment_first_seq,
            "segment_first_ts": e.segment_first_ts,
            "generation": e.tables.generation.tolist(),
            "floor": e.options.floor,
            "ended": (e.ended if self.tip else self.ended).plain(),
            "view": None if e.view is None else e.view.plain(),
        }


def _rows(name: str, rows: Sequence[Sequence[object]]) -> pa.Table:
    columns = TABLE[name].columns
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.table(
        {column[0]: pa.array(values, _ARROW[column[1]]) for column, values in zip(columns, by_column, strict=True)}
    )


def _spans(
    runs: NDArray[np.void],
    records: NDArray[np.void],
    handles: NDArray[np.int64],
    comms: NDArray[np.int64],
    stacks: NDArray[np.int64],
) -> pa.Table:
    arrays = {}
    for name, kind, _ in TABLE["live"].columns:
        if name == "record":
            column = np.asarray(handles, np.int32)
            arrays[name] = pa.array(column, _ARROW[kind], mask=column < 0)
            continue
        column = np.ascontiguousarray((runs if name in _RUN_FIELDS else records)[name])
        if name in ("comm", "free_comm", "stack", "free_stack"):
            used = comms if "comm" in name else stacks
            mask = column < 0
            column = np.searchsorted(used, column).astype(np.int32)
        else:
            mask = column == _SMALLEST[column.dtype]
        arrays[name] = pa.array(column, _ARROW[kind], mask=mask)
    return pa.table(arrays)


def _values(rows: NDArray[np.void], fields: Sequence[str]) -> pa.Table:
    """Return spans of what page_ext's clients hold, sorted by field, pfn and begin."""
    rows = rows[np.lexsort((rows["begin_seq"], rows["pfn"], rows["field"]))]
    names = [fields[field].split(".", 1) for field in rows["field"].tolist()]
    columns = {"client": [client for client, _ in names], "field": [field for _, field in names]}
    return pa.table({
        name: pa.array(columns[name] if name in columns else np.ascontiguousarray(rows[name]), _ARROW[kind])
        for name, kind, _ in TABLE["page_ext"].columns
    })  # fmt: skip


def _differences(found: list[dict[str, Any]]) -> pa.Table:
    tables = []
    for d in found:
        if "table" in d:  # as a tip kept them
            tables.append(d["table"])
            continue
        ours = d["ours"]
        size, more = len(d["pfn"]), len(d["extra"])
        owned = np.concatenate([ours["state"] == State.OWNED, np.ones(more, bool)])

        def kernel(name: str, missing: int, more: int = more, d: dict[str, Any] = d) -> pa.Array:
            column = np.asarray(d[name])
            column = np.concatenate([column, np.full(more, missing, column.dtype)])
            return pa.array(column, mask=column == missing)

        def replay(name: str, d: dict[str, Any] = d, owned: NDArray[np.bool_] = owned) -> pa.Array:
            column = np.concatenate([d["ours"][name], d["extra_ours"][name]])
            return pa.array(column, mask=~owned | (column == _SMALLEST[column.dtype]))

        stamps = np.concatenate([d["ours_ts"], d["extra_ts"]])
        tables.append(pa.table({
            "seq": np.full(size + more, d["seq"], np.int64), "name": [d["name"]] * (size + more),
            "pfn": np.concatenate([d["pfn"], d["extra"]]),
            "class": [str(c) for c in d["class"]] + ["not in the dump"] * more,
            "kernel_order": kernel("order", ABSENT8), "kernel_pid": kernel("pid", ABSENT32),
            "kernel_tgid": kernel("tgid", ABSENT32), "kernel_gfp_mask": kernel("gfp_mask", ABSENT64),
            "kernel_ts_nsec": kernel("ts_nsec", ABSENT64), "order": replay("order"), "pid": replay("pid"),
            "tgid": replay("tgid"), "gfp_mask": replay("gfp_mask"),
            "ts_nsec": pa.array(stamps, mask=~owned | (stamps == ABSENT64)),
        }))  # fmt: skip
    empty = _rows("audit_differences", [])
    return pa.concat_tables([empty, *[table.cast(empty.schema) for table in tables]])


def _words() -> list[tuple[str, int, str]]:
    def of(field: str, words: type[State] | type[Evidence] | type[How]) -> list[tuple[str, int, str]]:
        return [(field, int(word), word.name.lower().replace("_", " ")) for word in words]

    anomalies = [("kind", int(kind), ANOMALY_TEXT[Anomaly(kind)]) for kind in ANOMALY_TEXT]
    reasons = [("reason", code, text) for code, text in DOUBT_TEXT.items()]
    return [*of("state", State), *of("evidence", Evidence), *of("how", How), *of("end_how", How), *anomalies, *reasons]
