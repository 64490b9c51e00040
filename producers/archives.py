"""The files of an archive, one after another, each as a stream: tar behind any compression, and zip.

An archive that ends in the middle gives its files up to there; the one in which it ends says so in ``truncated``.
"""

import io
import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final, Literal, Protocol, cast

from pagetrail.producers.inputs import (
    COMPRESSED_STEP,
    EXPANDED_BYTES,
    MOST_EXPANDED,
    UNCOMPRESSED_STEP,
    Input,
    Source,
    open_input,
)
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import InputError, TruncatedInput
from pagetrail.schemas.store.space import explained

ArchiveKind = Literal["tar", "zip"]

MOST_HEADER_BYTES: Final = 1 << 20
"""tarfile holds a header of long names and attributes as a whole; what tar and its kin write has a few kilobytes."""

ZIP_MAGICS: Final = (b"PK\3\4", b"PK\5\6")
"""APPNOTE.TXT of zip: the header of a file, and the end of an empty archive."""

_BLOCK: Final = tarfile.BLOCKSIZE
_TAR_STEP: Final = 1 << 15
"""tarfile copies what it has read ahead with each header that it takes from it; whole blocks, as ``_Remembering`` needs them."""
_DAMAGE: Final = (tarfile.ReadError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)

_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")  # APPNOTE.TXT 4.3.7
_ENCRYPTED: Final = 1
_SIZES_BEHIND: Final = 1 << 3
_LONGEST_DESCRIPTOR: Final = 24
_UNKNOWN_SIZE: Final = 0xFFFFFFFF
_MOST_RESTARTS: Final = 2
"""So often a tar archive is read anew from its start, for a file that lies before the last one."""
_ENDS_WITHIN: Final = "it ends there"

_HEADERS: Final = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip

_UNREAD: Final = (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError)
"""What zipfile raises of a directory that is damaged, of a later version of the format, or has names that are no UTF-8."""

_IN_STEPS: Final = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
_SMALL_STEP: Final = 1 << 12
"""zipfile expands as many compressed bytes at once, without a limit: of bzip2 they become 80 MB at most."""


def archive_kind(head: bytes) -> ArchiveKind | None:
    """Return the kind of an archive whose uncompressed bytes begin with *head*; null: it is none."""
    if head.startswith(ZIP_MAGICS):
        return "zip"
    try:
        tarfile.TarInfo.frombuf(head[:_BLOCK], "utf-8", "surrogateescape")  # it has a checksum
    except tarfile.HeaderError:
        return None
    return "tar"


class ArchivedFile(Stepped):
    """The bytes of one file of an archive, to be read before the next one is asked for.

    Attributes
    ----------
    name
        With its folders.
    place
        Of a file of a tar archive: its first byte in the uncompressed archive, and how many it has.
    truncated
        Why it ends in the middle, if it does.
    """

    def __init__(self, name: str, read: Callable[[int], bytes], place: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.name, self.place = name, place
        self.truncated: TruncatedInput | None = None
        self._read, self._offset = read, 0

    def _step(self) -> bytes:
        try:
            data = self._read(UNCOMPRESSED_STEP)
        except _DAMAGE as error:
            reason = f"the archive is cut or damaged within this file ({error})"
            self.truncated = TruncatedInput(source=self.name, offset=self._offset, reason=reason)
            data = b""
        self._offset += len(data)
        self._ended = not data
        return data


class Archive(Protocol):
    """An archive, read once from its start.

    Attributes
    ----------
    left_out
        Names of what is neither a file nor a folder.
    broken
        Why files may be missing behind the last one, null: none is.
    """

    left_out: list[str]
    broken: str | None

    def files(self) -> Iterator[ArchivedFile]:
        """Yield its files in their order."""
        ...

    def close(self) -> None:
        """Close what it is read from."""
        ...


def open_archive(source: Source, kind: ArchiveKind) -> Archive:
    """Open an archive at its start.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    return TarFiles(source.open()) if kind == "tar" else ZipFiles(source)


class TarFiles:
    """A tar archive; see ``Archive``."""

    def __init__(self, stream: Input) -> None:
        self.left_out: list[str] = []
        self.broken: str | None = None
        self._stream = _Remembering(stream)

    def files(self) -> Iterator[ArchivedFile]:
        """Yield its files in their order."""
        try:
            archive = tarfile.open(  # noqa: SIM115
                fileobj=cast(BinaryIO, self._stream), mode="r|", bufsize=_TAR_STEP, tarinfo=_Member
            )
            while member := _next(archive):
                if member.isfile() and not member.issparse() and (found := archive.extractfile(member)):
                    yield ArchivedFile(member.name, found.read, (member.offset_data, member.size))
                elif not member.isdir():
                    self.left_out.append(member.name)
            mark = self._stream.block(archive.offset)
            if any(mark) or not mark:
                self.broken = "no mark of its end is behind its last file"
            elif self._stream.goes_on(archive.offset):
                self.broken = (
                    "more stands behind the mark of its end: give archives that were joined as files of their own"
                )
        except (tarfile.TarError, ValueError, OverflowError, IndexError, RecursionError) as error:  # of damaged headers
            self.broken = str(error) or "a header is damaged"
        if cut := self._stream.file.truncated:
            self.broken = cut.reason

    def close(self) -> None:
        """Close the stream."""
        self._stream.file.close()


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Return the next member; forget those before, which nobody asks for again: an archive may have millions."""
    archive.members.clear()  # type: ignore[attr-defined]
    return archive.next()


class _Member(tarfile.TarInfo):
    """A header of tar, of a size that a header may have."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and not 0 <= self.size <= MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {self.size:,} bytes, expected at most {MOST_HEADER_BYTES:,}")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # "can be overridden in a subclass"
        return found


class _Remembering:
    """A stream that remembers what was read of it last: tarfile takes a damaged header for the end."""

    def __init__(self, file: Input) -> None:
        self.file = file
        self._last, self._behind = b"", 0

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        if data:
            self._last, self._behind = data, self._behind + len(data)
        return data

    def block(self, offset: int) -> bytes:
        """Return the block at *offset*, if it is whole and was read last."""
        start = offset - (self._behind - len(self._last))
        found = self._last[start : start + _BLOCK] if start >= 0 else b""
        return found if len(found) == _BLOCK else b""

    def goes_on(self, offset: int) -> bool:
        """Read to the end; return whether there is anything but padding behind *offset*, which was read last."""
        rest = self._last[max(0, offset - (self._behind - len(self._last))) :]
        while not rest.strip(b"\0"):
            rest = self.file.read(UNCOMPRESSED_STEP)
            if not rest:
                return False
        return True


class ZipFiles:
    """A zip archive; see ``Archive``. Without its directory, which is at its end, it is read by the headers of its files."""

    def __init__(self, source: Source) -> None:
        self.left_out: list[str] = []
        self.broken: str | None = None
        self._file, self._name = source.raw(), source.name

    def files(self) -> Iterator[ArchivedFile]:
        """Yield its files in their order. One that is encrypted, or packed in a way that is not read, says so when it is read."""
        try:
            archive = zipfile.ZipFile(self._file)
        except _UNREAD as error:
            self.broken = f"its directory, which is at its end, cannot be read ({error})"
            yield from self._by_headers()
            return
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            if not info.is_dir():
                yield ArchivedFile(info.filename, _reader(archive, info))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _by_headers(self) -> Iterator[ArchivedFile]:
        """Yield the files of an archive without its directory."""
        file = self._file
        file.seek(0)
        while (header := file.read(_LOCAL_HEADER.size)).startswith(ZIP_MAGICS[0]) and len(header) == _LOCAL_HEADER.size:
            _, _, flags, method, _, _, crc, packed, _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
            name = file.read(name_bytes).decode(errors="surrogateescape")
            body = file.seek(extra_bytes, io.SEEK_CUR)
            known = not flags & _SIZES_BEHIND and packed != _UNKNOWN_SIZE
            if not name.endswith("/"):
                read = _salvaged(file, name, flags, method, packed if known else None)
                found = ArchivedFile(name, _checked(read, crc) if known else read)
                yield found
                if not known and not _passed(found):
                    return
            if known:
                file.seek(body + packed)
            else:
                _skip_descriptor(file)


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    """Return what reads a file of a zip archive, which is opened with the first read."""
    opened: list[IO[bytes]] = []
    given = [0]

    def read(size: int) -> bytes:
        if info.flag_bits & _ENCRYPTED:
            raise _encrypted(info.filename)
        try:
            if not opened:
                opened.append(archive.open(info))
            data = opened[0].read(size if info.compress_type in _IN_STEPS else min(size, _SMALL_STEP))
            given[0] += len(data)
            if given[0] > max(EXPANDED_BYTES, MOST_EXPANDED * info.compress_size):
                raise EOFError(f"it expands more than {MOST_EXPANDED:,} times, as no recording does")
            return data
        except (NotImplementedError, UnicodeDecodeError) as error:
            raise _not_unpacked(info.filename, str(error)) from error

    return read


def _salvaged(file: BinaryIO, name: str, flags: int, method: int, packed: int | None) -> Callable[[int], bytes]:
    """Return what reads a file from where its bytes begin in *file*; *packed*: how many they are, if that is known."""
    left = packed or 0
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def stored(size: int) -> bytes:
        nonlocal left
        data = file.read(min(size, left))
        if left and not data:
            raise EOFError(_ENDS_WITHIN)
        left -= len(data)
        return data

    def deflated(_: int) -> bytes:
        found = b""
        while not inflate.eof and not found:
            data = file.read(COMPRESSED_STEP)
            if not data:
                raise EOFError(_ENDS_WITHIN)
            found = inflate.decompress(data)
            file.seek(-len(inflate.unused_data), io.SEEK_CUR)
        return found

    def neither(_: int) -> bytes:
        raise _encrypted(name) if flags & _ENCRYPTED else _not_unpacked(name, "the archive has lost its directory")

    if flags & _ENCRYPTED or method not in _IN_STEPS:
        return neither
    if method == zipfile.ZIP_DEFLATED:
        return deflated
    return stored if packed is not None else neither


def _checked(read: Callable[[int], bytes], crc: int) -> Callable[[int], bytes]:
    """Return what reads as *read* does, and fails at the end of bytes that have not the checksum *crc*."""
    seen = 0

    def checked(size: int) -> bytes:
        nonlocal seen
        data = read(size)
        seen = zlib.crc32(data, seen)
        if not data and seen != crc:
            raise EOFError("its checksum differs")
        return data

    return checked


def _passed(file: ArchivedFile) -> bool:
    """Read what is left of *file*; return whether its end was found."""
    try:
        while file.read(UNCOMPRESSED_STEP):
            pass
    except InputError:
        return False
    return file.truncated is None


def _skip_descriptor(file: BinaryIO) -> None:
    """Go on at the next file's header: sizes stand before it, in one of four forms (APPNOTE.TXT 4.3.9)."""
    here = file.tell()
    behind = file.read(_LONGEST_DESCRIPTOR + len(ZIP_MAGICS[0])).find(ZIP_MAGICS[0])
    file.seek(here + max(behind, 0))


def _encrypted(name: str) -> InputError:
    return InputError(
        f"{name}: expected a file that can be read, found an encrypted one; unpack it with its password, and give it"
    )


def _not_unpacked(name: str, why: str) -> InputError:
    return InputError(f"{name}: expected a file that can be unpacked, found: {why}; unpack it, and give it")


def _read_from(file: BinaryIO, start: int, size: int) -> Callable[[int], bytes]:
    """Return what reads *size* bytes of *file* from *start* on, wherever others stand in it."""
    at = start

    def read(most: int) -> bytes:
        nonlocal at
        file.seek(at)
        data = file.read(min(most, start + size - at))
        if not data and at < start + size:
            raise EOFError(_ENDS_WITHIN)
        at += len(data)
        return data

    return read


class TarMembers:
    """The files of a tar archive behind any compression by their names, best asked for in the order they lie in.

    If they are asked for in another order, again and again, the archive is unpacked once into a file that vanishes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: TarFiles | None = None
        self._places: dict[str, tuple[int, int]] = {}
        self._restarts = 0
        self._unpacked: BinaryIO | None = None
        self._files: Iterator[ArchivedFile] = iter(())
        self.truncated: str | None = None
        self.names = tuple(self._list())

    def open(self, name: str) -> ArchivedFile:
        """Return member *name* as a stream, good until the next call.

        Raises
        ------
        InputError
            The archive has no such member.
        """
        for _ in range(2):  # onward from here, then once more from the start
            if self._restarts > _MOST_RESTARTS and name in self._places:
                return self._at_its_place(name)
            for member in self._onward():
                if member.name == name:
                    return member
            self._begin_again()
        raise InputError(f"{self._path}: expected a member {name}, found none of that name")

    def close(self) -> None:
        """Close the archive; ``open`` begins again at its start."""
        self._begin_again()
        if self._unpacked:
            self._unpacked.close()
        self._unpacked, self._restarts = None, 0

    def _begin_again(self) -> None:
        if self._archive:
            self._archive.close()
            self._restarts += 1
        self._archive = None

    def _at_its_place(self, name: str) -> ArchivedFile:
        """Return member *name* of the unpacked archive."""
        if self._unpacked is None:
            with explained(tempfile.gettempdir()), open_input(self._path) as stream:
                self._unpacked = tempfile.TemporaryFile(prefix=".pagetrail-dumps-")  # noqa: SIM115  # until it is closed
                shutil.copyfileobj(stream, self._unpacked, UNCOMPRESSED_STEP)
        start, size = self._places[name]
        return ArchivedFile(name, _read_from(self._unpacked, start, size))

    def _list(self) -> Iterator[str]:
        for member in self._onward():
            if member.place is not None:
                self._places.setdefault(member.name, member.place)
            yield member.name
        self._begin_again()
        self._restarts = 0

    def _onward(self) -> Iterator[ArchivedFile]:
        if self._archive is None:
            self._archive = TarFiles(open_input(self._path))
            self._files = self._archive.files()
        while member := next(self._files, None):  # the one that was given last may be the place to go on from
            yield member
        if self._archive.broken:
            self.truncated = f"{self._path.name}: the archive is not whole: {self._archive.broken}"
