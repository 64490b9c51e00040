"""The content of a segment or a tip as Arrow tables, and its digests."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagetrail.replay.facts.digest import facts_digest, text_of
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.fold.tables import ANOMALY_ROWS
from pagetrail.replay.rules.dumped.said import SAID_TEXTS, Said
from pagetrail.replay.rules.stretch import Stretch
from pagetrail.replay.store.digest import Digested, TablesDigest, chain_digest, packed_digest, rows_digest
from pagetrail.replay.store.doubts import ROWS_AT_ONCE, Doubts, doubt_batches
from pagetrail.replay.store.open_records import open_records_rows
from pagetrail.replay.store.packed.file_rows import FileTexts, digested_parts, packed_batches
from pagetrail.replay.store.packed.packer import pack
from pagetrail.replay.store.packed.sums import spans_sums
from pagetrail.replay.store.state_digest import EndedSums, quarantined_sum, state_digest, values_sum
from pagetrail.schemas.owner import (
    ABSENT8,
    ABSENT16,
    ABSENT32,
    ABSENT64,
    ANOMALY_TEXT,
    DOUBT_TEXT,
    Anomaly,
    Evidence,
    How,
    State,
)
from pagetrail.schemas.store.names import segment_stem
from pagetrail.schemas.store.tables import FOLD_VERSION, STORE_FORMAT, TABLE, TABLES_DIGEST, arrow_schema

_SMALLEST = {
    np.dtype(np.int64): ABSENT64, np.dtype(np.int32): ABSENT32, np.dtype(np.int16): ABSENT16, np.dtype(np.int8): ABSENT8,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link from the next file of a chain: name and digest of the last segment, and sums over the ended rows of all segments.

    The name is the last part of its name in the store, without the suffix; empty: there is none.
    """

    name: str = ""
    digest: str = ""
    ended: EndedSums = field(default_factory=EndedSums)


class Content:
    """The content of a file of the store: a stretch, and its place in the chain; *sums*, if they are known, are its ``spans_sums``.

    Attributes
    ----------
    digest
        The chain digest: see the module ``digest``.
    link
        The link for the next file: to this segment, or, if this is a tip, to the same parent, because tips are not in the chain.
    """

    def __init__(self, stretch: Stretch, parent: Link, sums: tuple[int, int] | None = None) -> None:
        s = self.stretch = stretch
        self.parent = parent
        self._doubts = Doubts(s)
        self._packed = pack(s)
        self._texts = FileTexts.of(self._packed, s.comms, s.stacks)
        self._ended_sum, self._live_sum = spans_sums(s) if sums is None else sums
        self.digest = self._digest()
        self._ended = parent.ended.plus(self._ended_here())
        self.link = parent if s.origin.tip else self._next()

    def _digest(self) -> str:
        s, o = self.stretch, self.stretch.origin
        return chain_digest(
            self.parent.digest, (o.host, o.boot_id, o.digest_name, o.first_seq, o.last_seq), Digested(
                packed=packed_digest(digested_parts(self._packed, self._texts)),
                doubts=self._doubts.digest(), lasting=rows_digest(s.lasting), anomalies=s.anomalies,
                facts=s.facts, values=s.values, live_values=s.live_values, said=s.said,
            ),
        )  # fmt: skip

    def _next(self) -> Link:
        origin = self.stretch.origin
        name = segment_stem(origin.first_seq, origin.last_seq)
        return Link(name=name, digest=self.digest, ended=self._ended)

    def _ended_here(self) -> EndedSums:
        """Return the sums over the rows that ended in the stretch."""
        s = self.stretch
        return EndedSums(
            spans=self._ended_sum,
            values=values_sum(s.values, s.facts.fields),
            doubts=self._doubts.sum(),
            quarantined=quarantined_sum(s.quarantined),
        )

    def state_digest(self, facts: Facts) -> str:
        """Return the state digest at the end of the stretch; *facts* are those since the stream began."""
        return state_digest(self._ended, self._live_sums, self.stretch.anomalies, facts_digest(facts))

    @property
    def _live_sums(self) -> str:
        s = self.stretch
        return f"{self._live_sum:032x} {values_sum(s.live_values, s.facts.fields):032x}"

    def tables(self) -> dict[str, pa.Table]:
        """Return every table of the file, by name."""
        return {name: pa.Table.from_batches(batches, arrow_schema(name)) for name, batches in self.batches().items()}

    def batches(self) -> dict[str, Iterator[pa.RecordBatch]]:
        """Return the rows of every table of the file, by name; those of spans and differences are made while they are drawn.

        The last one is ``meta``, which has the digest of all the others but those of ``CHAINED``: it is drawn when these have been.
        """
        digest = TablesDigest()
        others = {
            "audit_differences": self._differences(), "state": self._state_rows(),
            **{name: iter(table.to_batches(ROWS_AT_ONCE)) for name, table in self._small().items()},
        }  # fmt: skip
        return {
            **packed_batches(self._packed, self._texts),
            "doubts": self._doubts.batches(), "lasting_doubts": doubt_batches(self.stretch.lasting),
            **{name: digest.watched(name, batches) for name, batches in others.items()},
            "meta": self._meta_rows(digest),
        }  # fmt: skip

    @property
    def nr_spans(self) -> int:
        """How many rows the file has of spans."""
        return int(self._packed.ended.pfn.size + self._packed.open.pfn.size)

    def _small(self) -> dict[str, pa.Table]:
        s, facts = self.stretch, self.stretch.facts
        return {
            "words": _words(),
            "sections": _rows("sections", [_fields(e) for e in facts.sections]),
            "page_ext": _values(np.concatenate([s.values, s.live_values]), facts.fields),
            "gaps": _rows("gaps", [(seq, cpu, g.t_lo, g.t_hi, g.lost, g.reason) for seq, cpu, g in facts.gaps]),
            "anomalies": _rows("anomalies", self._anomalies()),
            "quarantined": _rows("quarantined", s.quarantined.tolist()),
            "audits": _rows("audits", [_fields(a)[:10] for a in facts.audits]),
            "markers": _rows("markers", facts.markers),
            "hotplug": _rows("hotplug", [_fields(h) for h in facts.hotplug]),
            "stacks": _rows("stacks", [
                (i, s.stacks.ids[d], s.stacks.frames[d], s.stacks.raw[d], s.stacks.truncated[d])
                for i, d in enumerate(self._texts.stacks)]),
            "comms": _rows("comms", [(i, s.comms[d]) for i, d in enumerate(self._texts.comms)]),
            **_said(s.said),
        }  # fmt: skip

    def _differences(self) -> Iterator[pa.RecordBatch]:
        for batch in self.stretch.differences.batches():
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                yield batch.slice(start, ROWS_AT_ONCE)

    def _meta_rows(self, digest: TablesDigest) -> Iterator[pa.RecordBatch]:
        found = _rows("meta", list(self._meta().items()))
        digest.add("meta", found.to_batches())
        yield from pa.concat_tables([found, _rows("meta", [(TABLES_DIGEST, digest.hexdigest())])]).to_batches()

    def _meta(self) -> dict[str, str]:
        s, o = self.stretch, self.stretch.origin
        values = {
            "format": STORE_FORMAT, "fold_version": FOLD_VERSION, "fold": o.fold,
            "rules": s.facts.rules.name, "host": o.host, "boot_id": o.boot_id, "tip": int(o.tip), "first_seq": o.first_seq,
            "last_seq": o.last_seq, "first_ts": o.last_ts if o.first_ts is None else o.first_ts, "last_ts": o.last_ts,
            "digest": self.digest, "parent": self.parent.name, "parent_digest": self.parent.digest,
            "ended_sums": json.dumps(self._ended.plain()), "live_sums": self._live_sums,
            "doubts_reach_back_to": self._doubts.reach_back_to(),
            "live_pages": int(s.open_runs.nr_pages[s.open_runs.kernel_view == 0].sum()),
        }  # fmt: skip
        return {key: "" if value is None else str(value) for key, value in values.items()}

    def _anomalies(self) -> list[tuple[int, ...]]:
        counts = self.stretch.anomalies
        return [(k, *(int(x) for x in counts[k])) for k in range(ANOMALY_ROWS) if counts[k, 0]]

    def _state_rows(self) -> Iterator[pa.RecordBatch]:
        values = {"ended": self.link.ended.plain(), **self.stretch.resume}
        rows = [("facts", text_of(self.stretch.facts)), *((name, json.dumps(value)) for name, value in values.items())]
        yield from _rows("state", rows).to_batches()
        yield from open_records_rows(self.stretch.open_records)


def _rows(name: str, rows: Sequence[Sequence[object]]) -> pa.Table:
    schema = arrow_schema(name)
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(values, field.type) for field, values in zip(schema, by_column, strict=True)], schema=schema
    )


def _values(rows: NDArray[np.void], fields: Sequence[str]) -> pa.Table:
    """Return the spans of page_ext's clients, sorted by field, pfn and begin."""
    rows = rows[np.lexsort((rows["begin_seq"], rows["pfn"], rows["field"]))]
    names = [fields[field].split(".", 1) for field in rows["field"].tolist()]
    columns = {"client": [client for client, _ in names], "field": [field for _, field in names]}
    return pa.table({
        one.name: pa.array(columns[one.name] if one.name in columns else np.ascontiguousarray(rows[one.name]), one.type)
        for one in arrow_schema("page_ext")
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


def _fields(one: Any) -> tuple[object, ...]:
    """Return the values of a dataclass in their order; ``astuple`` copies each."""
    return tuple(getattr(one, field.name) for field in fields(one))


@cache
def _words() -> pa.Table:
    def of(field: str, words: type[State] | type[Evidence] | type[How]) -> list[tuple[str, int, str]]:
        return [(field, int(word), word.name.lower().replace("_", " ")) for word in words]

    anomalies = [("kind", int(kind), ANOMALY_TEXT[Anomaly(kind)]) for kind in ANOMALY_TEXT]
    reasons = [("reason", code, text) for code, text in DOUBT_TEXT.items()]
    words = [*of("state", State), *of("evidence", Evidence), *of("how", How), *of("end_how", How), *anomalies, *reasons]
    return _rows("words", words)
