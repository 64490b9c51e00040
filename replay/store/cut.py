"""How far a fold has come in each partition of a log.

An outdated cut costs time, never correctness: a replay that resumes from it, whichever process wrote it, reads events again that
the segments already hold. So any number of processes may replace a cut, each by a complete one, and the last one counts.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.frames import RecordingKey
from pagetrail.schemas.log.contract import ANY_BOOT, EMBEDDED_LOG, EMBEDDED_PARTITION
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import CUTS
from pagetrail.schemas.store.path_parts import path_part

_SUFFIX: Final = ".cut.json"
_ODD: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a file raises that is no cut."""

_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """The recording that takes the place of one that an older reader made.

    Attributes
    ----------
    first_offset, last_offset
        Where the log has its frames, if they are folded where the old one stood; null: it is folded where it stands itself.
    """

    recording: str
    first_offset: int | None = None
    last_offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The offset in a partition of the log at which the next replay begins, and the progress that led there.

    Attributes
    ----------
    offset
        Every frame below it is in a segment or a tip, or was refused.
    streams
        By (host, boot_id), the stream_seq that the stream's segments and tip reach. If they no longer reach it, the offset must
        not be used.
    refused
        By (host, boot_id, recording), why the recording was refused: it overlaps another one of its boot. Its later frames are
        refused too.
    superseded
        By (host, boot_id, recording), what takes the place of the recording, which is set aside.
    reached
        All offsets below it had been read when this was written; frames from ``offset`` on were still in memory.
    seen
        The last frame before ``reached``, as (offset, digest in hex). If the log has another frame there, or none, it lost
        acknowledged frames.
    held
        By (host, boot_id), the offset at which a stream waits or has halted, and why.
    losses
        Messages about losses that were found in the log, the oldest first.
    rates
        By (host, boot_id), the last measured rate of folding, events a second.
    written
        Time at which this was written, seconds since 1970; 0: unknown. Comparisons ignore it.
    """

    offset: int = 0
    streams: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: dict[RecordingKey, str] = field(default_factory=dict)
    superseded: dict[RecordingKey, Successor] = field(default_factory=dict)
    reached: int = 0
    seen: tuple[int, str] | None = None
    held: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    written: float = field(default=0.0, compare=False)


def partition_name(log_id: str, partition: int) -> str:
    """Return the name of a partition, in the names of its cut and lock.

    It has the log's unique id, so a cut is never used for another log, or for an earlier one of the same name.
    """
    return f"{path_part(log_id)}/{partition}"


OWN: Final = partition_name(EMBEDDED_LOG, EMBEDDED_PARTITION)
"""The partition of the trail's own log."""


def read_cut(store: Store, fold: str, partition: str = OWN) -> Cut:
    """Return the cut of *fold* in a partition (``partition_name``); one at the log's beginning if there is none.

    A lost or damaged cut costs time, not correctness: replay skips events that its segments already hold.
    """
    return _read(store, cut_name(fold, partition))


def _read(store: Store, name: str) -> Cut:
    try:
        with store.open(name) as file:
            return _from_json(json.loads(file.path.read_bytes()))
    except (OSError, SegmentDamaged, *_ODD):
        return Cut()


def cut_damage(store: Store, name: str) -> str | None:
    """Return what is wrong with a cut; null: nothing."""
    try:
        with store.open(name) as file:
            _from_json(json.loads(file.path.read_bytes()))
    except (OSError, SegmentDamaged, *_ODD) as error:
        return f"no cut: {str(error)[:200] or type(error).__name__}"
    return None


def cuts(store: Store, fold: str) -> list[Cut]:
    """Return the cuts of *fold* in all logs and partitions."""
    return [_read(store, name) for name in store.list(f"{CUTS}/{fold}/") if name.endswith(_SUFFIX)]


def refused_of(found: Iterable[Cut], host: str, boot_id: str) -> list[str]:
    """Return why recordings of a stream were refused, from cuts of a fold."""
    return [why for cut in found for (*stream, _), why in cut.refused.items() if stream == [host, boot_id]]


def held_of(found: Iterable[Cut], host: str, boot_id: str) -> tuple[int, str] | None:
    """Return the offset at which a stream waits or has halted, and why, from cuts of a fold; null: it goes on."""
    keys = ((host, boot_id), (host, ANY_BOOT))
    return next((cut.held[key] for cut in found for key in keys if key in cut.held), None)


def _from_json(saved: dict[str, Any]) -> Cut:
    seen = saved.get("seen")
    return Cut(
        offset=_number(saved["offset"]),
        streams={_texts(host, boot_id): _number(seq, -1) for host, boot_id, seq in saved["streams"]},
        refused={_texts(host, boot_id, recording): _text(why) for host, boot_id, recording, why in saved["refused"]},
        superseded={
            _texts(host, boot_id, old): Successor(
                recording=_text(new), first_offset=_number_or_none(first), last_offset=_number_or_none(last)
            )
            for host, boot_id, old, new, first, last in saved.get("superseded", [])
        },
        reached=_number(saved.get("reached", saved["offset"])),
        seen=None if seen is None else (_number(seen[0]), bytes.fromhex(_text(seen[1])).hex()),
        held={
            _texts(host, boot_id): (_number(offset), _text(why)) for host, boot_id, offset, why in saved.get("held", [])
        },
        losses=tuple(map(_text, saved.get("losses", []))),
        rates={_texts(host, boot_id): float(rate) for host, boot_id, rate in saved.get("rates", [])},
        written=float(saved.get("written", 0.0)),
    )


def _number(value: object, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= _MOST:
        raise ValueError(f"expected a number from {least} on, found {value!r:.80}")
    return value


def _number_or_none(value: object) -> int | None:
    return None if value is None else _number(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r:.80}")
    value.encode()  # without half a character
    return value


def _texts(*values: object) -> Any:
    return tuple(map(_text, values))


def _to_json(cut: Cut) -> dict[str, Any]:
    return {
        "offset": cut.offset,
        "streams": [[*key, seq] for key, seq in cut.streams.items()],
        "refused": [[*key, why] for key, why in cut.refused.items()],
        "superseded": [
            [*key, found.recording, found.first_offset, found.last_offset] for key, found in cut.superseded.items()
        ],
        "reached": cut.reached,
        "seen": cut.seen,
        "held": [[*key, *held] for key, held in cut.held.items()],
        "losses": cut.losses,
        "rates": [[*key, round(rate, 1)] for key, rate in cut.rates.items()],
        "written": round(cut.written, 3),
    }


def write_cut(store: Store, fold: str, cut: Cut, partition: str = OWN) -> None:
    """Replace the cut of *fold* in a partition.

    Raises
    ------
    StorageFull
        No space left; the cut is unchanged.
    """
    store.replace(cut_name(fold, partition), json.dumps(_to_json(cut)).encode())


def cut_name(fold: str, partition: str = OWN) -> str:
    """Return the name of the cut of *fold* in a partition."""
    return f"{CUTS}/{fold}/{partition}{_SUFFIX}"
