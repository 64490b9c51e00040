"""How far a fold has come in each partition of a log.

A cut costs time, never truth: whoever resumes from one that is old, or another's, reads again what the segments already hold.
So any number of processes may replace it, each by a whole one, and the last one stands.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from pagetrail.schemas.frames import RecordingKey
from pagetrail.schemas.log.contract import EMBEDDED_LOG
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import path_part

_SUFFIX: Final = ".cut.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where in a partition of the log the next replay begins.

    Attributes
    ----------
    offset
        Below it, every frame is in a segment or a tip, or was refused.
    streams
        By (host, boot_id), the stream_seq that the segments and the tip of each stream reach: where they do not reach it
        any more, the offset is not to be trusted.
    refused
        By (host, boot_id, recording), why it was refused: it overlaps another one of its boot. What comes of it later is
        refused too.
    reached
        Everything before it had been read when this was written: what of it is not below ``offset`` was still in memory.
    seen
        The last frame before ``reached``, as (offset, digest in hex): where the log has another one there, or none, it lost
        frames that had been acknowledged.
    held
        By (host, boot_id), the offset at which a stream waits or has halted, and why.
    losses
        What the log was found to have lost, in words, the oldest first.
    rates
        By (host, boot_id), events a second as they were folded last.
    written
        When this was written, seconds since 1970; 0: not known. It is no part of what is compared.
    """

    offset: int = 0
    streams: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: dict[RecordingKey, str] = field(default_factory=dict)
    reached: int = 0
    seen: tuple[int, str] | None = None
    held: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    written: float = field(default=0.0, compare=False)


def part_name(log_id: str, partition: int) -> str:
    """Return what names a partition in the names of its cut and lock; nothing, where the log is the trail's own.

    A log has an id of its own, so the cut of one is never taken for that of another, nor for one of the same name before it.
    """
    return "" if log_id == EMBEDDED_LOG else f".{path_part(log_id)}.{partition}"


def read_cut(store: Store, fold: str, part: str = "") -> Cut:
    """Return the cut of *fold* in a partition (``part_name``); one at the log's beginning when nothing is known.

    A cut that is lost or damaged costs time, not truth: replay skips what its segments already hold.
    """
    try:
        with store.open(cut_name(fold, part)) as file:
            return _from_json(json.loads(file.path.read_bytes()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Cut()


def cuts(store: Store, fold: str) -> list[Cut]:
    """Return the cuts of *fold*, of whatever logs and partitions there are."""
    names = (name for name in store.list(fold) if name.endswith(_SUFFIX) and "/" not in name)
    parts = (name.removesuffix(_SUFFIX).removeprefix(fold) for name in names)
    return [read_cut(store, fold, part) for part in parts if part == "" or part.startswith(".")]


def _from_json(said: dict[str, Any]) -> Cut:
    seen = said.get("seen")
    return Cut(
        offset=int(said["offset"]),
        streams={(host, boot_id): int(seq) for host, boot_id, seq in said["streams"]},
        refused={(host, boot_id, recording): why for host, boot_id, recording, why in said["refused"]},
        reached=int(said.get("reached", said["offset"])),
        seen=None if seen is None else (int(seen[0]), str(seen[1])),
        held={(host, boot_id): (int(offset), str(why)) for host, boot_id, offset, why in said.get("held", [])},
        losses=tuple(map(str, said.get("losses", []))),
        rates={(host, boot_id): float(rate) for host, boot_id, rate in said.get("rates", [])},
        written=float(said.get("written", 0.0)),
    )


def _to_json(cut: Cut) -> dict[str, Any]:
    return {
        "offset": cut.offset,
        "streams": [[*key, seq] for key, seq in cut.streams.items()],
        "refused": [[*key, why] for key, why in cut.refused.items()],
        "reached": cut.reached,
        "seen": cut.seen,
        "held": [[*key, *held] for key, held in cut.held.items()],
        "losses": cut.losses,
        "rates": [[*key, round(rate, 1)] for key, rate in cut.rates.items()],
        "written": round(cut.written, 3),
    }


def write_cut(store: Store, fold: str, cut: Cut, part: str = "") -> None:
    """Replace the cut of *fold* in a partition.

    Raises
    ------
    StorageFull
        No space left; the cut is as it was.
    """
    store.replace(cut_name(fold, part), json.dumps(_to_json(cut)).encode())


def cut_name(fold: str, part: str = "") -> str:
    """Return the name of the cut of *fold* in a partition."""
    return f"{fold}{part}{_SUFFIX}"
