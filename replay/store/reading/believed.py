"""The files of a stream that questions believe: each is what its name says, and the last one goes on from the one before it.

Only those are opened whose names leave a doubt: the last file, the one before it, and both sides of a hole. What a question opens
beside them, it checks then.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.chain import Meta, follows, header
from pagetrail.replay.store.reading.whole import check_whole
from pagetrail.schemas.errors import SegmentDamaged, SegmentGone, SegmentMissing, TrailError
from pagetrail.schemas.store.names import StoreFile

_LOOKS: Final = 5
"""How often the files are looked up again: a replay may replace a tip meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """The files of a stream that are believed, in order; holes may be between them.

    Attributes
    ----------
    refused
        By name, why other files that are there are not among them.
    """

    files: list[StoreFile]
    refused: dict[str, TrailError]


def believed(place: StreamPlace) -> Believed:
    """Return the files of a stream that are believed.

    Raises
    ------
    SegmentGone
        Files were removed again and again while they were looked up.
    """
    for attempt in range(_LOOKS):
        last = attempt == _LOOKS - 1
        names = place.names()
        try:
            found = _Look(place).believed()
        except SegmentGone:
            if last:
                raise
            continue
        if last or not found.refused or place.names() == names:
            return found
    return Believed(files=[], refused={})


class _Look:
    """One look at the files of a stream."""

    def __init__(self, place: StreamPlace) -> None:
        self._place = place
        self._refused: dict[str, TrailError] = {}
        self._headers: dict[str, Meta] = {}

    def believed(self) -> Believed:
        while True:
            refused = len(self._refused)
            files = self._place.chain(without=self._refused)
            for file in _doubtful(files):
                self._header(file)
            if refused == len(self._refused) and files:
                self._check_last(files)
            if refused == len(self._refused):
                return Believed(files=files, refused=self._refused)

    def _header(self, file: StoreFile) -> Meta | None:
        if file.name not in self._headers:
            try:
                self._headers[file.name] = header(self._place, file)
            except SegmentGone:
                raise
            except SegmentDamaged as error:
                self._refused[file.name] = error
        return self._headers.get(file.name)

    def _check_last(self, files: list[StoreFile]) -> None:
        """Refuse the last file, or the one before it, if the one does not go on from the other."""
        if len(files) == 1 or files[-2].last_seq + 1 != files[-1].first_seq:
            return
        before, last = files[-2:]
        meta, of_last = self._header(before), self._headers[last.name]
        if meta is None:
            return
        if last.tip and of_last.get("parent") != before.stem:
            events = f"{before.last_seq + 1} to {int(of_last['first_seq']) - 1}"
            self._refused[last.name] = SegmentMissing(before=self._place.store.where(before.name), events=events)
            return
        try:
            follows(self._place, last, of_last, (before, meta))
        except SegmentDamaged as error:
            self._refused |= _damaged_of(self._place, before) or {last.name: error}


def _doubtful(files: list[StoreFile]) -> list[StoreFile]:
    """Return the last of *files*, and those on both sides of a hole."""
    found = {file.name: file for file in files[-1:]}
    for before, after in pairwise(files):
        if after.first_seq != before.last_seq + 1:
            found |= {before.name: before, after.name: after}
    return list(found.values())


def _damaged_of(place: StreamPlace, file: StoreFile) -> dict[str, TrailError]:
    try:
        check_whole(place.store, file.name)
    except SegmentGone:
        raise
    except SegmentDamaged as error:
        return {file.name: error}
    return {}
