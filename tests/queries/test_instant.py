"""TIME: every form means the instant that it says; whatever else is explained, with the forms that there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.queries.core.instant import FORMS, parse_instant
from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.details import Clock
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.times import as_text

END = 60_000_000_000
REALTIME = 1_795_385_555_000_000_000  # 2026-11-22T22:12:35Z at trace time 10 s
FACTS = Facts(
    clocks=[(10_000_000_000, Clock(realtime=REALTIME))],
    markers=[
        (4, 1_000, "SNAPSHOT 1-boot begin mono=5"),
        (9, 2_000, "SNAPSHOT 1-boot page_owner_end mono=6"),
        (12, 3_000, "SNAPSHOT 2-late page_owner_end mono=7"),
        (20, 5_000, "LAB online memory32"),
        (30, 7_000, "LAB offline memory32"),
        (40, 8_000, "offline"),
    ],
)


def ts(text: str) -> int:
    return parse_instant(text, FACTS, END).ts


@given(st.integers(0, 2**62))
def test_an_integer_is_nanoseconds(value: int) -> None:
    assert ts(str(value)) == value


@given(st.integers(0, 10**9), st.integers(0, 10**9 - 1))
def test_a_decimal_point_makes_it_seconds_to_the_nanosecond(seconds: int, fraction: int) -> None:
    expected = seconds * 10**9 + fraction
    assert ts(f"{seconds}.{fraction:09d}") == ts(f"{seconds}.{fraction:09d}s") == expected
    assert ts(as_text(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19s", 19_000_000_000), ("200ms", 200_000_000), ("1.5us", 1_500), ("7ns", 7), ("2m", 120_000_000_000),
        ("-5s", END - 5_000_000_000), ("-0.25", END - 250_000_000), ("-1", END - 1), ("-0s", END), (" 3s ", 3_000_000_000),
    ],
)  # fmt: skip
def test_units_and_offsets_from_the_end(text: str, expected: int) -> None:
    assert ts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T22:12:35Z", 10_000_000_000),
        ("2026-11-22T23:12:36.000000007+01:00", 11_000_000_007),
        ("2026-11-22T22:12:34.5Z", 9_500_000_000),
    ],
)
def test_wall_time_counts_from_the_recordings_own_reading(text: str, expected: int) -> None:
    assert ts(text) == expected


def test_a_snapshots_name_is_the_state_just_before_the_end_of_its_dump() -> None:
    at = parse_instant("@1-boot", FACTS, END)
    assert (at.seq, at.ts) == (8, 2_000)


def test_a_marker_is_named_whole_or_by_what_only_it_contains() -> None:
    assert parse_instant("@LAB online memory32", FACTS, END).seq == 20
    assert parse_instant("@online", FACTS, END).seq == 20
    assert parse_instant("@offline", FACTS, END).seq == 40  # the whole text of one, a part of another
    assert parse_instant("@2-late", FACTS, END).seq == 11


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "5 apples", "1e9", "0x10", "--5s", "1.2.3", "5h5", "s", "nan"],
)
def test_what_is_no_time_is_told_the_forms_that_are(text: str) -> None:
    with pytest.raises(BadArgument) as caught:
        ts(text)
    assert FORMS in str(caught.value)
    assert repr(text.strip()) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@memory32", "found 2"),
        ("@nothing", "@1-boot, @2-late"),
        ("2026-11-22T22:12:35", "zone"),
        ("2026-13-45", "RFC 3339"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_told_what_there_is(text: str, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        ts(text)


def test_without_a_reading_of_the_wall_clock_wall_time_means_nothing() -> None:
    with pytest.raises(BadArgument, match="no reading of the wall clock"):
        parse_instant("2026-11-22T22:12:35Z", Facts(), END)


def test_after_the_horizon_nothing_is_known_and_the_answer_says_how_far_it_is(audited) -> None:
    stream = audited.stream()
    assert stream.instant(str(stream.horizon)).ts == stream.horizon
    with pytest.raises(NotFound) as caught:
        stream.instant(str(stream.horizon + 1))
    assert as_text(stream.horizon) in str(caught.value)
