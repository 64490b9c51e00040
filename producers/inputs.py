"""Open a recording: a path or stdin, plain, zstd or gzip, as a stream of uncompressed bytes; name it by its content.

A stream that ends in the middle of its compression delivers what was whole, then its end, and says so in
``truncated``: an ingest keeps what there is and reports the rest.
"""

import hashlib
import io
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import zstandard

from pagetrail.producers.encodings import Utf8Text
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import InputError, TruncatedInput

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC: Final = b"\x1f\x8b"
ZSTD_WINDOW_BYTES: Final = 1 << 27
"""Recordings are made with --long=27. By default, zstd refuses windows above 8 MiB."""

COMPRESSED_STEP: Final = 1 << 14
"""Compressed bytes handed to the decoder at once: what they expand to is held in memory."""

UNCOMPRESSED_STEP: Final = 1 << 20
SUFFIXES: Final = ("", ".zst", ".gz")


class _Frame(Protocol):
    """One compressed frame: what zstandard's and zlib's decompressobj have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Decompressed(Stepped):
    """The bytes of *file* behind any compression, frame after frame."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        super().__init__()
        self._file, self._source = file, source
        self._offset = 0
        self._frame: _Frame | None = None
        self.truncated: TruncatedInput | None = None
        self._head = self._fill(4)
        self._compression = _compression_of(self._head)

    def close(self) -> None:
        if not self.closed and self._file is not sys.stdin.buffer:
            self._file.close()
        super().close()

    def _fill(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size and (part := self._read(size - len(parts))):
            parts += part
        return parts

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise unreadable(self._source, error) from error

    def _take(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head + self._read(size - len(head))

    def _step(self) -> bytes:
        if self._compression == "plain":
            data = self._take(UNCOMPRESSED_STEP)
            self._ended = not data
            return data
        data = self._take(COMPRESSED_STEP)
        if not data:
            self._end_of_file()
            return b""
        parts = []
        while data:
            part, data = self._decode(data)
            parts.append(part)
        return b"".join(parts)

    def _decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what *data* expands to within one frame, and what is left of it for the next."""
        if self._frame is None:
            data = data.lstrip(b"\0") if self._compression == "gzip" else data  # gzip(1) allows padding between members
            if not data:
                return b"", b""
            self._frame = _new_frame(self._compression)
        try:
            part = self._frame.decompress(data)
        except (zstandard.ZstdError, zlib.error) as error:
            self._stop(f"the {self._compression} data is damaged ({error})")
            return b"", b""
        self._offset += len(part)
        rest = b""
        if self._frame.eof:
            rest, self._frame = self._frame.unused_data, None
        return part, rest

    def _end_of_file(self) -> None:
        self._ended = True
        if self._frame is not None:
            self._stop(f"the file ends within a {self._compression} frame")

    def _stop(self, reason: str) -> None:
        self._ended, self._frame = True, None
        self.truncated = TruncatedInput(source=self._source, offset=self._offset, reason=reason)


class Input(io.BufferedReader):
    """A recording's uncompressed bytes.

    Attributes
    ----------
    source
        Its name without folders; ``-`` for stdin.

    Parameters
    ----------
    text
        It is text, if it begins so: give it as UTF-8, whatever encoding it has.
    """

    def __init__(self, file: BinaryIO, source: str, *, text: bool = False) -> None:
        self._decompressed = _Decompressed(file, source)
        raw = Utf8Text(self._decompressed) if text else self._decompressed
        super().__init__(raw, buffer_size=UNCOMPRESSED_STEP)
        self.source = source

    @property
    def truncated(self) -> TruncatedInput | None:
        """Why the stream ended in the middle, if it did; to be asked at its end."""
        return self._decompressed.truncated


def open_input(path: Path | str, *, text: bool = False) -> Input:
    """Open *path*, or stdin for ``-``, behind any compression; what is *text* is given as UTF-8.

    Raises
    ------
    InputError
        The file is missing, not readable, or a directory.
    """
    if str(path) == "-":
        return Input(sys.stdin.buffer, "-", text=text)
    path = Path(path)
    try:
        return Input(path.open("rb"), path.name, text=text)
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected a file, found a directory; give the file in it that is meant") from error
    except OSError as error:
        raise unreadable(str(path), error) from error


def content_id(path: Path | str) -> str:
    """Return the recording's id: BLAKE2b of 128 bits, in hex, of the *uncompressed* bytes of *path*."""
    with open_input(path) as stream:
        return stream_id(stream)


def stream_id(stream: Input, also: Callable[[memoryview], None] = lambda block: None) -> str:
    """Return ``content_id`` of the rest of *stream*; give its blocks to *also*, too."""
    digest = hashlib.blake2b(digest_size=16)
    for block in blocks(stream):
        digest.update(block)
        also(block)
    return digest.hexdigest()


def blocks(stream: io.BufferedReader) -> Iterator[memoryview]:
    """Yield the rest of *stream* in blocks; each is valid until the next."""
    buffer = bytearray(UNCOMPRESSED_STEP)
    view = memoryview(buffer)
    while size := stream.readinto(view):
        yield view[:size]


def find_compressed(directory: Path, name: str) -> Path | None:
    """Return *name* in *directory*, plain or compressed, if it is there."""
    for suffix in SUFFIXES:
        if (path := directory / f"{name}{suffix}").is_file():
            return path
    return None


def read_text(path: Path) -> str:
    """Return the whole of a small text file, behind any compression."""
    with open_input(path, text=True) as stream:
        return stream.read().decode(errors="backslashreplace")


class TarMembers:
    """The regular files of a tar archive behind any compression, best asked for in the order they lie in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Input | None = None
        self._archive: tarfile.TarFile | None = None
        self.truncated: str | None = None
        self.names = tuple(self._list())

    def open(self, name: str) -> io.BufferedReader:
        """Return member *name* as a stream, good until the next call.

        Raises
        ------
        InputError
            The archive has no such member.
        """
        for _ in range(2):  # onward from here, then once more from the start
            for member in self._onward():
                if member.name == name and self._archive and (found := self._archive.extractfile(member)):
                    return cast(io.BufferedReader, found)  # tarfile.ExFileObject is one
            self.close()
        raise InputError(f"{self._path}: expected a member {name}, found none of that name")

    def close(self) -> None:
        """Close the archive; ``open`` begins again at its start."""
        if self._archive:
            self._archive.close()
        if self._stream:
            self._stream.close()
        self._archive = self._stream = None

    def _list(self) -> Iterator[str]:
        yield from [member.name for member in self._onward() if member.isfile()]
        self.close()

    def _onward(self) -> Iterator[tarfile.TarInfo]:
        try:
            if self._archive is None:
                self._stream = open_input(self._path)
                self._archive = tarfile.open(fileobj=self._stream, mode="r|", bufsize=UNCOMPRESSED_STEP)  # noqa: SIM115
            while member := self._archive.next():
                yield member
        except tarfile.ReadError as error:
            self.truncated = f"{self._path.name}: the archive is not whole: {error}"
        if self._stream and self._stream.truncated:
            self.truncated = str(self._stream.truncated)


def _compression_of(head: bytes) -> str:
    if head.startswith(ZSTD_MAGIC):
        return "zstd"
    return "gzip" if head.startswith(GZIP_MAGIC) else "plain"


def _new_frame(compression: str) -> _Frame:
    if compression == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    return zlib.decompressobj(wbits=31)


def unreadable(source: str, error: OSError) -> InputError:
    """Return the error of a file, or stdin, that cannot be read."""
    reason = error.strerror or str(error)
    return InputError(f"{source}: expected a readable file, found: {reason}; check the path and its permissions")
