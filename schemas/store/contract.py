"""The store: what every backend promises about the files that replay makes and questions read.

A store maps names to files. A name is one or more parts joined by '/'; no part is empty or begins with a dot, and no name is also
the folder of another. Every call but ``list`` refuses other names with ``ValueError``.

The promises, held by one contract suite (tests/contracts/test_store.py):

- ``list`` gives names in the order of their characters: all that were published before the call began and not removed.
- ``publish_if_absent`` replaces nothing. Of any number of processes that publish one name, one does, and the others learn that
  they did not. When it returns, the file is durable, whoever published it.
- ``replace`` puts a new file in the place of the old one. A reader finds the one or the other, whole. After a power failure the
  old one may be back.
- Whoever has opened the local file of a name reads it to its end, whatever becomes of the name meanwhile.
- A writer that is stopped at any step, or finds no space, leaves the whole file under the name or none. What it leaves elsewhere
  is not listed, and ``sweep`` removes it.

An object store keeps these promises with a put that fails where the name is taken (If-None-Match). So nothing here needs links,
renames, folders, times of modification or locks. The lock that keeps a second replay from a trail is no part of the store: see
``replay.store.lock``.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file on this machine that holds what a name of the store stands for.

    Attributes
    ----------
    path
        Where it can be opened for reading.
    size
        Its size, bytes.
    version
        The version that it is: see ``Store.version``.
    """

    path: Path
    size: int
    version: str


class Store(Protocol):
    """Files by name, shared by any number of processes."""

    def where(self, name: str = "") -> str:
        """Return what messages call a name, or the store itself: a path, an address. Equal for equal stores."""

    def list(self, prefix: str = "") -> Sequence[str]:
        """Return the names that begin with *prefix*, in order."""

    def version(self, name: str) -> str | None:
        """Return the version of what stands under *name*: other content there has another one. Null: there is nothing."""

    def open(self, name: str) -> AbstractContextManager[LocalFile]:
        """Give a local file that holds what stands under *name*.

        Whoever opens its path before the context ends reads that file to its end, also when the name is removed or replaced, and
        after the context. Where the name is removed before the path is opened, opening it may fail.

        Raises
        ------
        FileNotFoundError
            There is nothing under *name*.
        """

    def publish_if_absent(self, name: str, write: Callable[[Path], object]) -> bool:
        """Publish the file that *write* makes, unless there is one under *name*; return whether it was published.

        *write* is given a path at which there is no file, and makes one there. What it leaves under longer names that begin with
        that path is removed, and so is everything when it raises.

        Raises
        ------
        StorageFull
            No space left; there is nothing new under *name*.
        """

    def replace(self, name: str, content: bytes) -> None:
        """Put *content* under *name*, whether there is a file or not.

        Raises
        ------
        StorageFull
            No space left; what stands under *name* is what stood there.
        """

    def remove(self, name: str) -> None:
        """Remove what stands under *name*, if there is anything."""

    def sweep(self, prefix: str = "", *, alone: bool) -> None:
        """Remove what stopped writers of names that begin with *prefix* left.

        Unless the caller is *alone* in writing such names, a file that was written to in the last hour may be another's who is at
        work, and is left.
        """


def is_name(name: str) -> bool:
    """Return whether a store can hold a file of this name."""
    return not any(not part or part.startswith(".") or "\0" in part for part in name.split("/"))


def check_name(name: str) -> None:
    """Raise ``ValueError``, unless a store can hold a file of this name."""
    if not is_name(name):
        raise ValueError(f"{name!r}: expected parts joined by '/', each not empty and without a leading dot")
