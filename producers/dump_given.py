"""What the user knows of a dump alone and the dump does not say: when it was made, and that nothing was filtered from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.details import Clock
from pagetrail.schemas.errors import BadArgument, InputError
from pagetrail.schemas.linux.trace_clock import DUMP_ORDER, WALL_CLOCK
from pagetrail.schemas.times import in_range, is_wall_time, parse_number, parse_wall_time

IN_ORDER: Final = "order"
"""``--at order``: the dump is later than those that were given before."""

FILE_TIME: Final = "mtime"
"""``--at mtime``: when the file was last changed."""

STACK_HANDLES: Final = "stack_handles"
"""The option of a recording that tells show_stacks_handles from another one."""

FORMS: Final = (
    "seconds since the boot with a decimal point or an 's' (120.5, 120s), an integer (ns since the boot), an RFC 3339 time "
    f"(2026-11-22T21:51:07Z), {FILE_TIME} (the file's own), or {IN_ORDER} (later than the dumps given before)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAt:
    """When a dump was made: ns of page_owner's clock, which counts from the boot; or, if *wall*, ns since 1970."""

    ns: int
    wall: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says of a dump.

    Attributes
    ----------
    made_at
        When it was made; null: nobody says.
    in_order
        It is later than the dumps that were given before, whatever times it prints.
    follows
        The time of the latest dump that was given before; null: there is none.
    unfiltered
        Nothing was filtered from it.
    stacks
        Those of the handles of its boot, a frame a line.
    """

    made_at: MadeAt | None = None
    in_order: bool = False
    follows: int | None = None
    unfiltered: bool = False
    stacks: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))

    def options(self) -> dict[str, str]:
        """Return what the user says, as options of a recording."""
        at = IN_ORDER if self.in_order else ""
        if self.made_at is not None:
            at = f"{self.made_at.ns} ns" + (" since 1970" if self.made_at.wall else "")
        whole = {"whole": "yes"} if self.unfiltered else {}
        handles = {STACK_HANDLES: _digest(self.stacks)} if self.stacks else {}
        return ({"at": at} if at else {}) | whole | handles


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of the dumps in one file, on the trace clock of the recording.

    Attributes
    ----------
    ats
        One of each dump.
    clock
        Their relation to other clocks; null: they have none.
    trace_clock
        The name of a clock that is not page_owner's; null: it is that.
    """

    ats: Sequence[int]
    clock: Clock | None = field(default=None)
    trace_clock: str | None = None


def made_at(text: str) -> Given:
    """Return what ``--at`` *text* says of a dump; the time of its file is to be put in its place before.

    Raises
    ------
    BadArgument
        It has none of ``FORMS``, or is out of range.
    """
    text = text.strip()
    if text == IN_ORDER:
        return Given(in_order=True)
    if is_wall_time(text):
        return Given(made_at=MadeAt(ns=in_range(parse_wall_time(text), text), wall=True))
    number = parse_number(text)
    if number is None or number[1]:
        raise BadArgument(f"--at {text}: expected when the dump was made: {FORMS}")
    return Given(made_at=MadeAt(ns=in_range(number[0], text)))


def times_of(newest: Sequence[int], given: Given, source: str) -> Times:
    """Return the times of the dumps in a file, by the *newest* time that is printed in each of them; 0: none is.

    What is printed is the least that a dump's time may be. Dumps without times have their places in the order as times.

    Raises
    ------
    InputError
        The time that is given cannot be that of the file.
    """
    if given.made_at is not None:
        return _made_at(newest, given.made_at, source)
    timed = all(newest)
    ats: list[int] = []
    behind = given.in_order or not timed or newest[0] == given.follows
    before = given.follows if behind and given.follows is not None else -1
    for latest in newest:
        before = max(latest, before + 1)
        ats.append(before)
    if not timed:
        return Times(ats=ats, trace_clock=DUMP_ORDER)
    return Times(ats=ats, clock=Clock(ts_nsec=ats[0], source=f"{source}: the dump's own clock"))


def _made_at(newest: Sequence[int], given: MadeAt, source: str) -> Times:
    if len(newest) > 1:
        raise InputError(
            f"{source}: expected one dump with --at, found {len(newest)} that were joined; give each as a file of its own"
        )
    (latest,) = newest
    if given.wall and latest:
        raise InputError(
            f"{source}: its records have times on page_owner's clock, which counts from the boot, and a wall time cannot be "
            "compared with them; give --at in seconds since the boot, or leave it out"
        )
    if given.ns < latest:
        raise InputError(
            f"{source}: --at {given.ns} ns: one of its records is of {latest} ns, so the dump was made later than that"
        )
    if given.wall:
        clock = Clock(realtime=given.ns, source=f"{source}: --at")
        return Times(ats=[given.ns], clock=clock, trace_clock=WALL_CLOCK)
    return Times(ats=[given.ns], clock=Clock(ts_nsec=given.ns, source=f"{source}: --at"))


def _digest(stacks: Mapping[int, str]) -> str:
    text = "\0".join(f"{handle}\0{stack}" for handle, stack in sorted(stacks.items()))
    return blake2b(text.encode(), digest_size=8).hexdigest()
