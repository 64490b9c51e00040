"""From a batch of events to the plain arrays that the jit functions take, with texts as dense ids of the stream."""

from typing import NamedTuple

import numpy as np

from pagetrail.replay.fold.tables import Array
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.errors import StackConflict
from pagetrail.schemas.stacks import canonical_stack, stack_id


class Events(NamedTuple):
    """n events; dtypes are fixed, so that jit functions are compiled once."""

    kind: Array  # int8
    cpu: Array  # int16
    seq: Array  # int64
    ts: Array  # int64
    pfn: Array  # int64
    order: Array  # int8
    nr_pages: Array  # int64
    src_pfn: Array  # int64
    pid: Array  # int32
    tgid: Array  # int32
    comm: Array  # int32
    gfp_mask: Array  # int64
    migratetype: Array  # int8
    stack: Array  # int32
    migrate_reason: Array  # int8


def no_events() -> Events:
    """Return no events, in the types of a batch."""
    small = {"kind": np.int8, "order": np.int8, "migratetype": np.int8, "migrate_reason": np.int8}
    middle = dict.fromkeys(("pid", "tgid", "comm", "stack"), np.int32)
    dtypes = {"cpu": np.int16, **small, **middle}
    return Events(**{name: np.zeros(0, dtypes.get(name, np.int64)) for name in Events._fields})


class TextTable:
    """The distinct texts of a stream: dense ids in the order of first use."""

    def __init__(self, texts: list[str] | None = None) -> None:
        self.texts: list[str] = list(texts or ())
        self._ids = {text: i for i, text in enumerate(self.texts)}

    def intern(self, text: str) -> int:
        """Return the dense id of *text*."""
        found = self._ids.get(text)
        if found is None:
            found = self._ids[text] = len(self.texts)
            self.texts.append(text)
        return found

    def __len__(self) -> int:
        return len(self.texts)


class StackTable:
    """The distinct stacks of a stream: their 64-bit ids, canonical frames, and one raw form as it was recorded.

    Raises
    ------
    StackConflict
        One 64-bit id stands for two canonical stacks.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.frames: list[str] = []
        self.raw: list[str] = []
        self.truncated: list[bool] = []
        self._dense: dict[int, int] = {}
        self._by_raw: dict[str, int] = {}

    def intern(self, raw: str) -> int:
        """Return the dense id of the stack whose raw form is *raw*."""
        found = self._by_raw.get(raw)
        if found is None:
            canonical = canonical_stack(raw)
            found = self._by_raw[raw] = self.add(stack_id(canonical.frames), canonical.frames, raw, canonical.truncated)
        return found

    def add(self, identity: int, frames: str, raw: str, truncated: bool) -> int:
        """Return the dense id of a stack whose canonical form and id are known."""
        found = self._dense.get(identity)
        if found is None:
            found = self._dense[identity] = len(self.ids)
            self.ids.append(identity)
            self.frames.append(frames)
            self.raw.append(raw)
            self.truncated.append(truncated)
        elif self.frames[found] != frames:
            raise StackConflict(stack_id=identity, first=self.frames[found], second=frames)
        return found

    def __len__(self) -> int:
        return len(self.ids)


def decode(batch: EventBatch, comms: TextTable, stacks: StackTable) -> Events:
    """Return *batch* as arrays; its texts become dense ids of *comms* and *stacks*."""
    return Events(
        kind=_as(batch, "kind", np.int8),
        cpu=_as(batch, "cpu", np.int16),
        seq=_as(batch, "seq", np.int64),
        ts=_as(batch, "trace_ts_nsec", np.int64),
        pfn=_as(batch, "pfn", np.int64),
        order=_as(batch, "order", np.int8),
        nr_pages=_as(batch, "nr_pages", np.int64),
        src_pfn=_as(batch, "src_pfn", np.int64),
        pid=_as(batch, "pid", np.int32),
        tgid=_as(batch, "tgid", np.int32),
        comm=_dense(batch, "comm", comms),
        gfp_mask=_as(batch, "gfp_mask", np.int64),
        migratetype=_as(batch, "migratetype", np.int8),
        stack=_dense(batch, "stack", stacks),
        migrate_reason=_as(batch, "migrate_reason", np.int8),
    )


def _as(batch: EventBatch, name: str, dtype: type) -> Array:
    # a read-only array from Arrow has another type, and would compile every jit function again
    return np.require(batch.column(name), dtype, ["C", "W"])


def _dense(batch: EventBatch, name: str, table: TextTable | StackTable) -> Array:
    if name not in batch.columns:
        return np.full(len(batch), -1, np.int32)
    remap = np.array([table.intern(text) for text in batch.texts.get(name, ())] + [-1], dtype=np.int32)
    return np.asarray(remap[batch.columns[name]])
