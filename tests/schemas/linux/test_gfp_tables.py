"""The names of gfp flags by release, and in format files: each kernel's own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import format_gfp, parse_gfp, parse_gfp_table
from pagetrail.schemas.linux.gfp_format import parse_gfp_format
from pagetrail.schemas.linux.gfp_tables import GFP_TABLES
from pagetrail.schemas.linux.releases import gfp_agreed, gfp_of

FOLDERS = {"5.10": "common-5.10", "6.1": "common", "6.12": "common-6.12", "7.2": "common-7.2"}


@pytest.mark.parametrize("release", FOLDERS)
def test_a_releases_table_is_that_of_its_own_format_file(captures: Path, release: str) -> None:
    text = (captures / FOLDERS[release] / "formats" / "mm_page_alloc.format").read_text()
    assert list(parse_gfp_format(text).items()) == list(GFP_TABLES[release].items())


def test_shifts_in_a_format_file_are_read() -> None:
    value = "( unsigned long)((( gfp_t)((((1UL))) << (5)))|(( gfp_t)((((1UL))) << (11))))"
    assert parse_gfp_format(f'__print_flags(REC->gfp, "|", {{{value}, "GFP_ATOMIC"}})') == {"GFP_ATOMIC": 0x820}


@pytest.mark.parametrize("value", ["1 <<", "1 << x", "(1 << 64)", "<< 2", "1 << -1"])
def test_what_is_no_expression_gives_no_table(value: str) -> None:
    assert parse_gfp_format(f'__print_flags(x, "|", {{{value}, "GFP_X"}})') == {}


@pytest.mark.parametrize("release", GFP_TABLES)
@given(mask=st.integers(0, (1 << 32) - 1))
def test_a_mask_is_what_its_names_say(release: str, mask: int) -> None:
    assert parse_gfp(format_gfp(mask, GFP_TABLES[release]), GFP_TABLES[release]) == mask


@pytest.mark.parametrize(
    ("release", "read_for", "known"),
    [
        ("6.1.0-26-amd64", "Linux 6.1", True),
        ("5.10.223", "Linux 5.10", True),
        ("6.12.4+deb13", "Linux 6.12", True),
        ("6.8.0-45-generic", "Linux 6.1 or 6.12", False),
        ("5.15.1", "Linux 5.10 or 6.1", False),
        ("5.4.0-150-generic", "Linux 5.4", True),
        ("4.19.191", "Linux 4.19", True),
        ("4.15.0", "Linux 4.14 or 4.19", False),
        ("4.14.190-perf", "Linux 4.14", True),
        ("4.9.337", "Linux 4.9", True),
        ("4.4.0", "Linux 4.4", False),
        ("4.1", "Linux 3.18 or 4.4", False),
        ("3.18.71", "Linux 3.18", True),
        ("3.10.49", "Linux 3.18", False),
        ("9.1", "Linux 7.2", False),
        (None, "Linux 6.1", False),
    ],
)
def test_a_release_that_was_not_read_is_not_known(release: str | None, read_for: str, known: bool) -> None:
    found = gfp_of(release)
    assert (found.read_for, found.known) == (read_for, known)


@pytest.mark.parametrize(
    ("release", "text", "mask"),
    [
        ("3.18", "GFP_HIGHUSER_MOVABLE", 0x200DA), ("3.18", "GFP_KERNEL|GFP_NOWARN", 0x2D0), ("3.18", "GFP_NOWAIT", 0),
        ("4.4", "GFP_KERNEL|GFP_ZERO|GFP_NOTRACK", 0x26080C0), ("4.4", "GFP_HIGHUSER_MOVABLE", 0x24200CA), ("4.4", "GFP_NOWAIT", 0),
        ("4.9", "GFP_KERNEL|__GFP_NOTRACK", 0x26000C0), ("4.9", "GFP_TEMPORARY|__GFP_COLD", 0x24001D0),
        ("4.14", "GFP_HIGHUSER_MOVABLE|__GFP_ZERO", 0x14280CA), ("4.19", "GFP_HIGHUSER_MOVABLE", 0x6200CA),
        ("5.4", "GFP_HIGHUSER_MOVABLE|__GFP_ZERO", 0x100DCA),
    ],
)  # fmt: skip
def test_the_bits_of_a_name_are_those_of_its_release(release: str, text: str, mask: int) -> None:
    assert parse_gfp(text, gfp_of(release).flags) == mask


def test_no_mask_is_sure_of_a_release_that_moved_the_bits_or_has_a_name_twice() -> None:
    assert not any(gfp_agreed(mask, gfp_of("4.15").read_for) for mask in (0x14000C0, 0x14200CA, 0x6000C0))
    assert not any(gfp_agreed(mask, gfp_of("4.4.302").read_for) for mask in (0x24000C0, 0x2080020))
    assert gfp_of("4.4.302").twice == "GFP_ATOMIC"


def test_a_name_that_a_format_file_has_for_two_masks_is_left_out() -> None:
    flags = '{0x2080020, "GFP_ATOMIC"}, {0x20, "GFP_HIGH"}, {0x80000, "GFP_ATOMIC"}'
    assert parse_gfp_format(f'__print_flags(REC->gfp, "|", {flags})') == {"GFP_HIGH": 0x20}


def test_a_mask_on_which_two_releases_agree_is_sure() -> None:
    assert gfp_agreed(0xCC0, "Linux 6.1 or 6.12")
    assert not gfp_agreed(0xA20, "Linux 6.1 or 6.12")
    assert not gfp_agreed(0x800, "Linux 6.1 or 6.12")
    assert gfp_agreed(0xA20, "Linux 5.10 or 6.1")
    assert not gfp_agreed(0xCC0, "Linux 6.1")


def test_a_table_of_names_is_read_and_what_is_none_is_refused() -> None:
    assert parse_gfp_table("# 4.4\nGFP_ZERO=0x8000\n\nGFP_NOTRACK = 200000\n") == {
        "GFP_ZERO": 0x8000,
        "GFP_NOTRACK": 0x200000,
    }
    for text in ("", "GFP_ZERO", "=3", "GFP_ZERO=x"):
        with pytest.raises(BadArgument, match="NAME=HEX"):
            parse_gfp_table(text)
