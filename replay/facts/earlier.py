"""What the facts of earlier files still say in a later one, beside the rows that are carried over into its lists."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What is known from before a file, in a size that does not depend on how much happened before.

    Attributes
    ----------
    gaps, clocks, hotplug
        How many of the first entries of these lists of ``Facts`` are carried over; the others are new in the file.
    coverage
        ``Coverage.plain`` of all declarations before; null: there was none.
    audited
        The views of which a dump was audited.
    whole_dumps
        The stream_seq of each whole dump that is in a doubt which lasts into the file.
    first_loss
        The earliest ``t_lo`` of all losses; null: there was none.
    last_call
        When the last hotplug call was entered or returned; null: none was seen.
    missing
        (stream_seq behind it, events) of each hole in the log. Only damage to the log adds to them.
    """

    gaps: int = 0
    clocks: int = 0
    hotplug: int = 0
    coverage: dict[str, Any] | None = None
    audited: list[str] = field(default_factory=list)
    whole_dumps: list[int] = field(default_factory=list)
    first_loss: int | None = None
    last_call: int | None = None
    missing: list[tuple[int, int]] = field(default_factory=list)
