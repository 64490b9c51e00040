"""DuckDB within this process: an instance to which files are attached while they are read or written.

Creating an instance takes longer than reading a small file. Any error may leave one unusable, so another is created after it.
"""

import os
import shutil
import tempfile
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import duckdb

from pagetrail.schemas.store.memory import machine_bytes

_Connection = duckdb.DuckDBPyConnection

_NO_EXTENSIONS: Final[dict[str, Any]] = {
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
}
"""A file that is of another kind than DuckDB's is refused: no extension is looked for, here or elsewhere, to open it."""

_READING: Final = 4
"""DuckDB may take a fourth of the machine's memory to read a store. By itself it takes four fifths, and a file may ask for it."""

_KEPT: Final = 2
"""Instances that read stores and are kept; of stores that are used in turn."""


_ROOM: Final = "pagetrail-"
_FULL: Final = ("no space left", "file too large", "disk quota")


def is_full(error: duckdb.Error) -> bool:
    """Return whether an error of DuckDB means that there is no space for what it writes."""
    text = str(error).lower()
    return any(said in text for said in _FULL)


def is_of_the_system(error: duckdb.Error) -> bool:
    """Return whether an error over a file that is read is none of the file: its medium failed, or what did not fit into memory."""
    text = str(error)
    rooms = [instance.room for instance in list(_ALL)]
    spilled = any(room and f"{room}{os.sep}" in text for room in rooms) and isinstance(error, duckdb.IOException)
    return spilled or "input/output error" in text.lower()


def attached_as(db: _Connection) -> str:
    """Return the name of the file that a connection is for: see ``Attachment.connection``."""
    path: str = db.execute("SELECT current_setting('search_path')").fetchall()[0][0]
    return path.split(",")[-1].strip().partition(".")[0]


def _nothing(_: _Connection) -> None:
    pass


class Instance:
    """An in-memory instance, created when it is first needed.

    Parameters
    ----------
    prepare
        Called with the connection of each new instance.
    config
        DuckDB's settings. No extension is ever loaded or installed. What does not fit into memory goes into a folder that nobody
        else can read, and that is removed at the end.
    """

    def __init__(self, prepare: Callable[[_Connection], None] = _nothing, **config: Any) -> None:
        self._prepare, self._config = prepare, _NO_EXTENSIONS | config
        self._lock = threading.Lock()
        self._root: _Connection | None = None
        self._room: str | None = None
        _ALL.add(self)

    @contextmanager
    def attached(self, path: Path, options: str) -> Iterator[_Connection]:
        """Give a connection for which *path*, a file of ours attached with *options*, is the database; detach it afterwards."""
        file = Attachment(self, path, options, ours=True)
        try:
            with file.connection() as db:
                yield db
        finally:
            file.release()

    def root(self) -> _Connection:
        """Return the connection that keeps the instance alive."""
        with self._lock:
            if self._root is None:
                self._root = duckdb.connect(":memory:", config=self._config | {"temp_directory": self._temporary()})
                self._prepare(self._root)
            return self._root

    def _temporary(self) -> str:
        """Return a folder for what does not fit into memory; empty: none can be made. DuckDB's own could be read by everybody."""
        if self._room is None:
            try:
                self._room = tempfile.mkdtemp(prefix=_ROOM)
            except OSError:
                return ""
            weakref.finalize(self, _remove_room, self._room, os.getpid())
        return self._room

    @property
    def room(self) -> str | None:
        """The folder for what does not fit into memory; null: there is none yet."""
        return self._room

    def give_back(self) -> None:
        """Let the instance end, and with it what it holds, when nothing is attached any more: the next use creates another.

        DuckDB keeps for later what it took to read or write a file: after a large one, 90 MB.
        """
        with self._lock:
            self._root = None

    def retire(self, root: _Connection) -> None:
        """Stop using an instance, if it is the present one; files that are attached to it remain usable if they can be."""
        with self._lock:
            if self._root is root:
                self._root = None

    def _leave_to_parent(self) -> None:
        """Keep the instance unused in a forked child: its threads are not there, and closing it would wait for them."""
        self._lock, self._room = threading.Lock(), None
        if self._root is not None:
            _PARENTS.append(self._root)
            self._root = None


def _remove_room(room: str, maker: int) -> None:
    """Remove a temporary directory, unless this is a forked child of the process that made it."""
    if os.getpid() == maker:
        shutil.rmtree(room, ignore_errors=True)


_ALL: Final[weakref.WeakSet[Instance]] = weakref.WeakSet()
_PARENTS: Final[list[_Connection]] = []
"""Of a process that forked: what its parent had open."""


def _leave_all_to_parent() -> None:
    for instance in list(_ALL):
        instance._leave_to_parent()  # of this file


os.register_at_fork(after_in_child=_leave_all_to_parent)


class Reading:
    """Instances that read files, each only those below one folder: a query that reaches for any other file fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Instance] = OrderedDict()

    def within(self, folder: Path) -> Instance:
        """Return the instance for the files below a folder, whose path is absolute."""
        with self._lock:
            found = self._kept.pop(folder, None)
            if found is None:
                found = Instance(lambda db: _confine(db, folder), memory_limit=f"{machine_bytes() // _READING}B")
            self._kept[folder] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found

    def any(self) -> Instance:
        """Return an instance for queries of what is in memory."""
        with self._lock:
            found = next(reversed(self._kept.values()), None)
        return found or self.within(Path("/nonexistent"))

    def give_back(self) -> None:
        """Let the instances end: see ``Instance.give_back``."""
        with self._lock:
            kept = [*self._kept.values()]
        for instance in kept:
            instance.give_back()


def _confine(db: _Connection, folder: Path) -> None:
    """Let the instance of a connection read below *folder*, and nothing else, for as long as it lives."""
    db.execute("SET allowed_directories = [$folder]", {"folder": str(folder)})
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")


class Attachment:
    """A file that an instance holds open, until ``release`` is called or this object is collected.

    A file that is not *ours* may have macros with the names of DuckDB's functions and operators. Names are looked up among DuckDB's
    own first, and then in the file: so its tables are found, and its macros are not.

    Raises
    ------
    duckdb.Error
        It cannot be opened.
    """

    def __init__(self, instance: Instance, path: Path, options: str, *, ours: bool = False) -> None:
        path = Path(os.path.abspath(path))  # noqa: PTH100  # otherwise md:x, s3://x would be more than a name
        self._instance, self._root, self._ours = instance, instance.root(), ours
        self._idle: list[_Connection] = []
        self.name = f"file_{uuid.uuid4().hex}"
        quoted = str(path).replace("'", "''")
        try:
            self._root.cursor().execute(f"ATTACH '{quoted}' AS {self.name} (TYPE duckdb, {options})")
        except duckdb.Error:
            instance.retire(self._root)
            raise
        self.release = weakref.finalize(self, _detach, self._root, self.name, self._idle, os.getpid())
        self.release.atexit = False

    @contextmanager
    def connection(self) -> Iterator[_Connection]:
        """Give a connection for which the file is the database: one that nobody uses meanwhile, and that was left as it began."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._another()
        try:
            yield db
            db.abort()  # of a result that was not read to its end
        except BaseException as error:
            db.close()
            if isinstance(error, duckdb.Error):
                self._instance.retire(self._root)
            raise
        self._idle.append(db)

    def _another(self) -> _Connection:
        try:
            db = self._root.cursor()
            db.execute(f"USE {self.name}" if self._ours else f"SET search_path = 'system.main,{self.name}.main'")
        except duckdb.Error:
            self._instance.retire(self._root)
            raise
        return db


def _detach(root: _Connection, name: str, idle: list[_Connection], pid: int) -> None:
    if os.getpid() != pid:
        return  # it was attached before this process forked
    while idle:
        idle.pop().close()
    with suppress(duckdb.Error):  # an earlier error may have made the instance unusable
        root.cursor().execute(f"DETACH {name}")
