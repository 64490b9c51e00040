"""A file is found in an archive wherever it lies, and however the archive was packed."""

import io
import lzma
import random
import tarfile
import zlib
from pathlib import Path

import pytest

from tests.kernel import source_archive
from tests.kernel.source_archive import source_member

FILES = {f"linux/{name}": random.Random(name).randbytes(3_000 + 700 * number) for number, name in enumerate("abcdefgh")}


def packed(folder: Path, block_bytes: int) -> Path:
    """Write the files as an archive of one stream; a decompressor of *block_bytes* finds as many blocks in it."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path = folder / "files.tar.xz"
    path.write_bytes(of_blocks(tar.getvalue(), block_bytes))
    return path


def of_blocks(data: bytes, block_bytes: int) -> bytes:
    """Return *data* as one xz stream of blocks, as ``xz --block-size`` makes it."""
    streams = [lzma.compress(data[at : at + block_bytes]) for at in range(0, len(data), block_bytes)]
    blocks, records = b"", b""
    for at, stream in enumerate(streams):
        index = 4 * (int.from_bytes(stream[-8:-4], "little") + 1)
        blocks += stream[12 : -12 - index]
        numbers = list(source_archive._numbers(stream[-12 - index : -12][1:]))[1:3]
        assert numbers[1] == len(data[at * block_bytes : (at + 1) * block_bytes])
        records += b"".join(_number(number) for number in numbers)
    return streams[0][:12] + blocks + _index(len(streams), records)


def _index(count: int, records: bytes) -> bytes:
    """Return the index and the footer of a stream. Source: The .xz File Format 1.2.1, 2.1.2 and 4."""
    index = b"\0" + _number(count) + records
    index += bytes(-len(index) % 4)
    index += _crc(index)
    tail = (len(index) // 4 - 1).to_bytes(4, "little") + b"\0\4"  # CRC64
    return index + _crc(tail) + tail + b"YZ"


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _number(value: int) -> bytes:
    packed = bytearray()
    while value >= 0x80:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(packed) + bytes([value])


@pytest.mark.parametrize("block_bytes", [4_096, 10_000, 1 << 20])
@pytest.mark.parametrize("end_bytes", [0, 15_000, 1 << 20])
def test_each_file_is_what_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, end_bytes: int
) -> None:
    monkeypatch.setattr(source_archive, "END_BYTES", end_bytes)
    archive = packed(tmp_path, block_bytes)
    assert lzma.decompress(archive.read_bytes()).count(b"linux/a\0") == 1  # it is an xz file to others too
    for name, content in FILES.items():
        assert source_member(archive, name.removeprefix("linux/")) == content
    assert source_member(archive, "z") is None
