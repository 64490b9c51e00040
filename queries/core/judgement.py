"""The judgement of n rows as codes: which attributes are not certain, and why. Words are made when they are read."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.owner import DOUBT_TEXT
from pagetrail.schemas.times import as_text


class Attribute(enum.IntFlag):
    """What ``certain`` speaks of, a bit each. comm is not among them: it is always advisory, as traces look it up late."""

    STATE = 1
    ORDER = 2
    PID = 4
    TGID = 8
    GFP_MASK = 16
    TS_NSEC = 32


ATTRIBUTES: Final = tuple(str(attribute.name).lower() for attribute in Attribute)
"""Their names, by bit."""


class Reason(enum.IntFlag):
    """Why something is not certain."""

    UNKNOWN = 1
    NOT_COVERED = 2
    GAP = 4
    MIGRATION = 8
    SPLIT = 16
    ISOLATION = 32
    HOTPLUG = 64
    INFERRED = 128
    DOUBT = 256
    CLOCK = 512
    BULK = 1024
    SKEW = 2048
    GFP = 1 << 16
    DUMP_ORDER = 1 << 17


_TEXT: Final = {
    Reason.UNKNOWN: "no evidence: no event and no dump contains this page",
    Reason.NOT_COVERED: "nothing declares that every allocation and free was recorded since {begin}",
    Reason.MIGRATION: "migration was not recorded: this movable memory may have another owner's contents since {begin}",
    Reason.SPLIT: "splits were not recorded: the block may have been split since {begin}",
    Reason.ISOLATION: "isolation was not recorded: compaction or CMA may have taken the page since {begin}",
    Reason.HOTPLUG: "hotplug was not recorded: the page may have been removed since {begin}",
    Reason.INFERRED: "inferred, not observed",
    Reason.CLOCK: "the offset between page_owner's clock and the trace clock is unknown at that time",
    Reason.SKEW: "an event of another CPU on this page is within the clock skew: which of them came last is unknown",
    Reason.DUMP_ORDER: "the times of dumps are the order in which they were given: when they were made is unknown",
    Reason.BULK: "no dump shows that page_owner had started: before it starts, bulk allocations leave no event",
}
"""In the order in which they are named. Of a gap and a doubt, the text says which: it comes after these."""

_SINCE: Final = sum(int(reason) for reason, text in _TEXT.items() if "{begin}" in text)
"""Reasons whose text names the beginning of the evidence."""

_EMPTY: Final = pa.array([""], pa.utf8())
_BETWEEN: Final = pa.scalar("; ", pa.utf8())

_GAP, _DOUBT, _GFP = int(Reason.GAP), int(Reason.DOUBT), int(Reason.GFP)


@cache
def _form(reasons: int) -> str:
    """Return the text of some reasons, without that of a gap and a doubt."""
    return "; ".join(text for reason, text in _TEXT.items() if reasons & reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How sure n rows are.

    Attributes
    ----------
    lost
        int16 (n,): bits of ``Attribute`` that are not certain.
    reasons
        int32 (n,): bits of ``Reason``.
    gap, doubt
        int64 (n,): which loss and which doubt, as an index into the losses of *facts* and into *doubts*; -1: none.
    begin
        int64 (n,): when the evidence began; ns, trace clock.
    facts, doubts
        What the rows were judged by: what the indexes mean.
    """

    lost: NDArray[np.int16]
    reasons: NDArray[np.int32]
    gap: NDArray[np.int64]
    doubt: NDArray[np.int64]
    begin: NDArray[np.int64]
    facts: Facts
    doubts: NDArray[np.void]

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Whether all attributes of each row are certain."""
        return np.asarray(self.lost == 0)

    def uncertain(self) -> pa.Array:
        """Return which attributes of each row are not certain: lists of names."""
        if self.lost.size == 1:
            return _NAMES.slice(int(self.lost[0]), 1)
        return _NAMES.take(pa.array(self.lost))

    def why(self) -> pa.Array:
        """Return why each row is not certain: text, empty where no reason is known."""
        given = np.flatnonzero(self.reasons)
        if not given.size:
            return pa.repeat(_EMPTY[0], self.reasons.size)
        some = self if given.size == self.reasons.size else self.take(given)
        texts = some._forms()
        if (some.reasons & (_GFP | _GAP | _DOUBT)).any():
            texts = pc.binary_join_element_wise(texts, some._named(), _BETWEEN, null_handling="skip")
        if some is self:
            return texts
        place = np.full(self.reasons.size, given.size)
        place[given] = np.arange(given.size)
        return pa.concat_arrays([texts, _EMPTY]).take(pa.array(place))

    def take(self, which: NDArray[np.int64] | slice) -> "Judgement":
        """Return the judgement of rows *which*."""
        return Judgement(
            lost=self.lost[which], reasons=self.reasons[which], gap=self.gap[which], doubt=self.doubt[which],
            begin=self.begin[which], facts=self.facts, doubts=self.doubts,
        )  # fmt: skip

    @classmethod
    def together(cls, parts: "Sequence[Judgement]") -> "Judgement":
        """Return the judgements of all rows of *parts*, one after another; the first says what their indexes mean."""
        names = ("lost", "reasons", "gap", "doubt", "begin")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(facts=parts[0].facts, doubts=parts[0].doubts, **columns)

    def alike(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether ``uncertain`` and ``why`` of each of *rows* are, word for word, those of the one of *others*."""
        reasons = self.reasons[rows]
        same = (self.lost[rows] == self.lost[others]) & (reasons == self.reasons[others])
        same &= (reasons & _SINCE == 0) | (self.begin[rows] == self.begin[others])
        same &= (reasons & _GFP == 0) | (self._read_for(rows) == self._read_for(others))
        for reason, index, text in ((_GAP, self.gap, self._gap), (_DOUBT, self.doubt, self._doubt)):
            asked = np.flatnonzero(same & (reasons & reason != 0))
            same[asked] = _same_text(index[rows[asked]], index[others[asked]], text)
        return np.asarray(same)

    def _forms(self) -> pa.Array:
        """Return the text of each row's reasons, without those of a gap, a doubt and gfp flags; null: it has no others."""
        codes, places = np.unique(self.reasons, return_inverse=True)
        forms = [_form(int(code)).split("{begin}") for code in codes]
        if all(len(parts) == 1 for parts in forms):
            return pa.array([parts[0] or None for parts in forms], pa.utf8()).take(pa.array(places))
        begins = _as_texts(self.begin, self.facts.counting_clock)
        found = []
        for nth in range(max(map(len, forms))):
            parts = pa.array([parts[nth] if nth < len(parts) else "" for parts in forms], pa.utf8())
            if nth:
                follows = np.array([nth < len(parts) for parts in forms])[places]
                found.append(pc.if_else(pa.array(follows), begins, ""))
            found.append(parts.take(pa.array(places)))
        joined = pc.binary_join_element_wise(*found, "")
        some = np.array([parts != [""] for parts in forms])[places]
        return pc.if_else(pa.array(some), joined, pa.scalar(None, pa.utf8()))

    def _named(self) -> pa.Array:
        """Return which gfp flags, which gap and which doubt are meant: null where none of these is a reason of the row."""
        asked = [np.where(self.reasons & bit != 0, which, -1) for bit, which in (
            (_GFP, self.facts.recording_at(self.begin)), (_GAP, self.gap), (_DOUBT, self.doubt),
        )]  # fmt: skip
        order = np.lexsort(asked)
        starts = np.ones(order.size, np.bool_)
        starts[1:] = np.any([which[order[1:]] != which[order[:-1]] for which in asked], axis=0)
        distinct = zip(*(which[order[starts]].tolist() for which in asked), strict=True)
        read_for = [names.read_for for names in self.facts.gfp_names()]
        texts = pa.array([self._names(read_for, *which) for which in distinct], pa.utf8())
        place = np.zeros(order.size, np.int64)
        place[order] = np.cumsum(starts) - 1
        return texts.take(pa.array(place))

    def _names(self, read_for: list[str | None], gfp: int, gap: int, doubt: int) -> str | None:
        parts = [] if gfp < 0 else [_gfp_text(read_for[gfp])]
        parts += [] if gap < 0 else [self._gap(gap)]
        parts += [] if doubt < 0 else [self._doubt(doubt)]
        return "; ".join(parts) if parts else None

    def _read_for(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return, as a number, for which releases the gfp flags of each row were read: rows of one number are named alike."""
        ids: dict[str | None, int] = {}
        number = np.array([ids.setdefault(names.read_for, len(ids)) for names in self.facts.gfp_names()], np.int64)
        return np.asarray(number[self.facts.recording_at(self.begin[rows])])

    def _time(self, ts: int) -> str:
        return as_text(ts, self.facts.counting_clock)

    def _gap(self, which: int) -> str:
        _, cpu, found = self.facts.gaps[which]
        where = "" if cpu is None else f"CPU {cpu} "
        count = "events were lost" if found.lost is None else f"lost {found.lost} events"
        return f"{where}{count} between {self._time(found.t_lo)} and {self._time(found.t_hi)} ({found.reason})"

    def _doubt(self, which: int) -> str:
        doubt = self.doubts[which]
        return f"in doubt: {DOUBT_TEXT[int(doubt['reason'])]} (noticed at event {int(doubt['seq'])})"


_NAMES: Final = pa.array(
    [[name for bit, name in enumerate(ATTRIBUTES) if lost >> bit & 1] for lost in range(1 << len(ATTRIBUTES))],
    pa.list_(pa.utf8()),
)
"""The attributes of each ``lost``."""


def _as_texts(ts: NDArray[np.int64], counting_clock: str | None) -> pa.Array:
    """Return what ``as_text`` makes of each time."""
    if counting_clock is not None:
        return pc.cast(pa.array(ts), pa.utf8())
    count = np.abs(ts).view(np.uint64)  # the lowest value has no positive one, and the right bits
    seconds, rest = (pc.cast(pa.array(part), pa.utf8()) for part in np.divmod(count, np.uint64(1_000_000_000)))
    sign = pa.array(["", "-"], pa.utf8()).take(pa.array((ts < 0).astype(np.int8)))
    whole = pc.binary_join_element_wise(sign, seconds, "")
    return pc.binary_join_element_wise(whole, pc.utf8_lpad(rest, 9, "0"), ".")


def _gfp_text(read_for: str | None) -> str:
    if read_for is None:
        return "its gfp flags have names that are not the recorded kernel's"
    return f"its gfp flags were read as {read_for} prints them, and the names of the recorded kernel are unknown"


def _same_text(indexes: NDArray[np.int64], others: NDArray[np.int64], text: Callable[[int], str]) -> NDArray[np.bool_]:
    """Return whether the text of each of *indexes* is that of the one of *others*; the text of each index is made once."""
    same = indexes == others
    differ = np.flatnonzero(~same)
    used, places = np.unique(np.concatenate([indexes[differ], others[differ]]), return_inverse=True)
    ids: dict[str, int] = {}
    id_of = np.array([ids.setdefault(text(index), len(ids)) for index in used.tolist()], np.int64)
    mine, theirs = np.split(id_of[places], 2)
    same[differ] = mine == theirs
    return np.asarray(same)
