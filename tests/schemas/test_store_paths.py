"""A stream's place in the store is its own, whatever its names, and is found again by what a user calls the stream."""

import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagetrail.schemas.store.contract import is_name
from pagetrail.schemas.store.names import (
    is_called,
    is_of_stream,
    mismatch,
    segment_name,
    stream_name,
    streams_among,
    tip_name,
)
from pagetrail.schemas.store.path_parts import MOST_BYTES, path_part

NAMES = ("host", "a.b", ".hidden", "web/7", "größe", "", "a" * 300, "a/b/c", "~", "fold9.lock")

ANY = st.text(st.characters(codec=None), max_size=80)
"""Texts with characters of every category, lone surrogates too."""

LONG = st.builds(lambda text, times: text * times, st.text(max_size=8), st.integers(0, 400))

CRAFTED = st.one_of(ANY, LONG).flatmap(
    lambda text: st.sampled_from(
        [path_part(text), path_part(path_part(text)), unquote(path_part(text)), f"{text}~", text.swapcase()]
    )
)
"""Texts that look like what becomes of texts."""

TEXTS = st.one_of(ANY, LONG, CRAFTED, st.sampled_from(NAMES))


@given(TEXTS, TEXTS)
@example("a\u2028b", "a 28b")
@example("%", "")
@example("%2e", ".")
@example("A", "a")
@example("a." * 200, "a." * 200 + ".")
def test_two_texts_have_two_parts_on_every_file_system(one: str, other: str) -> None:
    parts = [path_part(text) for text in (one, other)]
    parts += [unicodedata.normalize("NFKC", part).casefold() for part in parts]
    assert (parts[0] == parts[1]) == (parts[2] == parts[3]) == (one == other)


@given(st.one_of(ANY, LONG), st.data())
def test_a_text_is_never_the_part_of_another(text: str, data: st.DataObject) -> None:
    """GIVEN a text that is written as another one's part would be THEN it has a part of its own."""
    crafted = data.draw(st.sampled_from([path_part(text), path_part(text)[:40], path_part(text + "~" * MOST_BYTES)]))
    assert (path_part(crafted) == path_part(text)) == (crafted == text)


@given(TEXTS)
@example("\x00")
@example("/" * 300)
@example("\ud800")
@example("a" * MOST_BYTES)
@example("a" * (MOST_BYTES + 1))
def test_a_part_is_a_short_name_of_plain_characters(text: str) -> None:
    part = path_part(text)
    assert 0 < len(part.encode("ascii")) <= MOST_BYTES <= 200
    assert set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.%~")
    assert part[0] != "."
    assert part[-1] != "."
    assert is_name(part)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=MOST_BYTES))
def test_a_short_plain_text_is_its_own_part(text: str) -> None:
    assert path_part(text) == text


@given(st.text(max_size=10))
def test_a_short_text_can_be_read_in_its_part(text: str) -> None:
    assert unquote(path_part(text)) == (text or "%")


@given(TEXTS, TEXTS, st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_file_is_of_its_stream_and_of_no_other(host: str, boot_id: str, first: int, last: int) -> None:
    first, last = sorted((first, last))
    stream = stream_name(host, boot_id, "fold9")
    meta = {"host": host, "boot_id": boot_id, "fold": "fold9", "first_seq": str(first), "last_seq": str(last)}
    for name, tip in ((segment_name(stream, first, last), "0"), (tip_name(stream, last), "1")):
        assert is_of_stream(name)
        assert streams_among([name]) == [stream]
        assert mismatch(name, meta | {"tip": tip}) is None
        for field in meta:
            if field == "first_seq" and tip == "1":
                continue  # it is that of the event after the last segment
            assert mismatch(name, meta | {"tip": tip, field: f"{meta[field]}1"}) is not None, field
        assert mismatch(name, meta | {"tip": "0" if tip == "1" else "1"}) is not None


@pytest.mark.parametrize("host", NAMES)
def test_a_host_names_every_boot_of_it_and_a_boot_itself(host: str) -> None:
    boots = [stream_name(host, boot, "fold3") for boot in ("boot-1", "boot-2", "boot/3")]
    assert all(is_called(boot, host) for boot in boots)
    assert [is_called(boot, f"{host}/boot-1") for boot in boots] == [True, False, False]
    assert [is_called(boot, f"{host}/boot/3") for boot in boots] == [False, False, True]


@pytest.mark.parametrize("wanted", ["hos", "host/boot", "boot-1", "fold3", "*", "other/boot-1"])
def test_nothing_else_names_a_stream(wanted: str) -> None:
    assert not is_called(stream_name("host", "boot-1", "fold3"), wanted)
