"""Segments of the past that a trail gives up, or gave up before, and those that it keeps: the last so many seconds of a stream."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from pagetrail.collecting.outdated import Outdated
from pagetrail.queries.core.opening import open_stream
from pagetrail.queries.core.stream import Stream
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import HOSTS, StoreFile, fold_of, is_of_version, parsed, streams_among

_WHY = "older than --keep"
_LEFT = "given up before by a gc that was stopped"


def beyond(trail: str | Path, keep: int | None = None) -> list[Outdated]:
    """Return, for each stream and fold of this version, the segments that hold nothing of the last *keep* ns before its end.

    A segment that holds any instant of that time is not among them, nor is the last one. The log never is. Before them come those
    that were given up already, and are still there because a ``remove_beyond`` was stopped; null: only these.
    """
    store = store_of(Path(trail))
    left = [found for _, found in _left(store)]
    return left if keep is None else [*left, *(found for _, _, found in _beyond(Path(trail), keep))]


def remove_beyond(trail: str | Path, keep: int | None = None) -> list[Outdated]:
    """Remove what ``beyond`` finds, and drafts of stopped writers; return it. A replay may run: it goes on from the last segment.

    Raises
    ------
    StorageFull
        No space left, not even for the mark that says where a chain begins now.
    """
    store = store_of(Path(trail))
    removed = []
    for files, found in _left(store):
        for file in files:
            store.remove(file.name)
        removed.append(found)
    for place, past, found in () if keep is None else _beyond(Path(trail), keep):
        if past:
            place.begin_at(past[-1].last_seq + 1)  # first: otherwise a replay would make again what is missing
        for file in past:
            store.remove(file.name)
        removed.append(found)
    store.sweep(f"{HOSTS}/", alone=False)
    return removed


def _places(store: Store) -> Iterator[StreamPlace]:
    """Yield the places of the streams in folds of this version: those of others go as a whole, see ``outdated``."""
    for name in streams_among(store.list(f"{HOSTS}/")):
        if is_of_version(fold_of(name)):
            yield StreamPlace(store, name)


def _left(store: Store) -> Iterator[tuple[list[StoreFile], Outdated]]:
    """Yield (segments of a stream that were given up already, which nobody asks any more, a row about them) where there are any."""
    for place in _places(store):
        begin = place.begins_at()
        files = sorted(file for name in (place.names() if begin else ()) if (file := parsed(name)) is not None)
        if given_up := [file for file in files if not file.tip and file.last_seq < begin]:
            yield given_up, _row(place, given_up, _LEFT)


def _beyond(trail: Path, keep: int) -> Iterator[tuple[StreamPlace, list[StoreFile], Outdated]]:
    """Yield (the place of a stream, which of its segments can go, a row about them) where there are any."""
    for place in _places(store_of(trail)):
        try:
            stream = open_stream(trail, place)
            past = [] if stream is None else _past(stream, keep)
        except SegmentDamaged as error:
            yield place, [], Outdated(path=Path(place.store.where(place.name)), size=0, why=_WHY, kept=str(error))
            continue
        if stream is not None and past:
            until = stream.time_text(stream.piece(past[-1]).last_ts)
            yield place, past, _row(place, past, _WHY, f", up to {until}")


def _past(stream: Stream, keep: int) -> list[StoreFile]:
    """Return the segments whose successor begins before all that is kept; one segment is always left.

    None, where the trace clock counts no time.
    """
    if stream.facts.counting_clock is not None:
        return []
    past = []
    for file, after in pairwise(file for file in stream.files if not file.tip):
        if after.first_seq != file.last_seq + 1 or stream.piece(after).first_ts > stream.horizon - keep:
            break
        past.append(file)
    return past


def _row(place: StreamPlace, files: list[StoreFile], why: str, until: str = "") -> Outdated:
    size = sum(_size(Path(place.store.where(file.name))) for file in files)
    why = f"{why}: {len(files)} of its segments, events {files[0].first_seq:,} to {files[-1].last_seq:,}{until}"
    return Outdated(path=Path(place.store.where(place.name)), size=size, why=why)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0, if another gc has removed it meanwhile."""
    with suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0
