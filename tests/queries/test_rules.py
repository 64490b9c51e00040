"""Whose rules a stream is replayed by, and who says so."""

from pathlib import Path
from typing import Any

import pytest

from pagetrail import api
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Coverage
from tests.stories import BOOT, Story


def told(folder: Path, release: str | None) -> api.Trail:
    story = Story(boot=BOOT.model_copy(update={"release": release}))
    story(Kind.ALLOC, 4)
    return story.trail(folder)


@pytest.mark.parametrize(
    ("release", "rules"),
    [
        ("5.10.223", "linux-5.10"),
        ("6.1.192", "linux-6.1"),
        ("6.6.1", "linux-6.1-or-6.12"),
        ("7.2.13", "linux-7.2"),
        (None, "linux-6.1"),
    ],
)
def test_a_stream_has_the_rules_of_its_kernel(tmp_path: Path, release: str | None, rules: str) -> None:
    assert told(tmp_path / "trail", release).streams()["rules"].to_pylist() == [rules]


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("6.1.192", None),
        (
            "6.6.1",
            "Linux 6.6.1 was not read: it is replayed by the rules of Linux 6.1, and where Linux 6.12 does otherwise",
        ),
        ("8.0.0", "Linux 8.0.0 was not read: it is replayed by the rules of Linux 7.2"),
    ],
)
def test_the_doctor_says_whose_rules_are_followed_where_the_kernels_own_were_not_read(
    tmp_path: Path, release: str, said: str | None
) -> None:
    found = [row["detail"] for row in told(tmp_path / "trail", release).doctor().to_pylist() if row["what"] == "rules"]
    assert [detail.startswith(said or "") for detail in found] == ([] if said is None else [True])


@pytest.mark.parametrize(
    ("story", "causes"),
    [
        ({}, []),
        ({"boot": BOOT.model_copy(update={"page_ext_clients": ()})}, ["taken in bulk"]),
        ({"without": "isolate"}, ["compaction"]),
        ({"boot": BOOT.model_copy(update={"release": "6.12.117"})}, ["contiguous range"]),
        ({"skew": 1000}, ["clocks of CPUs"]),
    ],
)
def test_the_doctor_names_what_may_have_taken_a_page_without_an_event(
    tmp_path: Path, story: dict[str, Any], causes: list[str]
) -> None:
    tell = Story(**story)
    for kind in (Kind.ALLOC, Kind.FREE, Kind.FREE):
        tell(kind, 4)
    (found,) = (row for row in tell.trail(tmp_path / "trail").doctor().to_pylist() if row["what"] == "free of free")
    said = [cause for cause in found["detail"].partition("; possible causes: ")[2].split("; ") if cause]
    assert len(said) == len(causes)
    assert all(cause in text for cause, text in zip(causes, said, strict=True))


def test_the_doctor_names_compaction_where_vmstat_shows_of_other_times_alone_that_it_took_none(tmp_path: Path) -> None:
    tell = Story(without="isolate")
    tell(Kind.ALLOC, 4)
    quiet = Coverage(kinds=("isolate",), since=tell.now - 10, until=tell.now, declared_by="vmstat")
    tell.log.say(Kind.COVERAGE, tell.now, quiet)
    for kind in (Kind.FREE, Kind.FREE):
        tell(kind, 4)
    (found,) = (row for row in tell.trail(tmp_path / "trail").doctor().to_pylist() if row["what"] == "free of free")
    assert found["detail"].endswith("; possible causes: free pages that compaction took")


def test_the_doctor_names_contiguous_ranges_where_their_pages_were_owned_before_their_calls_returned(
    tmp_path: Path,
) -> None:
    tell = Story(boot=BOOT.model_copy(update={"release": "6.12.117"}))
    tell.log.say(Kind.COVERAGE, tell.now, Coverage(kinds=("contig_range",), declared_by="the story"))
    for _ in range(2):
        tell(Kind.ALLOC, 4)
    (found,) = (row for row in tell.trail(tmp_path / "trail").doctor().to_pylist() if row["what"] == "alloc over owned")
    assert "a contiguous range, whose blocks are split" in found["detail"]


def test_the_doctor_names_lost_events_where_there_were_some(tmp_path: Path) -> None:
    tell = Story()
    tell(Kind.ALLOC, 4)
    tell.gap(tell(Kind.ALLOC, 8), tell.now + 1)
    tell(Kind.ALLOC, 4)
    (found,) = (row for row in tell.trail(tmp_path / "trail").doctor().to_pylist() if row["what"] == "alloc over owned")
    assert found["detail"].endswith("; events that were lost")
