"""The streams of a trail: found in the store, opened, chosen by name; and waited for, where replay has not come so far."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.queries.core.stream import Piece, Stream
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.store import read as stored
from pagetrail.replay.store.cut import cuts
from pagetrail.replay.store.local import has_store_of_another_format, store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.believed import believed
from pagetrail.replay.store.reading.whole import read_whole
from pagetrail.replay.store.saved_facts import saved_facts
from pagetrail.schemas.errors import (
    BadArgument,
    NotAFolder,
    NotFound,
    SegmentDamaged,
    SegmentGone,
    SegmentMissing,
    TrailError,
    TrailMissing,
    TrailTooNew,
)
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.folds import chosen_fold
from pagetrail.schemas.store.names import (
    HOSTS,
    StoreFile,
    fold_of,
    is_called,
    is_folds,
    is_of_version,
    no_folders,
    streams_among,
)
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
    automatic = _automatic()
    held = (
        []
        if there
        else [why for name in automatic.values() for cut in cuts(store, name) for _, why in cut.held.values()]
    )
    if held:
        raise NotFound(f"{trail}: replay could not begin with any stream: {'; '.join(held[:_MOST_SHOWN])}")
    chosen = chosen_fold({fold_of(name) for name in there}, trail, automatic, correct=correct, fold=fold)
    return [StreamPlace(store, name) for name in there if fold_of(name) == chosen]


def _automatic() -> dict[bool, str]:
    return {kind: FoldOptions(correct=kind).name for kind in (True, False)}


def _own_store(trail: Path) -> Store:
    store = store_of(trail)
    if not trail.is_dir() or not (log_directory(trail).is_dir() or store.is_there()):
        raise TrailMissing(path=str(trail))
    return store


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A stream of which no file can be read: the folder of its files, and why."""

    place: StreamPlace
    error: TrailError

    @property
    def host(self) -> str:
        """Its host, as its folder is called."""
        return self.place.name.split("/")[1]

    @property
    def boot_id(self) -> str:
        """Its boot, as its folder is called."""
        return self.place.name.split("/")[2]

    @classmethod
    def in_place_of_a_folder(cls, store: Store, name: str) -> "Damaged":
        """Return all that would be below a folder of the store, in whose place is something else."""
        reason = "a link or a file in the place of a folder: nothing below it is read"
        _, *parts = name.split("/")
        place = StreamPlace(store, "/".join([HOSTS, *parts, *[""] * (3 - len(parts))]))
        return cls(place=place, error=NotAFolder(path=store.where(name), reason=reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The streams of a trail: those that can be asked, and those of which no file can be read."""

    opened: list[Stream]
    damaged: list[Damaged]


def open_streams(
    trail: Path, *, correct: bool | None = None, fold: str | None = None, store: Store | None = None
) -> Streams:
    """Return the streams of *trail* that have been replayed; see ``stream_places``, whose errors it raises.

    Raises
    ------
    SegmentDamaged
        None of them has a file that can be read.
    """
    store = _own_store(trail) if store is None else store
    opened: list[Stream] = []
    damaged = [*_in_places_of_folders(store, trail, correct=correct, fold=fold)]
    try:
        places = stream_places(trail, correct=correct, fold=fold, store=store)
    except NotFound:
        if not damaged:
            raise
        places = []
    for place in places:
        try:
            stream = open_stream(trail, place)
        except (SegmentDamaged, SegmentMissing, TrailTooNew) as error:
            damaged.append(Damaged(place=place, error=error))
        else:
            opened += [] if stream is None else [stream]
    if not opened and damaged:
        raise damaged[0].error
    if not opened:
        raise NotFound(f"{trail}: the segments were removed; run 'pagetrail replay'")
    return Streams(opened=opened, damaged=damaged)


def _in_places_of_folders(store: Store, trail: Path, *, correct: bool | None, fold: str | None) -> Iterator[Damaged]:
    """Yield what stands in the place of a folder that would be asked: of a host, of a boot, or of the fold that would be chosen.

    A regular file beside those of hosts or boots is litter: it says nothing of a stream.
    """
    names = store.list(f"{HOSTS}/")
    there = {fold_of(name) for name in streams_among(names)}
    for name in no_folders(names):
        if is_folds(name):
            is_asked = _would_be_chosen(fold_of(name), there, trail, correct=correct, fold=fold)
        else:
            is_asked = store.version(name) is None
        if is_asked:
            yield Damaged.in_place_of_a_folder(store, name)


def _would_be_chosen(name: str, there: set[str], trail: Path, *, correct: bool | None, fold: str | None) -> bool:
    try:
        return chosen_fold({*there, name}, trail, _automatic(), correct=correct, fold=fold) == name
    except NotFound:
        return False


def open_stream(trail: Path, place: StreamPlace) -> Stream | None:
    """Return the stream at *place*; null: it has no file. If its tip is replaced meanwhile, open the newer one.

    A file that is damaged, and a tip that does not go on from the last segment, are not read: the stream says so.

    Raises
    ------
    SegmentDamaged
        No file of it can be read.
    """
    refused: dict[str, TrailError] = {}
    for attempt in range(_LOOKS):
        found = believed(place)
        files, refused = [file for file in found.files if file.name not in refused], found.refused | refused
        if not files:
            if refused:
                raise next(iter(refused.values()))
            return None
        try:
            newest, facts, held = _newest(place, files[-1])
        except SegmentGone:
            if attempt == _LOOKS - 1:
                raise
        except SegmentDamaged as error:
            refused[files[-1].name] = error
            if attempt == _LOOKS - 1:
                raise
        else:
            break
    meta = newest.meta
    return Stream(
        meta["host"], meta["boot_id"], meta["fold"], trail, place, files, facts, newest, held, _refused=refused
    )


def _newest(place: StreamPlace, file: StoreFile) -> tuple[Piece, Facts, stored.Held]:
    held = stored.hold(place.store, file.name)
    with read_whole(held, place.store, file.name) as db:
        return Piece.of(file, held.meta(db)), saved_facts(db), held


def choose(streams: list[Stream], wanted: str | None, damaged: Sequence[Damaged] = ()) -> Stream:
    """Return the stream that HOST[/BOOT_ID] names; the only one, if *wanted* is null.

    Raises
    ------
    NotFound
        There is no such stream, or several; the message lists all.
    SegmentDamaged
        It is one of the *damaged*.
    """
    found = [s for s in streams if wanted is None or wanted in (s.host, f"{s.host}/{s.boot_id}")]
    if len(found) == 1 and (wanted is not None or not damaged):
        return found[0]
    lost = [one for one in damaged if wanted is not None and is_called(one.place.name, wanted)]
    if lost and not found:
        raise lost[0].error
    names = [f"{s.host}/{s.boot_id}" for s in streams] + [f"{one.host}/{one.boot_id}" for one in damaged]
    listed = ", ".join(names) or "none"
    if found:
        there = len(found) + (len(damaged) if wanted is None else 0)
        raise NotFound(f"expected one stream, found {there}; choose one with --stream HOST[/BOOT_ID]: {listed}")
    raise NotFound(f"no stream is called {wanted}; the trail has: {listed}")


def other_folds(stream: Stream) -> list[Stream]:
    """Return the same stream as it stands in other folds of this version; a fold that is removed meanwhile is left out."""
    there = [fold for fold in stream.place.folds() if fold != stream.fold and is_of_version(fold)]
    places = (stream.place.in_fold(fold) for fold in there)
    return [other for place in places if (other := open_stream(stream.trail, place)) is not None]


def wait_for(
    trail: Path, times: Sequence[str], *, stream: str | None, correct: bool | None, fold: str | None, seconds: float
) -> Streams:
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
            chosen = choose(streams.opened, stream, streams.damaged)
            for text in times:
                chosen.instant(text)
        except (NotFound, BadArgument) as error:
            if time.monotonic() >= until or (isinstance(error, BadArgument) and "no marker" not in str(error)):
                raise
        else:
            return streams
        time.sleep(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))
