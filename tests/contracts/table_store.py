"""A store that an object store could be: contents in a table, by name. It has no folders, links, renames or times of files."""

import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote, unquote

from pagetrail.schemas.errors import StorageFull
from pagetrail.schemas.store.contract import LocalFile, check_name

HOUR = 3600.0


class TableStore:
    """Contents in a table of SQLite; drafts beside it, and a copy for each reader as long as it reads."""

    def __init__(self, folder: Path, max_pages: int | None = None) -> None:
        self._folder, self._max_pages = folder, max_pages
        self._drafts = folder / "drafts"
        self._drafts.mkdir(parents=True, exist_ok=True)

    def where(self, name: str = "") -> str:
        """Return an address."""
        return f"table://{self._folder}/{name}"

    def list(self, prefix: str = "") -> Sequence[str]:
        """Return the names that begin with *prefix*, in order."""
        query = "SELECT name FROM objects WHERE substr(name, 1, ?) = ? ORDER BY name"
        return [name for (name,) in self._execute(query, len(prefix), prefix)]

    def version(self, name: str) -> str | None:
        """Return the digest of what stands under *name*."""
        found = self._content(name)
        return None if found is None else _digest(found)

    @contextmanager
    def open(self, name: str) -> Iterator[LocalFile]:
        """Give a copy, which is removed at the end."""
        content = self._content(name)
        if content is None:
            raise FileNotFoundError(name)
        copies = self._folder / "copies"
        copies.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copies) as folder:
            path = Path(folder) / "copy"
            path.write_bytes(content)
            yield LocalFile(path=path, size=len(content), version=_digest(content), within=copies.absolute())

    def publish_if_absent(self, name: str, write: Callable[[Path], object]) -> bool:
        """Put what *write* makes, if the name is free."""
        check_name(name)
        draft = self._drafts / f"{quote(name, safe='')} {os.getpid()}-{uuid.uuid4().hex[:12]}"
        try:
            write(draft)
            return bool(
                self._execute("INSERT OR IGNORE INTO objects VALUES (?, ?) RETURNING 1", name, draft.read_bytes())
            )
        finally:
            for left in self._drafts.iterdir():
                if left.name.startswith(draft.name):
                    left.unlink()

    def replace(self, name: str, content: bytes) -> None:
        """Put *content*."""
        check_name(name)
        self._execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", name, content)

    def remove(self, name: str) -> None:
        """Remove what stands under *name*."""
        check_name(name)
        self._execute("DELETE FROM objects WHERE name = ?", name)

    def sweep(self, prefix: str = "", *, alone: bool) -> None:
        """Remove drafts."""
        for draft in self._drafts.iterdir():
            old = time.time() - draft.stat().st_mtime > HOUR
            if unquote(draft.name.split(" ")[0]).startswith(prefix) and (alone or old):
                draft.unlink()

    def _content(self, name: str) -> bytes | None:
        check_name(name)
        found = self._execute("SELECT content FROM objects WHERE name = ?", name)
        return bytes(found[0][0]) if found else None

    def _execute(self, statement: str, *values: object) -> Sequence[tuple[object, ...]]:
        db = sqlite3.connect(self._folder / "objects.sqlite", timeout=60, isolation_level=None)
        try:
            db.execute("CREATE TABLE IF NOT EXISTS objects (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
            if self._max_pages is not None:
                db.execute(f"PRAGMA max_page_count = {self._max_pages}")
            return db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                raise StorageFull(path=self.where(), reason=str(error)) from error
            raise
        finally:
            db.close()


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
