"""Read /proc/allocinfo: bytes and calls by the line of source that allocates.

Source: lib/alloc_tag.c, print_allocinfo_header and alloc_tag_to_text; lib/codetag.c, codetag_to_text (Linux 6.10, 6.12):
``SIZE CALLS FILE:LINE [MODULE] func:FUNCTION``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.producers.inputs import read_text
from pagetrail.schemas.errors import InputError

_HEADER: Final = re.compile(r"allocinfo - version: \d+\.\d+")
_COLUMNS: Final = "#"
_LINE: Final = re.compile(r"\s*(-?[0-9]{1,18})\s+([0-9]{1,18})\s+(\S+:[0-9]+)(?: \[([^\]]+)\])? func:(\S+)(?:\s.*)?")
_GIVE: Final = "give the whole of /proc/allocinfo, as the kernel prints it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a line of source allocated and nobody freed.

    Attributes
    ----------
    place
        Its file and line.
    function
        The function that it stands in, which may be inlined.
    module
        The module that it is in; null: the kernel itself.
    size
        Bytes.
    calls
        How many allocations they are.
    """

    place: str
    function: str
    module: str | None
    size: int
    calls: int


def read_allocinfo(path: Path) -> list[Site]:
    """Return the lines of a file, in its order.

    Raises
    ------
    InputError
        It is another file, or a line of it is damaged: then sums would be wrong.
    """
    first, *lines = read_text(path).splitlines() or [""]
    if not _HEADER.fullmatch(first.strip()):
        raise InputError(
            f"{path}: expected 'allocinfo - version: ...' in its first line, found {first[:60]!r}; {_GIVE}"
        )
    sites = []
    for number, line in enumerate(lines, 2):
        if not line.strip() or line.startswith(_COLUMNS):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise InputError(
                f"{path}: line {number}: expected size, calls, file:line and function, found {line!r}; {_GIVE}"
            )
        size, calls, place, module, function = found.groups()
        sites.append(Site(place=place, function=function, module=module, size=int(size), calls=int(calls)))
    return sites
