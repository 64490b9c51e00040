"""One file of the kernel's source, from its archive: read from the end, as tools/ is near it and all of it takes 20 s."""

import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

HEADER_BYTES: Final = 12
FOOTER_BYTES: Final = 12
"""Of a stream. Source: The .xz File Format 1.2.1, 2.1.1 and 2.1.2."""

TAR_BLOCK: Final = 512

END_BYTES: Final = 96 << 20
"""So much of the archive's end is unpacked in memory, before all of it is read from its beginning."""


def source_member(archive: Path, member: str) -> bytes | None:
    """Return the content of FOLDER/*member* in a tar archive that is packed with xz; None: there is no such file."""
    with archive.open("rb") as file:
        text = b""
        for block in _last_blocks_first(file):
            text = block + text
            found = _member(text, f"/{member}".encode())
            if found is not None:
                return found
    with tarfile.open(archive, mode="r|xz") as whole:
        for entry in whole:
            if entry.name.endswith(f"/{member}"):
                content = whole.extractfile(entry)
                return None if content is None else content.read()
    return None


def _member(text: bytes, name: bytes) -> bytes | None:
    """Return a file of the end of a tar archive."""
    at = text.find(name + b"\0")
    while at >= 0:
        # How far a block is from the end tells where headers begin: all of an archive is in blocks of 512 bytes.
        begin = at - (at - len(text)) % TAR_BLOCK
        with tarfile.open(fileobj=io.BytesIO(text[begin:]), mode="r:", ignore_zeros=True) as archive:
            entry = archive.next()
            if entry is not None and entry.name.encode().endswith(name):
                content = archive.extractfile(entry)
                return None if content is None else content.read()
        at = text.find(name + b"\0", at + 1)
    return None


def _last_blocks_first(file: BinaryIO) -> Iterator[bytes]:
    """Yield what the last blocks of an xz file of one stream hold, the very last one first: END_BYTES at most."""
    header = file.read(HEADER_BYTES)
    sizes = _block_sizes(file)
    end, left = HEADER_BYTES + sum(size for size, _ in sizes), END_BYTES
    for size, unpacked in reversed(sizes):
        end, left = end - size, left - unpacked
        if left < 0:
            return
        file.seek(end)
        yield lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(header + file.read(size))


def _block_sizes(file: BinaryIO) -> list[tuple[int, int]]:
    """Return how many bytes each block takes, with its padding, and holds, as the index at the end of the file says."""
    file.seek(-FOOTER_BYTES, io.SEEK_END)
    footer = file.read(FOOTER_BYTES)
    index_bytes = 4 * (int.from_bytes(footer[4:8], "little") + 1)
    file.seek(-FOOTER_BYTES - index_bytes, io.SEEK_END)
    numbers = _numbers(file.read(index_bytes)[1:])
    pairs = [(next(numbers), next(numbers)) for _ in range(next(numbers))]
    return [(-(-unpadded // 4) * 4, unpacked) for unpadded, unpacked in pairs]


def _numbers(packed: bytes) -> Iterator[int]:
    """Yield numbers of 7 bits a byte, the lowest first; the highest bit of a byte says that more follow."""
    value = shift = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
