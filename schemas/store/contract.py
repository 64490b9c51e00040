"""The store: what every backend promises about the files that replay makes and questions read.

A store maps names to files. A name is one or more parts joined by '/'; no part is empty or begins with a dot, and no name is also
the folder of another. Every call except ``list`` refuses other names with ``ValueError``.

The promises, checked by one contract suite (tests/contracts/test_store.py):

- ``list`` returns names in the order of their characters: all that were published before the call began and not removed.
- ``publish_if_absent`` replaces nothing. If several processes publish one name, one succeeds, and the others learn that they did
  not. When it returns, the file is durable, whichever process published it.
- ``replace`` puts a new file in place of the old one. A reader finds one or the other, complete. After a power failure the old
  one may be back.
- A process that has opened the local file of a name can read it to its end, even if the name is removed or replaced meanwhile.
- A writer that is stopped at any step, or finds no space, leaves the complete file under the name or none. Anything that it leaves
  elsewhere is not listed, and ``sweep`` removes it.

An object store keeps these promises with a put that fails if the name exists (If-None-Match). So nothing here needs links,
renames, folders, modification times or locks. The lock that keeps a second replay off a trail is not part of the store: see
``replay.store.lock``.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file on this machine with the content of a name of the store.

    Attributes
    ----------
    path
        Path at which it can be opened for reading.
    size
        Its size, bytes.
    version
        Its version: see ``Store.version``.
    within
        The folder that has all local files of its store; absolute.
    """

    path: Path
    size: int
    version: str
    within: Path


class Store(Protocol):
    """Files by name, shared by any number of processes."""

    def where(self, name: str = "") -> str:
        """Return a name, or the store itself, as messages show it: a path, an address. Equal for equal stores."""

    def list(self, prefix: str = "") -> Sequence[str]:
        """Return the names that begin with *prefix*, in order."""

    def version(self, name: str) -> str | None:
        """Return the version of the file under *name*: other content has another version. Null: there is no file."""

    def open(self, name: str) -> AbstractContextManager[LocalFile]:
        """Give a local file with the content of *name*.

        A file that is opened by its path before the context ends can be read to its end, even if the name is removed or replaced,
        and after the context. If the name is removed before the path is opened, opening it may fail.

        Raises
        ------
        FileNotFoundError
            There is no file under *name*.
        SegmentDamaged
            What is there is no file of the store: a link that leads out of it, a FIFO.
        """

    def publish_if_absent(self, name: str, write: Callable[[Path], object]) -> bool:
        """Publish the file that *write* makes, unless there is one under *name*; return whether it was published.

        *write* gets a path at which there is no file, and makes one there. Files that it leaves under longer names that begin with
        that path are removed; if it raises, all its files are.

        Raises
        ------
        StorageFull
            No space left; nothing was published under *name*.
        """

    def replace(self, name: str, content: bytes) -> None:
        """Put *content* under *name*, whether there is a file or not.

        Raises
        ------
        StorageFull
            No space left; the file under *name*, if any, is unchanged.
        """

    def remove(self, name: str) -> None:
        """Remove the file under *name*, if there is one."""

    def sweep(self, prefix: str = "", *, alone: bool) -> None:
        """Remove the drafts that stopped writers of names with *prefix* left.

        If the caller is not *alone* in writing such names, drafts that were written to in the last hour are kept, because another
        writer may still be at work.
        """


def is_name(name: str) -> bool:
    """Return whether a store can hold a file of this name."""
    return not any(not part or part.startswith(".") or "\0" in part for part in name.split("/"))


def check_name(name: str) -> None:
    """Raise ``ValueError``, unless a store can hold a file of this name."""
    if not is_name(name):
        raise ValueError(f"{name!r}: expected parts joined by '/', each not empty and without a leading dot")
