"""Segments of the past that a trail gives up, and those that it keeps: the last so many seconds of every stream."""

from collections.abc import Iterator
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


def beyond(trail: str | Path, keep: int) -> list[Outdated]:
    """Return, for each stream and fold of this version, the segments that hold nothing of the last *keep* ns before its end.

    A segment that holds any instant of that time is not among them, nor is the last one. The log never is.
    """
    return [found for _, _, found in _beyond(Path(trail), keep)]


def remove_beyond(trail: str | Path, keep: int) -> list[Outdated]:
    """Remove what ``beyond`` finds, and drafts of stopped writers; return it. A replay may run: it goes on from the last segment.

    Raises
    ------
    StorageFull
        No space left, not even for the mark that says where a chain begins now.
    """
    removed = []
    for place, past, found in _beyond(Path(trail), keep):
        if past:
            place.begin_at(past[-1].last_seq + 1)  # first: otherwise a replay would make again what is missing
        for file in past:
            place.store.remove(file.name)
        removed.append(found)
    _remove_left(store_of(Path(trail)))
    return removed


def _remove_left(store: Store) -> None:
    """Remove what one that was stopped left: segments that were given up already, which nobody asks any more, and old drafts."""
    for name in streams_among(store.list(f"{HOSTS}/")):
        place = StreamPlace(store, name)
        begin = place.begins_at()
        for file in map(parsed, place.names() if begin else ()):
            if file is not None and not file.tip and file.last_seq < begin:
                store.remove(file.name)
    store.sweep(f"{HOSTS}/", alone=False)


def _beyond(trail: Path, keep: int) -> Iterator[tuple[StreamPlace, list[StoreFile], Outdated]]:
    """Yield (the place of a stream, which of its segments can go, a row about them) where there are any."""
    store = store_of(trail)
    for name in streams_among(store.list(f"{HOSTS}/")):
        if not is_of_version(fold_of(name)):
            continue
        place = StreamPlace(store, name)
        try:
            stream = open_stream(trail, place)
            past = [] if stream is None else _past(stream, keep)
        except SegmentDamaged as error:
            yield place, [], Outdated(path=Path(store.where(name)), size=0, why=_WHY, kept=str(error))
            continue
        if stream is not None and past:
            yield place, past, _row(stream, past)


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


def _row(stream: Stream, past: list[StoreFile]) -> Outdated:
    size = sum(Path(stream.where(file)).stat().st_size for file in past)
    until = stream.time_text(stream.piece(past[-1]).last_ts)
    why = f"{_WHY}: {len(past)} of its segments, events {past[0].first_seq:,} to {past[-1].last_seq:,}, up to {until}"
    return Outdated(path=Path(stream.place.store.where(stream.place.name)), size=size, why=why)
