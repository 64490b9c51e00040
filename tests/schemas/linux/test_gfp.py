"""Laws of the names of gfp flags."""

import re
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1, format_gfp, parse_gfp
from tests.conftest import WINDOW_SIZE
from tests.producers.formats.text_samples import unpacked


@given(st.integers(0, (1 << 32) - 1))
def test_what_is_printed_reads_as_the_same_mask(mask: int) -> None:
    assert parse_gfp(format_gfp(mask, GFP_FLAGS_6_1), GFP_FLAGS_6_1) == mask


@pytest.mark.parametrize("name", ["small", "lossy"])
def test_masks_print_as_the_kernel_prints_them_in_its_dumps(captures: Path, name: str) -> None:
    found = set()
    for path in sorted((captures / name / "snapshots").glob("*/page_owner.txt.zst"))[:3]:
        with unpacked(path) as stream:
            found |= set(re.findall(rb"mask 0x([0-9a-f]+)\(([^)]*)\)", stream.read()))
    assert len(found) > 10
    for mask, text in found:
        assert format_gfp(int(mask, 16), GFP_FLAGS_6_1) == text.decode()
        assert parse_gfp(text.decode(), GFP_FLAGS_6_1) == int(mask, 16)


@pytest.mark.parametrize("path", ["small/trace.txt.zst", "basic/trace.txt.zst", "perf-plain/perf-script.txt.zst"])
def test_every_text_of_a_capture_comes_back_as_it_was(captures: Path, path: str) -> None:
    unzstd = zstandard.ZstdDecompressor(max_window_size=WINDOW_SIZE)
    with (captures / path).open("rb") as packed, unzstd.stream_reader(packed) as stream:
        texts = set(re.findall(rb"gfp_flags=(\S+)", stream.read()))
    for text in texts - {b"none"}:
        assert format_gfp(parse_gfp(text.decode(), GFP_FLAGS_6_1), GFP_FLAGS_6_1) == text.decode()


def test_none_is_no_flag() -> None:
    assert parse_gfp("none", GFP_FLAGS_6_1) == 0


@pytest.mark.parametrize("text", ["GFP_NEW", "GFP_KERNEL|", "0x", "0x1ffffffff", "|", "gfp_kernel"])
def test_a_part_that_is_no_flag_is_refused(text: str) -> None:
    with pytest.raises(BadArgument, match="gfp flags"):
        parse_gfp(text, GFP_FLAGS_6_1)
