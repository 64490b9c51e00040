"""Open a recording: a path or stdin, plain or compressed, as a stream of uncompressed bytes; name it by its content.

A stream that ends in the middle of its compression delivers what was whole, then its end, and says so in
``truncated``: an ingest keeps what there is and reports the rest.
"""

import bz2
import hashlib
import io
import lzma
import os
import re
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

import zstandard

from pagetrail.producers.encodings import Utf8Text
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import InputError, TruncatedInput

if TYPE_CHECKING:
    from typing_extensions import Buffer

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC: Final = b"\x1f\x8b"
XZ_MAGIC: Final = b"\xfd7zXZ\0"
BZIP2_MAGICS: Final = tuple(
    b"BZh%d%b" % (level, begin) for level in range(1, 10) for begin in (b"1AY&SY", b"\x17rE8P\x90")
)
"""Level, and the beginning of the first block, or of the end of an empty stream."""

_MAGIC_BYTES: Final = 10
ZSTD_WINDOW_BYTES: Final = 1 << 27
"""Recordings are made with --long=27. By default, zstd refuses windows above 8 MiB."""

XZ_MEMORY_BYTES: Final = 1 << 28
"""xz -9 needs 65 MiB to decompress; a file may ask for 4 GiB."""

COMPRESSED_STEP: Final = 1 << 10
"""Compressed bytes handed to the decoder at once. What they expand to is held in memory: 32 MiB, in the worst case of zstd."""

UNCOMPRESSED_STEP: Final = 1 << 20

EXPANDED_BYTES: Final = 1 << 30
MOST_EXPANDED: Final = 2000
"""Beyond so many bytes, a compressed file that expands more than so many times is no recording: text does so 40 times, and a file
of zeros 30,000 times."""

SMALL_TEXT_BYTES: Final = 1 << 26
"""No file beside a trace that is read as a whole is larger, uncompressed."""

_BUFFER_BYTES: Final = UNCOMPRESSED_STEP // 2
"""Less than a step: whoever reads a step gets it in place, past the buffer."""

HEAD_BYTES: Final = 1 << 20
"""What a file is recognised by, uncompressed: the kernel's log may be as long before what it is read for."""

SUFFIXES: Final = ("", ".zst", ".gz", ".xz", ".bz2")
PACKED_SUFFIX: Final = "(?:" + "|".join(re.escape(suffix) for suffix in SUFFIXES if suffix) + ")"
"""The pattern of what a compressed file's name ends with."""


class _Frame(Protocol):
    """One compressed frame: what the decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Bounded:
    """A frame of xz or bzip2, in which a few bytes may expand to 45 MB each: they come a step at a time."""

    def __init__(self, frame: lzma.LZMADecompressor | bz2.BZ2Decompressor) -> None:
        self._frame = frame
        self.more = False

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, data: bytes, /) -> bytes:
        """Return some bytes; there is *more* before further ones are to be given."""
        part = self._frame.decompress(data, UNCOMPRESSED_STEP)
        self.more = not self._frame.eof and not self._frame.needs_input
        return part


class _Decompressed(Stepped):
    """The bytes of *file* behind any compression, frame after frame."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        super().__init__()
        self.file, self._source = file, source
        self._offset = self._taken = 0
        self._frame: _Frame | None = None
        self._rest = b""
        self.truncated: TruncatedInput | None = None
        self._head = self._fill(_MAGIC_BYTES)
        self.compression = _compression_of(self._head)

    @property
    def is_unread(self) -> bool:
        return bool(self._head)

    def close(self) -> None:
        if not self.closed and self.file is not sys.stdin.buffer:
            self.file.close()
        super().close()

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill *buffer*; return how many bytes were put into it, 0 at the end. What is not compressed is read to its place."""
        if self.compression != "plain" or self._head or self._waiting or self._ended:
            return super().readinto(buffer)
        try:
            count = cast(io.BufferedIOBase, self.file).readinto(buffer)  # as much of one as is used
        except OSError as error:
            raise unreadable(self._source, error) from error
        self._ended = not count
        return count

    def _fill(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size and (part := self._read(size - len(parts))):
            parts += part
        return parts

    def _read(self, size: int) -> bytes:
        try:
            return self.file.read(size)
        except OSError as error:
            raise unreadable(self._source, error) from error

    def _take(self, size: int) -> bytes:
        head, self._head = self._head, b""
        data = head + self._read(size - len(head))
        self._taken += len(data)
        return data

    def _step(self) -> bytes:
        if self.compression == "plain":
            data = self._take(UNCOMPRESSED_STEP)
            self._ended = not data
            return data
        within = isinstance(self._frame, _Bounded) and self._frame.more
        data = self._rest if self._rest or within else self._take(COMPRESSED_STEP)
        if not data and not within:
            self._end_of_file()
            return b""
        part, self._rest = self._decode(data)
        return part

    def _decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what *data* expands to within one frame, and what is left of it for the next."""
        if self._frame is None:
            if self.compression != "zstd":  # gzip(1) and xz(1) allow padding between frames
                data = data.lstrip(b"\0")
            if not data:
                return b"", b""
            self._frame = _new_frame(self.compression)
        try:
            part = self._frame.decompress(data)
        except (zstandard.ZstdError, zlib.error, lzma.LZMAError, OSError) as error:  # bz2 raises OSError
            self._stop(f"the {self.compression} data is damaged ({error})")
            return b"", b""
        self._offset += len(part)
        if self._offset > max(EXPANDED_BYTES, MOST_EXPANDED * self._taken):
            self._stop(f"it expands more than {MOST_EXPANDED:,} times, as no recording does")
            return b"", b""
        rest = b""
        if self._frame.eof:
            rest, self._frame = self._frame.unused_data, None
        return part, rest

    def _end_of_file(self) -> None:
        self._ended = True
        if self._frame is not None:
            self._stop(f"the file ends within a {self.compression} frame")

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
    cut
        Why *file* itself ends in the middle, if it does.
    """

    def __init__(self, file: BinaryIO, source: str, *, text: bool = False, cut: TruncatedInput | None = None) -> None:
        self._decompressed, self._cut = _Decompressed(file, source), cut
        raw = Utf8Text(self._decompressed) if text else self._decompressed
        super().__init__(raw, buffer_size=_BUFFER_BYTES)
        self.source = source

    def plain_file(self) -> BinaryIO | None:
        """Return the file itself, if its bytes are the stream's: a regular one that is not compressed; else null."""
        file = self._decompressed.file
        try:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        except (OSError, AttributeError):  # it is made in steps
            return None
        return file if regular and self._decompressed.compression == "plain" else None

    @property
    def is_unread(self) -> bool:
        """Whether nothing was read of it so far, and something may be."""
        return self._decompressed.is_unread

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files that are one behind another in it; empty: it is a single one."""
        return getattr(self._decompressed.file, "names", ())

    @property
    def truncated(self) -> TruncatedInput | None:
        """Why the stream ended in the middle, if it did; to be asked at its end."""
        return self._cut or self._decompressed.truncated or getattr(self._decompressed.file, "truncated", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that can be opened at its start any number of times.

    Attributes
    ----------
    name
        Its name without folders; ``-`` for stdin.
    raw
        Opens its bytes as they are.
    cut
        Why it ends in the middle, if it does and its own bytes do not say so.
    """

    name: str
    raw: Callable[[], BinaryIO]
    cut: TruncatedInput | None = None

    def open(self, *, text: bool = False) -> Input:
        """Open it behind any compression; see ``Input``.

        Raises
        ------
        InputError
            It cannot be read.
        """
        return Input(self.raw(), self.name, text=text, cut=self.cut)

    def head(self) -> bytes:
        """Return its beginning, as text in UTF-8: ``HEAD_BYTES``, or all of it.

        Raises
        ------
        InputError
            It cannot be read.
        """
        with self.open(text=True) as stream:
            return stream.read(HEAD_BYTES)


def source_of(path: Path) -> Source:
    """Return the file *path*."""
    return Source(name=path.name, raw=lambda: _open_file(path))


def open_input(path: Path | str, *, text: bool = False) -> Input:
    """Open *path*, or stdin for ``-``, behind any compression; what is *text* is given as UTF-8.

    Raises
    ------
    InputError
        The file is missing, not readable, or a directory.
    """
    if str(path) == "-":
        return Input(sys.stdin.buffer, "-", text=text)
    return source_of(Path(path)).open(text=text)


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected a file, found a directory; give the file in it that is meant") from error
    except OSError as error:
        raise unreadable(str(path), error) from error
    except ValueError as error:  # a byte 0 in its name
        raise InputError(
            f"{str(path)!r}: expected the path of a file, found one that no file can have: {error}"
        ) from error


def stream_id(stream: Input, also: Callable[[memoryview], None] = lambda block: None) -> str:
    """Return a recording's id, BLAKE2b of 128 bits in hex of the rest of *stream*, uncompressed; give its blocks to *also*, too.

    A second thread hashes each block, while *also* looks at it and the next one is read; or all was hashed ahead.
    """
    if (found := _hashed(stream)) is not None:
        for block in blocks(stream):
            also(block)
        return found
    digest = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(1, "pagetrail-hashing") as hashing:
        hashed: Future[None] | None = None
        for block in blocks(stream):
            if hashed is not None:
                hashed.result()  # the block before: its place is filled next
            hashed = hashing.submit(digest.update, block)
            also(block)
        if hashed is not None:
            hashed.result()
    return digest.hexdigest()


_AHEAD: Final[dict[tuple[int, ...], Future[str]]] = {}
"""Of files that are being hashed: by what ``_state_of`` says of them."""


def hash_ahead(path: Path) -> None:
    """Begin to hash a file in a thread, while this one goes on: ``stream_id`` then waits for it, and reads nothing.

    What is no regular file that can be read, or is compressed, is left to ``stream_id``. Nothing is raised.
    """
    try:
        if not path.is_file():  # a FIFO gives its bytes once
            return
        stream = open_input(path)
    except (InputError, OSError, ValueError):
        return
    file = stream.plain_file()
    if file is None:
        stream.close()
        return
    hashed: Future[str] = Future()
    state = _AHEAD.setdefault(_state_of(file), hashed)

    def run() -> None:
        digest = hashlib.blake2b(digest_size=16)
        try:
            with stream:
                for block in blocks(stream):
                    digest.update(block)
            hashed.set_result(digest.hexdigest())
        except BaseException as error:  # noqa: BLE001  # whoever waits reads the file, and meets it again
            hashed.set_exception(error)

    if state is hashed:
        threading.Thread(target=run, name="pagetrail-hashing", daemon=True).start()
    else:
        stream.close()


def _hashed(stream: Input) -> str | None:
    """Return the id of a file that was hashed ahead and is as it was; null: there is none. It is used once."""
    file = stream.plain_file() if _AHEAD and stream.is_unread else None
    hashed = None if file is None else _AHEAD.pop(_state_of(file), None)
    return None if hashed is None or hashed.exception() is not None else hashed.result()


def _state_of(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def blocks(stream: io.BufferedReader) -> Iterator[memoryview]:
    """Yield the rest of *stream* in blocks; each is valid until the next but one is asked for."""
    views = [memoryview(bytearray(UNCOMPRESSED_STEP)) for _ in range(2)]
    while size := stream.readinto(views[0]):
        yield views[0][:size]
        views.reverse()


def read_text(path: Path) -> str:
    """Return the whole of a small text file, behind any compression.

    Raises
    ------
    InputError
        It cannot be read, ends in the middle of its compression, or has more than ``SMALL_TEXT_BYTES``.
    """
    text, cut = read_to_cut(path)
    if cut is not None:
        raise cut
    return text


def read_to_cut(path: Path) -> tuple[str, TruncatedInput | None]:
    """Return a small text file as far as it is whole, and why it ends there; null: it is whole. See ``read_text``."""
    with open_input(path, text=True) as stream:
        data = stream.read(SMALL_TEXT_BYTES + 1)
        if len(data) > SMALL_TEXT_BYTES:
            raise InputError(
                f"{path}: expected a text of at most {SMALL_TEXT_BYTES >> 20} MiB, found more; remove the file, or cut "
                "it to what it is read for"
            )
        return data.decode(errors="backslashreplace"), stream.truncated


def _compression_of(head: bytes) -> str:
    if head.startswith(ZSTD_MAGIC):
        return "zstd"
    if head.startswith(XZ_MAGIC):
        return "xz"
    if head.startswith(BZIP2_MAGICS):
        return "bzip2"
    return "gzip" if head.startswith(GZIP_MAGIC) else "plain"


def _new_frame(compression: str) -> _Frame:
    if compression == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    if compression == "xz":
        return _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES))
    return _Bounded(bz2.BZ2Decompressor()) if compression == "bzip2" else zlib.decompressobj(wbits=31)


def unreadable(source: str, error: OSError) -> InputError:
    """Return the error of a file, or stdin, that cannot be read."""
    reason = error.strerror or str(error)
    return InputError(f"{source}: expected a readable file, found: {reason}; check the path and its permissions")
