"""The content of a segment or a tip as Arrow tables, and its digests."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import open_call_doubts, plain
from pagetrail.replay.fold.tables import ANOMALY_ROWS
from pagetrail.replay.rules.dumped.said import SAID_TEXTS, Said
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.digest import (
    facts_digest,
    join_digests,
    rows_digest,
    said_digest,
    spans_digest,
    values_digest,
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link from the next file of a chain: the digest of the last segment, and the sums over the ended rows of all segments."""

    digest: str = ""
    ended: EndedSums = field(default_factory=EndedSums)


class Content:
    """The content of a file of the store: a stretch, and its place in the chain.

    Attributes
    ----------
    digest, state_digest
        The chain digest and the state digest; see the modules ``digest`` and ``state_digest``.
    link
        The link for the next file: to this segment, or, if this is a tip, to the same parent, because tips are not in the chain.
    """

    def __init__(self, stretch: Stretch, parent: Link) -> None:
        s = self.stretch = stretch
        self.parent = parent
        self.doubts = np.concatenate([s.doubts, open_call_doubts(s.facts)])
        self.digest = self._digest()
        ended = parent.ended.plus(self._ended())
        self.state_digest = self._state_digest(ended)
        self.link = parent if s.origin.tip else Link(digest=self.digest, ended=ended)

    def _digest(self) -> str:
        s, o = self.stretch, self.stretch.origin
        return join_digests(
            self.parent.digest.encode(),
            f"{o.host}\0{o.boot_id}\0{o.digest_name}\0{o.first_seq}\0{o.last_seq}".encode(),
            spans_digest(s.runs, s.records, s.comms, s.stacks.ids),
            spans_digest(s.live_runs, s.live_records, s.comms, s.stacks.ids),
            rows_digest(self.doubts),
            s.anomalies.tobytes(),
            facts_digest(s.facts),
            *values_digest(s.values, s.live_values, s.facts.fields),
            *said_digest(s.said),
        )

    def _ended(self) -> EndedSums:
        """Return the sums over the rows that ended in the stretch."""
        s = self.stretch
        return EndedSums(
            spans=spans_sum(s.runs, s.records, s.comms, s.stacks.ids),
            values=values_sum(s.values, s.facts.fields),
            doubts=doubts_sum(s.doubts),
            quarantined=quarantined_sum(s.quarantined),
        )

    def _state_digest(self, ended: EndedSums) -> str:
        s = self.stretch
        live = spans_sum(s.live_runs, s.live_records, s.comms, s.stacks.ids)
        return join_digests(
            json.dumps(ended.plain()).encode(),
            f"{live:032x} {values_sum(s.live_values, s.facts.fields):032x}".encode(),
            s.anomalies.tobytes(),
            facts_digest(s.facts),
        )

    def tables(self) -> dict[str, pa.Table]:
        """Return every table of the file, by name."""
        s, facts = self.stretch, self.stretch.facts
        closed = np.lexsort((s.records["begin_seq"], s.runs["pfn"]))
        comms, stacks = self._used("comm", "free_comm"), self._used("stack", "free_stack")
        spans = _spans(taken(s.runs, closed), taken(s.records, closed), np.full(closed.size, -1), comms, stacks)
        return {
            "meta": _rows("meta", list(self._meta().items())),
            "words": _rows("words", _words()),
            "spans": spans,
            "live": _spans(s.live_runs, s.live_records, s.live_handles, comms, stacks),
            "sections": _rows("sections", [tuple(asdict(e).values()) for e in facts.sections]),
            "page_ext": _values(np.concatenate([s.values, s.live_values]), facts.fields),
            "gaps": _rows("gaps", [(seq, cpu, g.t_lo, g.t_hi, g.lost, g.reason) for seq, cpu, g in facts.gaps]),
            "doubts": pa.table({n: np.ascontiguousarray(self.doubts[n]) for n in DOUBT_DTYPE.names or ()}),
            "anomalies": _rows("anomalies", self._anomalies()),
            "quarantined": _rows("quarantined", s.quarantined.tolist()),
            "audits": _rows("audits", [tuple(asdict(a).values())[:10] for a in facts.audits]),
            "audit_differences": _differences(s.differences),
            "markers": _rows("markers", facts.markers),
            "hotplug": _rows("hotplug", [tuple(asdict(h).values()) for h in facts.hotplug]),
            "stacks": _rows("stacks", [
                (i, s.stacks.ids[d], s.stacks.frames[d], s.stacks.raw[d], s.stacks.truncated[d])
                for i, d in enumerate(stacks.tolist())]),
            "comms": _rows("comms", [(i, s.comms[d]) for i, d in enumerate(comms.tolist())]),
            **_said(s.said),
            "state": _rows("state", [(name, json.dumps(value)) for name, value in self._state().items()]),
        }  # fmt: skip

    def _used(self, *fields: str) -> NDArray[np.int64]:
        ids = [rows[name] for rows in (self.stretch.records, self.stretch.live_records) for name in fields]
        used = np.unique(np.concatenate(ids))
        return np.asarray(used[used >= 0], np.int64)

    def _meta(self) -> dict[str, str]:
        s, o = self.stretch, self.stretch.origin
        reach = min((int(ts) for ts in self.doubts["from_ts"]), default=OPEN_END)
        values = {
            "format": STORE_FORMAT, "fold_version": FOLD_VERSION, "fold": o.fold,
            "host": o.host, "boot_id": o.boot_id, "tip": int(o.tip), "first_seq": o.first_seq,
            "last_seq": o.last_seq, "first_ts": o.last_ts if o.first_ts is None else o.first_ts, "last_ts": o.last_ts,
            "digest": self.digest, "state_digest": self.state_digest, "parent_digest": self.parent.digest,
            "doubts_reach_back_to": reach,
            "live_pages": int(s.live_runs["nr_pages"][s.live_runs["kernel_view"] == 0].sum()),
        }  # fmt: skip
        return {key: "" if value is None else str(value) for key, value in values.items()}

    def _anomalies(self) -> list[tuple[int, ...]]:
        counts = self.stretch.anomalies
        return [(k, *(int(x) for x in counts[k])) for k in range(ANOMALY_ROWS) if counts[k, 0]]

    def _state(self) -> dict[str, object]:
        return {"facts": plain(self.stretch.facts), "ended": self.link.ended.plain(), **self.stretch.resume}


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
    """Return the spans of page_ext's clients, sorted by field, pfn and begin."""
    rows = rows[np.lexsort((rows["begin_seq"], rows["pfn"], rows["field"]))]
    names = [fields[field].split(".", 1) for field in rows["field"].tolist()]
    columns = {"client": [client for client, _ in names], "field": [field for _, field in names]}
    return pa.table({
        name: pa.array(columns[name] if name in columns else np.ascontiguousarray(rows[name]), _ARROW[kind])
        for name, kind, _ in TABLE["page_ext"].columns
    })  # fmt: skip


def _said(said: Said) -> dict[str, pa.Table]:
    """Return the tables of what dumps said; texts that no value uses are left out."""
    used = np.unique(np.concatenate([said.values[name] for name in SAID_TEXTS]))
    used = used[used >= 0]
    values: dict[str, pa.Array] = {"id": pa.array(np.arange(said.values.size, dtype=np.int32))}
    for name in said.values.dtype.names or ():
        column = np.ascontiguousarray(said.values[name])
        mask = column < 0 if name in SAID_TEXTS else column == _SMALLEST[column.dtype]
        if name in SAID_TEXTS:
            column = np.searchsorted(used, column).astype(np.int32)
        values[name] = pa.array(column, mask=mask)
    stamps = {name: np.ascontiguousarray(said.stamps[name]) for name in said.stamps.dtype.names or ()}
    return {
        "said": pa.table({"pfn": said.rows.pfn, "said": said.rows.said}),
        "said_values": pa.table([values[name] for name, _, _ in TABLE["said_values"].columns], [*values]),
        "said_stamps": pa.table({n: pa.array(c, mask=c == ABSENT64) for n, c in stamps.items()}),
        "said_texts": _rows("said_texts", [(i, said.texts.texts[text]) for i, text in enumerate(used.tolist())]),
    }


def _differences(found: Sequence[dict[str, Any]]) -> pa.Table:
    tables = []
    for d in found:
        if "table" in d:  # restored from a tip
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
