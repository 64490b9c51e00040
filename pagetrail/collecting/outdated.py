"""Segments that no question asks any more: of other formats of the store, and of other versions of the fold.

They go only where segments of this version hold all that they hold. The log may have lost what those were made of.
"""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pagetrail.collecting.layouts import Layout, layout_here, layouts
from pagetrail.replay.store.local import LocalStore
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.read import whose
from pagetrail.schemas.errors import SegmentDamaged, TrailBusy, TrailMissing
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.names import chain, is_of_version
from pagetrail.schemas.store.tables import STORE_FORMAT

_Present = dict[tuple[str, str], list[StreamPlace]]
"""The folds of this version by their streams: (host, boot_id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Segments of one stream that no question asks any more, or all of it in a fold or format that this version does not read.

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
    return [one for _, one in _outdated(Path(trail))]


def _outdated(trail: Path) -> list[tuple[Layout, Outdated]]:
    here, others = layout_here(trail), layouts(trail)
    if not others and not here.root.is_dir() and not log_directory(trail).is_dir():
        raise TrailMissing(path=str(trail))
    present = _present(here)
    found = [(one, _judged(folder, present, f"another format of the store than {STORE_FORMAT}"))
             for one in others for folder in _folds(one)]  # fmt: skip
    found += [(here, _judged(folder, present, "another version of the fold"))
              for folder in _folds(here) if not is_of_version(folder.name)]  # fmt: skip
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
    found = _outdated(Path(trail))
    gone = [(layout, one.path) for layout, one in found if one.kept is None]
    _check_locks(Path(trail), ((layout, path.name) for layout, path in gone))
    for _, path in gone:
        shutil.rmtree(path)
        for folder in path.parents[:2]:
            if not any(folder.iterdir()):
                folder.rmdir()
    for layout, fold in {(layout, path.name) for layout, path in gone}:
        if not any(folder.name == fold for folder in _folds(layout)):
            for file in (*layout.locks(fold), *layout.cuts(fold)):
                file.unlink()  # it said how far that fold has come
        if not any(layout.root.iterdir()):
            layout.root.rmdir()
    return [one for _, one in found]


def _folds(layout: Layout) -> list[Path]:
    """Return the folders of streams and folds of a store: those that have segments or tips."""
    return [folder for folder in layout.folders() if chain(_names(folder))]


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("*.duckdb")]


def _present(here: Layout) -> _Present:
    """Return the folds of this version that can be read; their files, not the names of their folders, say whose they are."""
    found: _Present = {}
    for folder in _folds(here):
        if is_of_version(folder.name) and (stream := _stream_of(folder)) is not None:
            place = StreamPlace(LocalStore(here.root), str(folder.relative_to(here.root)))
            found.setdefault(stream, []).append(place)
    return found


def _stream_of(folder: Path) -> tuple[str, str] | None:
    """Return the host and the boot that the files of a folder name; null: some cannot be read, or they differ."""
    try:
        found = {whose(folder / file.name) for file in chain(_names(folder))}
    except SegmentDamaged:
        return None
    return found.pop() if len(found) == 1 else None


def _judged(folder: Path, present: _Present, why: str) -> Outdated:
    size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    stream = _stream_of(folder)
    if stream is None:
        return Outdated(
            path=folder, size=size, why=why, kept="its files do not all say that they are of one host and boot"
        )
    if any(_holds(one, folder) for one in present.get(stream, [])):
        return Outdated(path=folder, size=size, why=why)
    return Outdated(
        path=folder, size=size, why=why, kept="this version has not replayed all of it: run 'pagetrail replay'"
    )


def _holds(present: StreamPlace, older: Path) -> bool:
    """Return whether segments follow one another from the first event of another folder's to the last.

    Those that were given up with --keep count as being there.
    """
    files, wanted = present.chain(), chain(_names(older))
    if not files or any(after.first_seq != before.last_seq + 1 for before, after in pairwise(files)):
        return False
    first_seq = 0 if present.begins_at() else files[0].first_seq
    return first_seq <= wanted[0].first_seq and files[-1].last_seq >= wanted[-1].last_seq


def _check_locks(trail: Path, gone: Iterable[tuple[Layout, str]]) -> None:
    """Raise, if a replay into one of the folds is at work in one of the stores."""
    for lock in _locks(gone):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read(64).decode(errors="replace").strip() or "unknown"
                raise TrailBusy(path=str(trail), what="replay", holder=holder) from None


def _locks(gone: Iterable[tuple[Layout, str]]) -> Iterator[Path]:
    return (lock for layout, fold in set(gone) for lock in layout.locks(fold))
