"""The chain of a stream's files before it is believed: what each says of itself, and of the file before it.

A chain may begin anywhere, as old segments may be given up. A hole is a file that is missing, or damaged, between two others.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.read import hold, used
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone
from pagetrail.schemas.store.names import StoreFile

Meta = dict[str, str]

_LOOKS: Final = 5
"""How often files are looked up again that a replay replaces meanwhile."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The files of a stream as far as they follow one another.

    Attributes
    ----------
    files
        From the first on, in order.
    damaged
        By name, why files are not among them that stand where the chain ends.
    """

    files: list[StoreFile]
    damaged: dict[str, SegmentDamaged]

    @property
    def last(self) -> StoreFile | None:
        """The last file that follows on all before it; null: there is none."""
        return self.files[-1] if self.files else None


def header(place: StreamPlace, file: StoreFile) -> Meta:
    """Return the table ``meta`` of a file, which is what its name says.

    Raises
    ------
    SegmentDamaged
        It cannot be opened, or is another file.
    """
    held = hold(place.store, file.name)
    with used(held, place.store, file.name) as db:
        return held.meta(db)


def follows(place: StreamPlace, file: StoreFile, meta: Meta, before: tuple[StoreFile, Meta] | None) -> None:
    """Check that a file goes on from the one *before* it; null: it begins the stream.

    Raises
    ------
    SegmentDamaged
        It names another one, or another digest of it.
    """
    name, digest = ("", "") if before is None else (before[0].stem, before[1].get("digest", ""))
    if (meta.get("parent"), meta.get("parent_digest")) != (name, digest):
        there = (
            f"it goes on from {_named(meta.get('parent'), meta.get('parent_digest'))}, not from {_named(name, digest)}"
        )
        raise SegmentDamaged(path=place.store.where(file.name), reason=f"one of another chain ({there})")


def _named(name: str | None, digest: str | None) -> str:
    return f"{name} with digest {digest}" if name else "nothing"


def unbroken(place: StreamPlace) -> Chain:
    """Return the files of a stream from the first on, as far as each is there and goes on from the one before it.

    Headers alone are read. Files that are damaged there are in the result; those behind them are not looked at.
    """
    return looked_up(lambda: _unbroken(place))


def looked_up(look: Callable[[], Found]) -> Found:
    """Return what *look* returns; a replay may replace a tip meanwhile, then it looks again.

    Raises
    ------
    SegmentGone
        Files were removed again and again while they were looked up.
    """
    for _ in range(_LOOKS - 1):
        with suppress(SegmentGone):
            return look()
    return look()


def _unbroken(place: StreamPlace) -> Chain:
    found: list[tuple[StoreFile, Meta]] = []
    damaged: dict[str, SegmentDamaged] = {}
    begin = expected = place.begins_at()
    for file in place.chain():
        try:
            meta = header(place, file)
            if file.tip and int(meta["first_seq"]) > expected:
                break  # segments between are missing
            if file.first_seq == expected and (found or not begin):
                follows(place, file, meta, found[-1] if found else None)
        except SegmentGone:
            raise
        except SegmentDamaged as error:
            damaged |= _of_the_two(place, file, found, error)
            break
        if file.first_seq != expected:
            break
        found.append((file, meta))
        expected = file.last_seq + 1
    return Chain(files=[file for file, _ in found if file.name not in damaged], damaged=damaged)


def _of_the_two(
    place: StreamPlace, file: StoreFile, found: list[tuple[StoreFile, Meta]], error: SegmentDamaged
) -> dict[str, SegmentDamaged]:
    """Return which of two files that do not fit is damaged: the earlier one, if its rows are not those of its digest."""
    if found:
        try:
            check_whole(place.store, found[-1][0].name)
        except SegmentGone:
            raise
        except SegmentDamaged as other:
            return {found[-1][0].name: other}
    return {file.name: error}


def damaged_files(place: StreamPlace) -> dict[str, SegmentDamaged]:
    """Return, by name, what is wrong with the files at which a resume stops: with the last one, every row of it is compared.

    Empty: the chain ends where files end, or are missing.
    """
    return looked_up(lambda: _damaged_files(place))


def _damaged_files(place: StreamPlace) -> dict[str, SegmentDamaged]:
    chain = _unbroken(place)
    if chain.damaged or chain.last is None:
        return chain.damaged
    try:
        check_whole(place.store, chain.last.name)
    except SegmentGone:
        raise
    except SegmentDamaged as error:
        return {chain.last.name: error}
    return {}
