"""The streams of a trail: found in the store, opened, chosen by name; and waited for, where replay has not come so far."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pagetrail.queries.core.stream import Piece, Stream, facts_of
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.store import read as stored
from pagetrail.replay.store.cut import cuts
from pagetrail.replay.store.local import has_store_of_another_format, store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.schemas.errors import BadArgument, NotFound, SegmentGone, TrailMissing
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.folds import chosen_fold
from pagetrail.schemas.store.names import HOSTS, StoreFile, fold_of, is_of_version, streams_among
from pagetrail.schemas.store.tables import STORE_FORMAT

_LOOKS: Final = 5
"""How often to try to open a tip: a replay may replace it meanwhile."""

_MOST_SHOWN: Final = 3
"""Streams that are held, of which a message says why."""

LOOK_SECONDS = 0.2
"""How long to wait between two looks at the store."""


def stream_places(
    trail: Path, *, correct: bool | None = None, fold: str | None = None, store: Store | None = None
) -> list[StreamPlace]:
    """Return where the streams of *trail* stand, by host and boot, in the fold that is chosen: see ``chosen_fold``.

    *store* is where the trail was replayed to; null: into itself.

    Raises
    ------
    TrailMissing
        There is no trail there.
    NotFound
        Nothing has been replayed yet, or not as *fold*.
    """
    store = _own_store(trail) if store is None else store
    there = streams_among(store.list(f"{HOSTS}/"))
    if not there and has_store_of_another_format(trail):
        raise NotFound(
            f"{trail}: its segments are of another format than this pagetrail's ({STORE_FORMAT}); run 'pagetrail replay', "
            "which makes them anew from the log, beside the others"
        )
    automatic = {kind: FoldOptions(correct=kind).name for kind in (True, False)}
    held = (
        []
        if there
        else [why for name in automatic.values() for cut in cuts(store, name) for _, why in cut.held.values()]
    )
    if held:
        raise NotFound(f"{trail}: replay could not begin with any stream: {'; '.join(held[:_MOST_SHOWN])}")
    chosen = chosen_fold({fold_of(name) for name in there}, trail, automatic, correct=correct, fold=fold)
    return [StreamPlace(store, name) for name in there if fold_of(name) == chosen]


def _own_store(trail: Path) -> Store:
    store = store_of(trail)
    if not trail.is_dir() or not (log_directory(trail).is_dir() or store.is_there()):
        raise TrailMissing(path=str(trail))
    return store


def open_streams(
    trail: Path, *, correct: bool | None = None, fold: str | None = None, store: Store | None = None
) -> list[Stream]:
    """Return the streams of *trail* that have been replayed; see ``stream_places``, whose errors it raises."""
    places = stream_places(trail, correct=correct, fold=fold, store=store)
    streams = [stream for place in places if (stream := open_stream(trail, place)) is not None]
    if not streams:
        raise NotFound(f"{trail}: the segments were removed; run 'pagetrail replay'")
    return streams


def open_stream(trail: Path, place: StreamPlace) -> Stream | None:
    """Return the stream at *place*; null: it has no file. If its tip is replaced meanwhile, open the newer one.

    A tip that does not go on from the last segment is not read.
    """
    for attempt in range(_LOOKS):
        last = attempt == _LOOKS - 1
        files = place.chain()
        if not files:
            return None
        try:
            newest, facts, held = _newest(place, files[-1])
            if not _goes_on(files, newest):
                if not last:
                    continue
                files = files[:-1]
                newest, facts, held = _newest(place, files[-1])
            break
        except SegmentGone:
            if last:
                raise
    meta = newest.meta
    return Stream(meta["host"], meta["boot_id"], meta["fold"], trail, place, files, facts, newest, held)


def _newest(place: StreamPlace, file: StoreFile) -> tuple[Piece, Facts, stored.Held]:
    held = stored.hold(place.store, file.name)
    with stored.used(held, place.store, file.name) as db:
        return Piece(file=file, meta=held.meta(db)), facts_of(db), held


def _goes_on(files: Sequence[StoreFile], newest: Piece) -> bool:
    """Return whether the last of *files* is a segment, or a tip after the segment before it; all segments may have been dropped."""
    return not newest.file.tip or len(files) == 1 or newest.meta["parent"] == files[-2].stem


def choose(streams: list[Stream], wanted: str | None) -> Stream:
    """Return the stream that HOST[/BOOT_ID] names; the only one, if *wanted* is null.

    Raises
    ------
    NotFound
        There is no such stream, or several; the message lists all.
    """
    found = [s for s in streams if wanted is None or wanted in (s.host, f"{s.host}/{s.boot_id}")]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{s.host}/{s.boot_id}" for s in streams) or "none"
    if found:
        raise NotFound(f"expected one stream, found {len(found)}; choose one with --stream HOST[/BOOT_ID]: {listed}")
    raise NotFound(f"no stream is called {wanted}; the trail has: {listed}")


def other_folds(stream: Stream) -> list[Stream]:
    """Return the same stream as it stands in other folds of this version; a fold that is removed meanwhile is left out."""
    there = [fold for fold in stream.place.folds() if fold != stream.fold and is_of_version(fold)]
    places = (stream.place.in_fold(fold) for fold in there)
    return [other for place in places if (other := open_stream(stream.trail, place)) is not None]


def wait_for(
    trail: Path, times: Sequence[str], *, stream: str | None, correct: bool | None, fold: str | None, seconds: float
) -> list[Stream]:
    """Return the trail's streams as soon as replay of *stream* has reached all of *times*.

    Times that count from the end (-5s) mean the end as it is at that moment. A marker that does not exist yet is waited for.

    Raises
    ------
    NotFound, BadArgument
        After *seconds*, there is no such stream, or replay has not reached the times; the message says how far it has come.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            streams = open_streams(trail, correct=correct, fold=fold)
            chosen = choose(streams, stream)
            for text in times:
                chosen.instant(text)
        except (NotFound, BadArgument) as error:
            if time.monotonic() >= until or (isinstance(error, BadArgument) and "no marker" not in str(error)):
                raise
        else:
            return streams
        time.sleep(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))
