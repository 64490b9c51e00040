"""Times as text: as they are shown, and as a user may type them (ns, seconds, or a wall time)."""

import re
from datetime import datetime
from typing import Final

from pagetrail.schemas.errors import BadArgument

_UNITS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_NUMBER: Final = re.compile(r"([+-]?)(\d{1,99})(?:\.(\d+))?(ns|us|ms|s|m|h)?")
_WALL: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LAST: Final = (1 << 63) - 2
"""Times are 64 bits of ns, as in the kernel; the highest value stands for a span that is open, the lowest for no time."""


def parse_number(text: str) -> tuple[int, str] | None:
    """Return the ns that *text* says, and its sign; null: it is no number.

    An integer without a unit is ns; a number with a decimal point and no unit is seconds.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, unit = match.groups()
    if unit is None and fraction is None:
        return int(whole), sign
    scale = _UNITS[unit or "s"]
    return int(whole) * scale + int((fraction or "0").ljust(18, "0")[:18]) * scale // 10**18, sign


def in_range(ns: int, text: str) -> int:
    """Return the time *ns* that *text* means.

    Raises
    ------
    BadArgument
        64 bits do not hold it.
    """
    if not -_LAST <= ns <= _LAST:
        raise BadArgument(
            f"TIME {text!r}: expected a time of 64 bits of ns, between {as_text(-_LAST)} and {as_text(_LAST)} seconds"
        )
    return ns


def is_wall_time(text: str) -> bool:
    """Whether *text* begins as an RFC 3339 time does."""
    return _WALL.match(text) is not None


def parse_wall_time(text: str) -> int:
    """Return an RFC 3339 time as ns since 1970.

    Raises
    ------
    BadArgument
        It is none, or has no time zone.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadArgument(
            f"TIME {text!r}: expected an RFC 3339 time such as 2026-11-22T21:51:07.5Z ({error})"
        ) from error
    if when.tzinfo is None:
        raise BadArgument(f"TIME {text!r}: expected a time zone, as in {text}Z or {text}+01:00")
    fraction = re.search(r"\.(\d+)", text)
    nanoseconds = int(fraction[1].ljust(9, "0")[:9]) if fraction else 0
    return int(when.replace(microsecond=0).timestamp()) * 1_000_000_000 + nanoseconds


def as_text(ts: int, counting_clock: str | None = None) -> str:
    """Return a trace time as text: seconds with nine digits; an integer where the clock only counts."""
    if counting_clock is not None:
        return str(ts)
    return f"{'-' if ts < 0 else ''}{abs(ts) // 1_000_000_000}.{abs(ts) % 1_000_000_000:09d}"
