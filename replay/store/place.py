"""The place of a stream's files: a store, and the folder of the stream in it."""

from dataclasses import dataclass

from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import StoreFile, chain, fold_of, streams_among


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The files of one stream and fold in a store; *name* is their folder: see ``stream_name``."""

    store: Store
    name: str

    def names(self) -> list[str]:
        """Return the names of all its files, in order."""
        return list(self.store.list(f"{self.name}/"))

    def folds(self) -> list[str]:
        """Return the folds in which the stream is there, by name."""
        stream = self.name.rpartition("/")[0]
        return [fold_of(name) for name in streams_among(self.store.list(f"{stream}/"))]

    def in_fold(self, fold: str) -> "StreamPlace":
        """Return the place of the same stream in another fold."""
        return StreamPlace(self.store, f"{self.name.rpartition('/')[0]}/{fold}")

    def chain(self) -> list[StoreFile]:
        """Return its segments in order, and after them its tip, if one reaches beyond them."""
        return chain(self.names())
