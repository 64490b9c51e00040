"""A place in a kernel's source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A function (or a struct, an enum, a table) of one release.

    Attributes
    ----------
    file
        Its path in the source tree.
    function
        Its name.
    does
        What it does that the rule rests on; empty where the rule says it.
    """

    file: str
    function: str
    does: str = ""
