"""Dumps of one boot without a trace: what a later one does not list."""

import re
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.schemas.columns import Kind
from pagetrail.text.owner import owner_text
from tests.stories import SECOND, Story


def states(trail: api.Trail, *pfns: int, at: str = "-0s") -> list[str]:
    return [str(row["state"]) for row in trail.owner(pfns, at).to_pylist()]


def test_what_only_an_earlier_dump_listed_is_unknown_after_a_whole_one(tmp_path: Path) -> None:
    tell = Story()
    tell.dump(tell.now, {"pfn": 8}, {"pfn": 12}, {"pfn": 16, "order": 1, "gfp_mask": 0x40CC0})
    between = tell.now
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, {"pfn": 20}, extent="whole")
    trail = tell.trail(tmp_path / "trail")
    assert states(trail, 8, 12, 16, 17, 20) == ["unknown", "owned", "unknown", "unknown", "owned"]
    assert states(trail, 8, 12, at=str(between)) == ["owned", "owned"]
    (before,) = trail.owner([8], str(between)).to_pylist()
    assert "state" in before["uncertain"]
    assert "the kernel's own dump disagreed later" in before["why"]


@pytest.mark.parametrize("extent", ["partial", "joined", None])
def test_a_dump_that_is_not_whole_proves_nothing_by_silence(tmp_path: Path, extent: str | None) -> None:
    tell = Story()
    tell.dump(tell.now, {"pfn": 8})
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, extent=extent)
    assert states(tell.trail(tmp_path / "trail"), 8, 12) == ["owned", "owned"]


def test_what_was_seen_allocated_stays_and_is_in_doubt(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, extent="whole")
    (row,) = tell.trail(tmp_path / "trail").owner([8], "-0s").to_pylist()
    assert row["state"] == "owned"
    assert "state" in row["uncertain"]


def test_the_kernel_has_no_record_of_what_was_seen_allocated_and_a_whole_dump_does_not_list(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8, order=1)
    tell(Kind.ALLOC, 12)
    before = tell.now
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, {"pfn": 20}, extent="whole")
    at_dump = tell.now
    tell.now += SECOND
    tell(Kind.FREE, 8, order=1)
    tell(Kind.ALLOC, 8)
    trail = tell.trail(tmp_path / "trail")

    def said(at: int) -> list[str | None]:
        return [(row["kernel_says"] or {}).get("state") for row in trail.owner([8, 9, 12, 20], str(at)).to_pylist()]

    assert said(before) == [None, None, None, None]
    assert said(at_dump) == ["unknown", "unknown", None, None]
    assert said(tell.now) == [None, None, None, None]
    printed = trail.page_owner_text(str(at_dump))
    assert [int(pfn) for pfn in re.findall(r"^PFN (\d+) ", printed, re.M)] == [12, 20]
    (row,) = trail.owner([8], str(at_dump)).to_pylist()
    assert (row["state"], row["certain"], row["pid"]) == ("owned", False, 5)
    assert "it has no record of this page" in owner_text(row, None)


@pytest.mark.parametrize("extent", ["partial", "joined", None])
def test_a_dump_that_is_not_whole_does_not_say_that_the_kernel_has_no_record(
    tmp_path: Path, extent: str | None
) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, extent=extent)
    (row,) = tell.trail(tmp_path / "trail").owner([8], "-0s").to_pylist()
    assert row["kernel_says"] is None


def test_tails_of_a_listed_block_are_left_to_it(tmp_path: Path) -> None:
    tell = Story()
    tell.dump(tell.now, {"pfn": 9})
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 8, "order": 1, "gfp_mask": 0x40CC0}, extent="whole")
    assert states(tell.trail(tmp_path / "trail"), 8, 9) == ["owned", "owned"]


def test_what_was_seen_allocated_stays_in_doubt_where_an_early_stamp_stands_beside_it(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 8)
    stamp = {"pfn": 8, "gfp_mask": 0, "pid": 1, "ts_nsec": SECOND, "comm": -1}
    tell.dump(tell.now, stamp, extent="whole")
    tell.now += SECOND
    tell.dump(tell.now, {"pfn": 12}, extent="whole")
    (row,) = tell.trail(tmp_path / "trail").owner([8], "-0s").to_pylist()
    assert row["state"] == "owned"
    assert "state" in row["uncertain"]
