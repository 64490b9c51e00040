"""Inputs: decompression, truncation, names by content, archives."""

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from pagetrail.producers import inputs
from pagetrail.producers.inputs import (
    BZIP2_MAGICS,
    GZIP_MAGIC,
    XZ_MAGIC,
    ZSTD_MAGIC,
    Input,
    blocks,
    hash_ahead,
    open_input,
    read_text,
)
from pagetrail.schemas.errors import InputError
from tests.shared import content_id

TEXT = b"".join(b"line %d of a recording\n" % i for i in range(200_000))

pack = {
    "plain": lambda data: data,
    "xz": lambda data: lzma.compress(data, preset=1),
    "bzip2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "gzip": lambda data: gzip.compress(data, 1),
}
compressions = pytest.mark.parametrize("form", sorted(pack))
packed = pytest.mark.parametrize("form", sorted(pack.keys() - {"plain"}))


@compressions
def test_what_was_packed_is_read_back(tmp_path, form):
    (path := tmp_path / "trace").write_bytes(pack[form](TEXT))
    with open_input(path) as stream:
        assert stream.read() == TEXT
    assert stream.truncated is None


@compressions
def test_frames_one_behind_another_are_one_stream(tmp_path, form):
    (path := tmp_path / "trace").write_bytes(pack[form](TEXT) + pack[form](b"") + pack[form](b"more"))
    with open_input(path) as stream:
        assert stream.read() == TEXT + b"more"
    assert stream.truncated is None


@compressions
def test_the_id_is_of_the_uncompressed_bytes(tmp_path, form):
    (path := tmp_path / "trace").write_bytes(pack[form](TEXT))
    assert content_id(path) == hashlib.blake2b(TEXT, digest_size=16).hexdigest()


@packed
def test_of_a_file_cut_short_what_is_whole_is_read_and_the_cut_is_told(tmp_path, form):
    data = pack[form](os.urandom(300_000))
    (path := tmp_path / "trace").write_bytes(pack[form](TEXT) + data[: len(data) // 2])
    with open_input(path) as stream:
        read = stream.read()
    assert read.startswith(TEXT)
    assert stream.truncated is not None
    assert stream.truncated.offset == len(read)
    assert str(len(read)) in str(stream.truncated)


@packed
def test_of_a_damaged_file_what_comes_before_is_read_and_the_damage_is_told(tmp_path, form):
    data = pack[form](TEXT) + pack[form](TEXT)
    (path := tmp_path / "trace").write_bytes(pack[form](TEXT) + b"\xffnot a frame" + data)
    with open_input(path) as stream:
        read = stream.read()
    assert TEXT.startswith(read)
    assert stream.truncated is not None
    assert "damaged" in str(stream.truncated)


@given(st.binary(max_size=3000), st.sampled_from(sorted(pack)), st.integers(1, 100))
def test_the_size_of_the_reads_changes_nothing(data, form, size):
    assume(
        form != "plain" or not data.startswith((ZSTD_MAGIC, GZIP_MAGIC, XZ_MAGIC, *BZIP2_MAGICS))
    )  # plain data that claims to be packed
    stream = Input(io.BytesIO(pack[form](data)), "-")
    parts = []
    while part := stream.read(size):
        parts.append(part)
    assert b"".join(parts) == data


@packed
def test_what_expands_a_thousand_times_is_never_held_as_a_whole(tmp_path, form):
    (path := tmp_path / "trace").write_bytes(pack[form](bytes(100 << 20)))
    tracemalloc.start()
    with open_input(path) as stream:
        size = sum(len(block) for block in blocks(stream))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 100 << 20
    assert held < 80 << 20


def test_a_wide_zstd_window_is_read(tmp_path):
    wide = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=wide)
    (path := tmp_path / "trace.zst").write_bytes(compressor.compressobj().compress(TEXT) or b"")
    writer = io.BytesIO()
    with compressor.stream_writer(writer, closefd=False) as stream:
        stream.write(TEXT)
    path.write_bytes(writer.getvalue())
    assert read_text(path).encode() == TEXT


def test_blocks_are_the_whole_stream():
    assert b"".join(bytes(block) for block in blocks(Input(io.BytesIO(TEXT), "-"))) == TEXT


class Failing(io.BytesIO):
    """A file on a disk that gives no more than the bytes it holds."""

    def readinto(self, buffer):
        return super().readinto(buffer) or self.fail()

    def read(self, size=-1):
        return super().read(size) or self.fail()

    def fail(self):
        raise OSError(errno.EIO, "Input/output error")


@compressions
def test_a_disk_that_fails_in_the_middle_is_an_input_error_that_names_the_file(form):
    stream = Input(Failing(pack[form](TEXT)[:-1]), "trace.txt")
    with pytest.raises(InputError, match=r"trace\.txt: expected a readable file, found: Input/output error"):
        stream.read()


def test_a_missing_file_is_an_input_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*check the path"):
        open_input(tmp_path / "nowhere")


def test_a_directory_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="found a directory"):
        open_input(tmp_path)


@pytest.mark.parametrize("form", ["bzip2", "xz", "zstd"])
def test_what_expands_as_no_recording_does_is_read_to_the_limit_and_told(tmp_path, monkeypatch, form):
    monkeypatch.setattr(inputs, "EXPANDED_BYTES", 1 << 20)
    (path := tmp_path / "trace").write_bytes(pack[form](bytes(200 << 20)))
    with open_input(path) as stream:
        size = sum(len(block) for block in blocks(stream))
    assert size < 100 << 20
    assert "expands more than" in str(stream.truncated)


def test_a_text_that_is_cut_in_its_compression_is_no_whole_text(tmp_path):
    (path := tmp_path / "stacks.gz").write_bytes(gzip.compress(os.urandom(1000))[:-200])
    with pytest.raises(InputError, match="cut short"):
        read_text(path)


def test_a_name_that_no_file_can_have_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no file can have"):
        open_input(tmp_path / "a\0b")


# -- hashed ahead ----------------------------------------------------------------------------------------------------------------


@compressions
def test_a_file_that_is_hashed_ahead_has_the_same_id(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_AHEAD", {})
    path = tmp_path / "trace"
    path.write_bytes(pack[form](TEXT))
    plain = content_id(path)
    hash_ahead(path)
    hash_ahead(path)
    assert content_id(path) == plain
    assert not inputs._AHEAD


def test_a_file_that_changed_since_it_was_hashed_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(TEXT)
    before = content_id(path)
    hash_ahead(path)
    path.write_bytes(TEXT + b"more")
    after = content_id(path)
    inputs._AHEAD.clear()
    assert before != after == content_id(path)


def test_what_is_no_file_is_not_hashed_ahead(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing", Path("-"), Path("a\0b")):
        hash_ahead(path)
    assert not inputs._AHEAD
