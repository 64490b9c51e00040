"""Text in any encoding as UTF-8."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.encodings import SNIFFED_BYTES, Utf8Text, encoding_of
from pagetrail.producers.inputs import Input, open_input
from tests.shared import content_id

TEXT = "Page allocated via order 0, mask 0x0()\r\nPFN 1 ünï 내\r\n"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("times", [1, 5_000])
def test_a_text_is_the_same_in_every_encoding(encoding, times):
    text = TEXT * times
    with Input(io.BytesIO(text.encode(encoding)), "file", text=True) as stream:
        assert stream.peek(60)[:60] == text.encode()[:60]
        assert stream.read() == text.encode()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_not_given_as_text_keeps_its_bytes(encoding, tmp_path):
    data = TEXT.encode(encoding)
    (tmp_path / "file").write_bytes(data)
    with open_input(tmp_path / "file") as stream:
        assert stream.read() == data
    (tmp_path / "other").write_bytes(TEXT.encode())
    assert (content_id(tmp_path / "file") == content_id(tmp_path / "other")) == (encoding == "utf-8")


@given(st.binary(max_size=200))
def test_binary_data_is_left_alone(data):
    if encoding_of(data) == ("", 0):
        assert Utf8Text(io.BytesIO(data)).read() == data


def test_damage_becomes_a_replacement_character():
    data = TEXT.encode("utf-16-le") + b"\x00\xd8" + "end".encode("utf-16-le") + b"\x00"
    read = Utf8Text(io.BytesIO(data)).readall().decode()
    assert read.startswith(TEXT)
    assert read.count("�") == 2


def test_the_beginning_that_is_read_at_once_is_not_given_twice():
    data = b"x" * (3 * SNIFFED_BYTES)
    assert Utf8Text(io.BytesIO(data)).readall() == data
