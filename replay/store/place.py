"""The place of a stream's files: a store, and the folder of the stream in it."""

import json
from collections.abc import Collection
from dataclasses import dataclass

from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import StoreFile, beginning_name, chain, fold_of, streams_among


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The files of one stream and fold in a store; *name* is their folder: see ``stream_name``."""

    store: Store
    name: str

    def names(self) -> list[str]:
        """Return the names of all its files, in order; what is in folders beside them is not its own."""
        prefix = f"{self.name}/"
        return [name for name in self.store.list(prefix) if "/" not in name[len(prefix) :]]

    def folds(self) -> list[str]:
        """Return the folds in which the stream is there, by name."""
        stream = self.name.rpartition("/")[0]
        return [fold_of(name) for name in streams_among(self.store.list(f"{stream}/"))]

    def in_fold(self, fold: str) -> "StreamPlace":
        """Return the place of the same stream in another fold."""
        return StreamPlace(self.store, f"{self.name.rpartition('/')[0]}/{fold}")

    def chain(self, without: Collection[str] = ()) -> list[StoreFile]:
        """Return its segments in order, and after them its tip, if one reaches beyond them; without those that were given up.

        Those whose names are in *without* count as not being there.
        """
        files = chain(name for name in self.names() if name not in without)
        begin = self._beginning(files)
        return [file for file in files if file.first_seq >= begin]

    def begins_at(self) -> int:
        """Return the stream_seq at which its chain begins: 0, or where ``begin_at`` made it begin."""
        return self._beginning(chain(self.names()))

    def begin_at(self, first_seq: int) -> None:
        """Give up the segments before the one that begins at *first_seq*: no replay makes them anew, and no question asks them.

        They can be removed afterwards, in any order. If that one is lost, too, the chain begins at 0 again.

        Raises
        ------
        StorageFull
            No space left; nothing was given up.
        """
        self.store.replace(beginning_name(self.name), json.dumps({"first_seq": first_seq}).encode())

    def _beginning(self, files: list[StoreFile]) -> int:
        try:
            with self.store.open(beginning_name(self.name)) as file:
                first_seq = int(json.loads(file.path.read_bytes())["first_seq"])
        except (OSError, SegmentDamaged, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return 0
        return first_seq if any(file.first_seq == first_seq and not file.tip for file in files) else 0
