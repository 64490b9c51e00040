"""Every file of a store, read to its last row: what is wrong with it, or with its place in its chain."""

from collections.abc import Iterator
from dataclasses import dataclass

from pagetrail.replay.store.cut import cut_damage
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.chain import Meta, follows, header
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import CUTS, StoreFile, beginning_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A file that was checked.

    Attributes
    ----------
    kind
        segment, tip, cut, chain (the place of a file that is missing, or its link), or frame.
    path
        Where it is.
    found
        What is wrong with it; null: nothing.
    """

    kind: str
    path: str
    found: str | None = None


def verified_stream(place: StreamPlace) -> Iterator[Checked]:
    """Yield each file of a stream, after every row of it was compared with its digests, and what is missing between them.

    A tip that a replay replaces meanwhile is left out.
    """
    chained = place.chain()
    known: tuple[StoreFile, Meta | None] | None = None
    begin = place.begins_at()
    for file in chained:
        kind, where = "tip" if file.tip else "segment", place.store.where(file.name)
        try:
            check_whole(place.store, file.name)
            meta: Meta | None = header(place, file)
        except SegmentGone:
            continue
        except SegmentDamaged as error:
            yield Checked(kind=kind, path=where, found=error.reason)
            meta = None
        else:
            yield Checked(kind=kind, path=where)
            yield from _link(place, file, meta or {}, known, begin)
        known = file, meta
    yield from _others(place, chained)


def _link(
    place: StreamPlace, file: StoreFile, meta: Meta, known: tuple[StoreFile, Meta | None] | None, begin: int
) -> Iterator[Checked]:
    """Yield what is wrong between a file and the one before it."""
    where, first_seq = place.store.where(file.name), int(meta["first_seq"])
    if known is None and (begin or first_seq):
        return  # a chain may begin anywhere
    if known is not None and known[0].last_seq + 1 != first_seq:
        events = f"events {known[0].last_seq + 1} to {first_seq - 1}"
        yield Checked(kind="chain", path=where, found=f"nothing before it: the segments of {events} are missing")
    elif known is None or known[1] is not None:
        try:
            follows(place, file, meta, None if known is None else (known[0], known[1] or {}))
        except SegmentDamaged as error:
            yield Checked(kind="chain", path=where, found=error.reason)


def _others(place: StreamPlace, chained: list[StoreFile]) -> Iterator[Checked]:
    """Yield the files beside a chain: what a stopped writer left is none of it, a tip that was replaced is no damage."""
    known = {file.name for file in chained} | {beginning_name(place.name)}
    for name in place.names():
        if name not in known:
            try:
                check_whole(place.store, name)
            except SegmentGone:
                continue
            except SegmentDamaged as error:
                yield Checked(kind="other", path=place.store.where(name), found=error.reason)


def verified_cuts(store: Store) -> Iterator[Checked]:
    """Yield the files that say how far folds have come: one that cannot be read costs time only."""
    for name in store.list(f"{CUTS}/"):
        yield Checked(kind="cut", path=store.where(name), found=cut_damage(store, name))
