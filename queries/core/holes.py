"""What is missing among the files of a stream, or not believed, and what that means for a question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pagetrail.schemas.errors import SegmentMissing, TrailError
from pagetrail.schemas.store.names import StoreFile, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """The holes of a chain: a file between two others that is not there, or is damaged.

    Attributes
    ----------
    files
        Those that are there, in order.
    refused
        By name, why files of the stream are not believed; some of them may be among *files*.
    where
        Returns the name of a file for messages.
    """

    files: Sequence[StoreFile]
    refused: Mapping[str, TrailError]
    where: Callable[[StoreFile], str]

    def __contains__(self, index: int) -> bool:
        """Return whether the file with that index does not go on from the one before it, or that one is damaged."""
        before, file = self.files[index - 1], self.files[index]
        return file.first_seq != before.last_seq + 1 or before.name in self.refused

    def unbroken(self) -> int:
        """Return the index of the first file from which on none is missing, or known to be damaged."""
        return max((i for i in range(1, len(self.files)) if i in self), default=0)

    def within(self, index: int) -> TrailError:
        """Return the error for a question that needs what is missing behind the file with that index, or that file itself."""
        before, behind = self.files[index], self.files[index + 1]
        for name, error in self.refused.items():
            file = parsed(name)
            if file is not None and not file.tip and before.first_seq <= file.first_seq < behind.first_seq:
                return error
        return SegmentMissing(before=self.where(before), events=f"{before.last_seq + 1} to {behind.first_seq - 1}")

    def behind(self, index: int) -> TrailError | None:
        """Return the error for an instant between the file with that index and the next one; null: there is no hole."""
        if index + 1 == len(self.files):
            return None
        refused = self.refused.get(self.files[index + 1].name)
        return refused or (self.within(index) if index + 1 in self else None)

    def beyond(self, last_seq: int) -> TrailError | None:
        """Return why the end of the stream is lost: a file behind the event *last_seq* is not believed; null: it is not."""
        lost = any(file.last_seq > last_seq for file in map(parsed, self.refused) if file is not None)
        return next(iter(self.refused.values())) if lost else None

    def damage(self) -> list[TrailError]:
        """Return what is known to be wrong, each once."""
        holes = [self.within(i - 1) for i in range(1, len(self.files)) if i in self]
        return list({str(error): error for error in (*self.refused.values(), *holes)}.values())
