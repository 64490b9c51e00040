"""The backends of the store that the contract suite runs over: one more is one more entry here."""

import dataclasses
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pagetrail.replay.store.local import LocalStore
from pagetrail.schemas.store.contract import Store
from tests.contracts.table_store import TableStore
from tests.faults.deadline import Deadline, count_calls

CRAMPED_BYTES = 200_000
"""What is larger does not fit into a cramped store; a tenth of it does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """How to open a store at a place, and how to see and disturb what it does there.

    Attributes
    ----------
    cramped
        Opens one that has no space for ``CRAMPED_BYTES``, as long as the context lasts.
    leftovers
        Returns what stopped writers left at a place.
    count_steps
        Makes every change that it brings about on disk a step, in this process.
    """

    store: Callable[[Path], Store]
    cramped: Callable[[Path], AbstractContextManager[Store]]
    leftovers: Callable[[Path], list[Path]]
    count_steps: Callable[[Deadline], None]


@contextmanager
def _small_files(place: Path) -> Iterator[Store]:
    """Give a store in a process that may write no large file: the system says EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CRAMPED_BYTES, hard))
    try:
        yield LocalStore(place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _small_table(place: Path) -> Iterator[Store]:
    yield TableStore(place, max_pages=CRAMPED_BYTES // 4096)


def _count_statements(deadline: Deadline) -> None:
    class Counted(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            deadline.step()
            return super().execute(*arguments)

    count_calls(deadline)
    sqlite3.connect = partial(sqlite3.connect, factory=Counted)


BACKENDS = {
    "local": Backend(
        store=LocalStore, cramped=_small_files, leftovers=lambda place: sorted(place.rglob(".writing-*")),
        count_steps=count_calls,
    ),
    "table": Backend(
        store=TableStore, cramped=_small_table, leftovers=lambda place: sorted((place / "drafts").glob("*")),
        count_steps=_count_statements,
    ),
}  # fmt: skip


def content(seed: str, size: int = 20_000) -> bytes:
    """Return bytes that say of themselves whether they are whole; other seeds have others."""
    body = (seed.encode() + b" ") * (size // (len(seed) + 1) + 1)
    return body[:size] + blake2b(body[:size], digest_size=32).digest()


def is_whole(found: bytes) -> bool:
    """Return whether these are all the bytes of ``content``."""
    return blake2b(found[:-32], digest_size=32).digest() == found[-32:]


def seed_of(found: bytes) -> str:
    """Return which ``content`` that is."""
    return found.split(b" ")[0].decode()


def publish(store: Store, name: str, what: bytes) -> bool:
    """Publish bytes."""
    return store.publish_if_absent(name, lambda draft: draft.write_bytes(what))


def read(store: Store, name: str) -> bytes | None:
    """Return what stands under a name; null: nothing."""
    try:
        with store.open(name) as file:
            return file.path.read_bytes()
    except FileNotFoundError:
        return None


def everything(store: Store) -> dict[str, bytes | None]:
    """Return what stands under each name that is listed."""
    return {name: read(store, name) for name in store.list()}
