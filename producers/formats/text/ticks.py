"""Whether the times of a trace are integers: its clock counts events or cycles, and knows no seconds."""

import re
from typing import Final

_TIME: Final = re.compile(rb"\[\d{1,5}\]\s+(?:[^\s:\d][^\s:]{0,11}\s+)?(?:(\d{1,18})|\d{1,10}\.\d{6,9}): ")

_HEAD_BYTES: Final = 1 << 16
"""How much of a trace decides, whoever asks."""


def counts(head: bytes) -> bool:
    """Return whether most events at the beginning of a trace have integers for times."""
    found = [bool(time) for time in _TIME.findall(head[:_HEAD_BYTES])]
    return sum(found) * 2 > len(found)
