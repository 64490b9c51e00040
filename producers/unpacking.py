"""What an archive holds: files, each a recording of its own, and capture directories."""

import os
import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from pagetrail.producers.archives import Archive, ArchivedFile, ArchiveKind, archive_kind, open_archive
from pagetrail.producers.formats.dump_order import is_dump
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.inputs import PACKED_SUFFIX, UNCOMPRESSED_STEP, Source, source_of
from pagetrail.producers.spool import SPOOL_BYTES, filled, held, room_of
from pagetrail.schemas.errors import InputError, TruncatedInput
from pagetrail.schemas.store.space import explained

_HEAD_BYTES: Final = 512

MOST_NAMED: Final = 20
"""So many of the files that were left out are named; others are counted."""

_BESIDE_A_TRACE: Final = frozenset({
    "snapshots", "formats", "page_owner_dumps.tar", "set_event.txt", "kprobe_events.txt", "ring_stats.txt", "kprobe_profile.txt",
    "trace_clock.txt", "dmesg.txt", "cmdline.txt", "uname.txt", "hostname.txt", "boot_id.txt", "uevents.txt", "kernel.config",
})  # fmt: skip
"""A folder with one of these beside a trace is a capture directory: docs/guide.md lists its files."""

_RINGS: Final = "per_cpu"
"""Copies of the kernel's rings are a capture's trace, too."""
_TRACES: Final = frozenset({_RINGS, *(name for found in FORMATS for name in found.trace_names)})
_OF_RINGS: Final = frozenset({_RINGS, "events"})
_OF_A_CAPTURE: Final = _TRACES | _BESIDE_A_TRACE | _OF_RINGS
_LEAST_PAGE: Final = 1 << 9
"""Pages of a ring have so many bytes, or a multiple of it."""
_PACKED: Final = re.compile(f"{PACKED_SUFFIX}$")
_OF_MACOS: Final = re.compile(r"(?:^|/)(?:__MACOSX/.*|\._[^/]*|\.DS_Store)$")
"""What the archiver of macOS adds for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """One recording of an archive.

    Attributes
    ----------
    name
        Where it lies in the archive.
    path
        A file, or the folder of a capture directory. It is gone when the next one is asked for.
    cut
        Of a capture directory: why a file of it ends in the middle.
    """

    name: str
    path: Source | Path
    cut: TruncatedInput | None = None


@dataclass(slots=True, kw_only=True)
class _Folder:
    """A capture directory that is being unpacked."""

    path: Path
    cut: TruncatedInput | None = None
    refused: list[str] = field(default_factory=list)


def kind_of(source: Source) -> ArchiveKind | None:
    """Return the kind of archive that a file is; null: it is none.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with source.open() as stream:
        found = archive_kind(stream.read(_HEAD_BYTES))
    if found != "zip":
        return found
    with source.raw() as file:
        return archive_kind(file.read(_HEAD_BYTES))  # a compressed one is refused as what it is


class Unpacking:
    """The recordings of an archive, unpacked one at a time; an archive is read twice.

    Parameters
    ----------
    folder
        Where they are unpacked, or below which of its parents; null: where the system keeps temporary files.
    limit
        Bytes of one recording.
    order
        Returns the places of dumps in the order in which they are to be given. They are unpacked before the first of them is given,
        if nothing else is in the archive that can be read, capture directories aside. Null: as they lie in the archive.

    Attributes
    ----------
    notes
        What was left out.
    refused
        Why a recording, or the rest of the archive, could not be read.
    """

    def __init__(
        self,
        source: Source,
        kind: ArchiveKind,
        folder: Path | None,
        *,
        limit: int = SPOOL_BYTES,
        order: Callable[[Sequence[Source]], Sequence[int]] | None = None,
    ) -> None:
        self._source, self._kind, self._folder, self._limit, self._order = source, kind, folder, limit, order
        self.notes: list[str] = []
        self.refused: list[str] = []

    def recordings(self) -> Iterator[Unpacked]:
        """Yield them: the files as they come, or in their order, then the capture directories."""
        roots = self._capture_roots()
        archive = open_archive(self._source, self._kind)
        cut = False
        try:
            with tempfile.TemporaryDirectory(prefix=".pagetrail-unpacked-", dir=room_of(self._folder)) as place:
                folders = {root: _Folder(path=Path(place, str(n), self._named(root))) for n, root in enumerate(roots)}
                dumps: list[tuple[str, Source]] | None = None if self._order is None else []
                for file in archive.files():
                    root = _root_of(file.name, roots)
                    if root is not None:
                        self._keep(file, root, folders[root])
                    elif _OF_MACOS.search(file.name):
                        self.notes.append(f"{file.name} is left out: it is a file of macOS's archiver")
                    elif dumps is None:
                        yield from self._alone(file)
                    else:
                        dumps = yield from self._beside(dumps, file, Path(place, f"file-{len(dumps)}"))
                    cut = cut or file.truncated is not None
                yield from self._ordered(dumps or ())
                for root, found in folders.items():
                    yield Unpacked(name=root or self._source.name, path=found.path, cut=found.cut)
        finally:
            archive.close()
        self._tell(archive, cut=cut)

    def _named(self, root: str) -> str:
        """Return the name of the folder of a capture directory, which may name its host."""
        return PurePosixPath(root).name or self._source.name.split(".")[0] or "archive"

    def _capture_roots(self) -> frozenset[str]:
        """Return the folders that are capture directories, and not within another one."""
        archive = open_archive(self._source, self._kind)
        try:
            folders: dict[str, set[str]] = {}
            for file in archive.files():
                parts = _inside(file.name).parts
                for depth, part in enumerate(parts):
                    name = _PACKED.sub("", part)
                    if name in _OF_A_CAPTURE:
                        folders.setdefault("/".join(parts[:depth]), set()).add(name)
        finally:
            archive.close()
        found = {
            name
            for name, inner in folders.items()
            if inner >= _OF_RINGS or (inner & _TRACES and inner & _BESIDE_A_TRACE)
        }
        return frozenset(
            root for root in found if not any(_text(parent) in found for parent in PurePosixPath(root).parents)
        )

    def _alone(self, file: ArchivedFile) -> Iterator[Unpacked]:
        """Yield a file of its own."""
        try:
            kept = filled(lambda to: self._copy(file, to), self._folder, "unpacked")
        except InputError as error:
            self.refused.append(str(error))
            return
        with kept:
            yield Unpacked(name=file.name, path=held(kept, _inside(file.name).name or "file", file.truncated))

    def _beside(
        self, dumps: list[tuple[str, Source]], file: ArchivedFile, path: Path
    ) -> Generator[Unpacked, None, list[tuple[str, Source]] | None]:
        """Keep a file beside the *dumps* if it is one, and return all; else yield it.

        Where it is another recording, the dumps come before it as they lie, and null is returned: what follows does so, too.
        """
        for name, source in self._kept(file, path):
            found = is_dump(source)
            if found:
                dumps.append((name, source))
                return dumps
            for before in dumps if found is False else ():
                yield Unpacked(name=before[0], path=before[1])
            yield Unpacked(name=name, path=source)
            path.unlink()
            return None if found is False else dumps
        return dumps

    def _kept(self, file: ArchivedFile, path: Path) -> Iterator[tuple[str, Source]]:
        """Unpack a file of its own to *path*; yield its name in the archive, and itself."""
        if not self._unpacked(file, path):
            return
        yield file.name, replace(source_of(path), name=_inside(file.name).name or "file", cut=file.truncated)

    def _unpacked(self, file: ArchivedFile, path: Path) -> bool:
        """Unpack a file to *path*; return whether that was possible, else say why it was not."""
        try:
            with explained(str(path.parent)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as to:
                    self._copy(file, to)
        except OSError as error:
            why = f"{file.name}: expected a file that can be unpacked, found: {error.strerror}; unpack it, and give it"
        except InputError as error:
            why = str(error)
        else:
            return True
        with suppress(OSError):  # it may never have been made
            path.unlink()
        self.refused.append(why)
        return False

    def _ordered(self, kept: Sequence[tuple[str, Source]]) -> Iterator[Unpacked]:
        """Yield files of their own in their order."""
        places = self._order([source for _, source in kept]) if self._order else ()
        if list(places) != sorted(places):
            names = ", ".join(kept[place][0] for place in places)
            self.notes.append(f"the dumps of the archive are stored in the order of their times: {names}")
        for name, source in (kept[place] for place in places):
            yield Unpacked(name=name, path=source)

    def _keep(self, file: ArchivedFile, root: str, folder: _Folder) -> None:
        """Unpack a file of a capture directory. One that is cut is left out, unless it may be the trace."""
        path = folder.path / _inside(file.name).relative_to(root)
        if os.path.lexists(path):
            self.notes.append(f"{file.name} is there twice: the first one is left out")
        if not self._unpacked(file, path):
            return
        if file.truncated and path.parent == folder.path and _PACKED.sub("", path.name) in _TRACES:
            folder.cut = file.truncated
        elif file.truncated and path.parent.parent == folder.path / _RINGS:
            self.notes.append(str(file.truncated))
            _end_within_a_page(path)
        elif file.truncated:
            path.unlink()
            self.notes.append(f"{file.name} is left out: {file.truncated}")

    def _copy(self, file: ArchivedFile, to: BinaryIO) -> None:
        size = 0
        while data := file.read(UNCOMPRESSED_STEP):
            size += len(data)
            if size > self._limit:
                raise InputError(
                    f"{file.name}: expected at most {self._limit:,} bytes, found more; unpack it, and give the file"
                )
            to.write(data)

    def _tell(self, archive: Archive, *, cut: bool) -> None:
        """Say what is not in the recordings that were given; *cut*: one of them says already that the archive ends in it."""
        self.notes += [f"{name} is left out: it is a link, or no file" for name in archive.left_out[:MOST_NAMED]]
        if more := archive.left_out[MOST_NAMED:]:
            self.notes.append(f"{len(more):,} more are left out: they are links, or no files")
        if archive.broken and not cut:
            self.refused.append(
                f"{self._source.name}: the {self._kind} archive is cut or damaged ({archive.broken}): what follows its last file "
                "is missing; make it again"
            )


def _inside(name: str) -> PurePosixPath:
    """Return a name in an archive as a path that stays in a folder."""
    return PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")))


def _end_within_a_page(path: Path) -> None:
    """Let the copy of a ring that is cut not look whole: its reader notices an end within a page."""
    if path.stat().st_size % _LEAST_PAGE == 0:
        with path.open("ab") as ring:
            ring.write(b"\0")


def _text(folder: PurePosixPath) -> str:
    return "" if folder == PurePosixPath() else str(folder)


def _root_of(name: str, roots: frozenset[str]) -> str | None:
    """Return which of the folders *roots*, none of which lies in another, a file lies in; null: in none."""
    return next((text for parent in _inside(name).parents if (text := _text(parent)) in roots), None)
