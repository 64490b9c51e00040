"""Segments that no question asks any more: of other formats of the store, and of other versions of the fold.

They go only where segments of this version hold all that they hold. The log may have lost what those were made of.
"""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pagetrail.replay.store.local import LOCK_SUFFIX, STORES_DIRECTORY, store_of
from pagetrail.schemas.errors import TrailBusy, TrailMissing
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.names import chain, is_of_version
from pagetrail.schemas.store.tables import STORE_FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """The segments of one stream in a fold or format that this version does not read.

    Attributes
    ----------
    path
        Their folder.
    size
        Their bytes on disk.
    why
        Why they are not read.
    kept
        Why they are not removed; null: they are.
    """

    path: Path
    size: int
    why: str
    kept: str | None = None


def outdated(trail: str | Path) -> list[Outdated]:
    """Return the segments of a trail that this version does not read, by path. The log is never among them.

    Raises
    ------
    TrailMissing
        There is no trail there.
    """
    trail = Path(trail)
    stores = trail / STORES_DIRECTORY
    if not stores.is_dir() and not log_directory(trail).is_dir():
        raise TrailMissing(path=str(trail))
    here = store_of(trail).root
    roots = [stores, *(one for one in sorted(stores.glob("v*")) if one != here)]
    found = [_judged(folder, root, here, f"another format of the store than {STORE_FORMAT}") for root in roots
             for folder in _folds(root)]  # fmt: skip
    found += [_judged(folder, here, here, "another version of the fold") for folder in _folds(here)
              if not is_of_version(folder.name)]  # fmt: skip
    return found


def remove_outdated(trail: str | Path) -> list[Outdated]:
    """Remove what ``outdated`` finds, but for what is kept; return it.

    Raises
    ------
    TrailMissing
        There is no trail there.
    TrailBusy
        A replay is at work where something would be removed.
    """
    found = outdated(trail)
    gone = [one.path for one in found if one.kept is None]
    _check_locks(Path(trail), {path.parents[2] for path in gone}, {path.name for path in gone})
    for path in gone:
        shutil.rmtree(path)
        for folder in path.parents[:2]:
            if not any(folder.iterdir()):
                folder.rmdir()
    for root, fold in {(path.parents[2], path.name) for path in gone}:
        if not any(root.glob(f"*/*/{fold}")):
            for file in (*root.glob(f"{fold}.*{LOCK_SUFFIX[1:]}"), *root.glob(f"{fold}.*cut.json")):
                file.unlink()  # it said how far that fold has come
    return found


def _folds(root: Path) -> list[Path]:
    """Return the folders of streams and folds of a store: those that have segments or tips."""
    return [folder for folder in sorted(root.glob("*/*/*")) if folder.is_dir() and chain(_names(folder))]


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("*.duckdb")]


def _judged(folder: Path, root: Path, here: Path, why: str) -> Outdated:
    size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    stream = here / folder.relative_to(root).parent
    present = [one for one in stream.iterdir() if is_of_version(one.name)] if stream.is_dir() else []
    if any(_holds(one, folder) for one in present):
        return Outdated(path=folder, size=size, why=why)
    return Outdated(
        path=folder, size=size, why=why, kept="this version has not replayed all of it: run 'pagetrail replay'"
    )


def _holds(present: Path, older: Path) -> bool:
    """Return whether segments in one folder follow one another from the first event of another's to the last."""
    files, wanted = chain(_names(present)), chain(_names(older))
    gapless = all(after.first_seq == before.last_seq + 1 for before, after in pairwise(files))
    return (
        bool(files)
        and gapless
        and files[0].first_seq <= wanted[0].first_seq
        and files[-1].last_seq >= wanted[-1].last_seq
    )


def _check_locks(trail: Path, roots: Iterable[Path], folds: set[str]) -> None:
    """Raise, if a replay into one of *folds* is at work in one of the stores."""
    for lock in _locks(roots):
        if lock.name.partition(".")[0] not in folds:
            continue
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read(64).decode(errors="replace").strip() or "unknown"
                raise TrailBusy(path=str(trail), what="replay", holder=holder) from None


def _locks(roots: Iterable[Path]) -> Iterator[Path]:
    return (lock for root in roots for lock in root.glob(f"*{LOCK_SUFFIX}"))
