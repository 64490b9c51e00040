"""The place of a stream's files: a store, and the folder of the stream in it."""

from dataclasses import dataclass

from pagetrail.schemas.store.contract import Store
from pagetrail.schemas.store.names import StoreFile, chain


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The files of one stream and fold in a store; *name* is their folder: see ``stream_name``."""

    store: Store
    name: str

    def names(self) -> list[str]:
        """Return the names of all its files, in order."""
        return list(self.store.list(f"{self.name}/"))

    def chain(self) -> list[StoreFile]:
        """Return its segments in order, and after them its tip, if one reaches beyond them."""
        return chain(self.names())
