"""Several files of one ``perf record`` as one: those of ``--switch-output``, and the folder that ``--threads`` makes.

As one stream of bytes, each file has before it what it is and its size: a file that was cut does not run into the next one.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from pagetrail.producers.formats.perf_data.header import MAGIC, Header, read_header
from pagetrail.producers.formats.tracepoints.held_bytes import ReadAt
from pagetrail.producers.inputs import UNCOMPRESSED_STEP, Source, source_of
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import InputError

NEXT: Final = b"PERFDATS"
"""What stands before a perf.data that is the next of several,"""
BESIDE: Final = b"PERFDATN"
"""and before the records of a thread of perf, in order of time by themselves."""
_HEAD: Final = struct.Struct("<8sQ")

_STAMPED: Final = re.compile(r"(.+)\.\d{16}", re.ASCII)
"""Source: tools/perf/util/data.c, perf_data__switch, and util.c, fetch_current_timestamp (Linux 6.1)."""
_THREAD: Final = re.compile(r"data\.(\d{1,9})", re.ASCII)
_FIRST: Final = "data"
"""The file of perf's folder that has the header. Source: tools/perf/util/data.c, open_dir (Linux 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Bytes [start, stop) that are records.

    Attributes
    ----------
    header
        What precedes them; null: they are those of a thread, and belong to the part before.
    cut
        Why there are fewer of them than the header says; null: there are all.
    """

    start: int
    stop: int
    header: Header | None = None
    cut: str | None = None


def parts_of(source: str, read: ReadAt, size: int, names: Sequence[str] = ()) -> list[Records]:
    """Return the parts of *size* bytes: one of a single perf.data, more where others follow it.

    Parameters
    ----------
    names
        Of the files of the parts, where they are several.

    Raises
    ------
    InputError
        The header of one is damaged, or it is of another recording than the first.
    """
    parts: list[Records] = []
    place = 0
    while place < size:
        mark, length = _HEAD.unpack(read(place, _HEAD.size).ljust(_HEAD.size, b"\0"))
        marked = mark in (NEXT, BESIDE)
        start = place + _HEAD.size if marked else place
        stop = min(size, start + length) if marked else size
        if mark == BESIDE:
            parts.append(Records(start=start, stop=stop))
            place = stop
            continue
        name = names[len(parts)] if len(parts) < len(names) else source
        header = read_header(name, _from(read, start), stop - start, first=parts[0].header if parts else None)
        _check_same(name, parts, header)
        parts.append(Records(start=start + header.start, stop=start + header.stop, header=header, cut=header.cut))
        place = stop
        if not marked and read(start + header.end, len(MAGIC)) == MAGIC:
            place = start + header.end
    return parts or [_nothing(source, read)]


def _from(read: ReadAt, base: int) -> ReadAt:
    return lambda at, size: read(base + at, size)


def _nothing(source: str, read: ReadAt) -> Records:
    header = read_header(source, read, 0)
    return Records(start=0, stop=0, header=header)


def _check_same(source: str, parts: list[Records], header: Header) -> None:
    first = parts[0].header if parts else None
    if first is None:
        return
    known, found = ((one.hostname, one.release, one.attrs, one.formats) for one in (first, header))
    if known != found:
        raise InputError(
            f"{source}: expected the files of one perf record, found other events or another machine in it than in the first; "
            "give each recording by itself"
        )


def outputs_among(sources: Sequence[str]) -> dict[str, list[Path]]:
    """Return *sources* in order, those that one ``perf record --switch-output`` wrote under the first of them."""
    found: dict[str, list[Path]] = {}
    first_of: dict[tuple[Path, str], str] = {}
    for source in sources:
        path = Path(source)
        stamped = _STAMPED.fullmatch(path.name)
        if stamped is not None and _is_perf_data(path):
            found.setdefault(first_of.setdefault((path.parent, stamped[1]), source), []).append(path)
        else:
            found.setdefault(source, []).append(path)
    return {source: sorted(set(paths)) for source, paths in found.items()}


def outputs_in(folder: Path) -> Source | None:
    """Return what perf left in a folder as one file: its own folder, or nothing but what ``--switch-output`` wrote; else null."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return None
    if _is_perf_data(folder / _FIRST):
        threads = [path for path in files if _THREAD.fullmatch(path.name)]
        threads.sort(key=lambda path: int(path.name.rpartition(".")[2]))
        return _one(folder.name, [folder / _FIRST], threads)
    names = {stamped[1] for path in files if (stamped := _STAMPED.fullmatch(path.name)) and _is_perf_data(path)}
    if len(names) != 1 or not all(_STAMPED.fullmatch(path.name) for path in files):
        return None
    return _one(folder.name, files)


def outputs_of(paths: Sequence[Path]) -> Source:
    """Return what ``perf record --switch-output`` wrote as one file."""
    if len(paths) == 1:
        return source_of(paths[0])
    return _one(paths[0].name, paths)


def _is_perf_data(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def _one(name: str, files: Sequence[Path], threads: Sequence[Path] = ()) -> Source:
    marked = [*((NEXT, path) for path in files), *((BESIDE, path) for path in threads)]
    return Source(name=name, raw=lambda: cast(BinaryIO, _Chain(marked)))  # as much of one as its reader needs


class _Chain(Stepped):
    """Files one after another, each behind its mark."""

    def __init__(self, marked: Sequence[tuple[bytes, Path]]) -> None:
        super().__init__()
        self._left = list(marked)
        self.names = tuple(path.name for _, path in marked)
        self._file: BinaryIO | None = None
        self._bytes = 0

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
        super().close()

    def _step(self) -> bytes:
        if self._file is None:
            if not self._left:
                self._ended = True
                return b""
            mark, path = self._left.pop(0)
            self._file, self._bytes = source_of(path).raw(), path.stat().st_size
            return _HEAD.pack(mark, self._bytes)
        data = self._file.read(min(UNCOMPRESSED_STEP, self._bytes))
        self._bytes -= len(data)
        if not data and self._bytes:
            raise OSError(f"a file of {self._bytes} more bytes has ended")
        if not self._bytes:
            self._file.close()
            self._file = None
        return data
