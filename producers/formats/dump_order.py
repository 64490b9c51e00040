"""The order in which several dumps of one boot were made."""

from collections.abc import Sequence
from pathlib import Path

from pagetrail.producers.dump_given import Given, MadeAt
from pagetrail.producers.formats.page_owner.alone import DUMPS, PageOwnerFile
from pagetrail.producers.formats.recognise import opener, recognised
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.inputs import Source, source_of
from pagetrail.producers.meaning import UNKNOWN_KERNEL
from pagetrail.schemas.errors import InputError


def is_dump(file: Source) -> bool | None:
    """Return whether a file is a page_owner dump alone; null: it is nothing that can be read."""
    try:
        found, _ = recognised(file)
    except InputError:
        return None  # its own ingest says why
    return None if found.opens is None else found.name in DUMPS


def in_order_of_time(dumps: Sequence[tuple[str | Source, Given]]) -> list[int]:
    """Return the places of (path or file, what the user says of it) by the times of the dumps.

    They stay as they are where one of them is no dump, or has no time that can be compared with the others.
    """
    as_given = list(range(len(dumps)))
    times: list[MadeAt] = []
    for file, given in dumps:
        at = None if given.in_order else given.made_at or _newest(file)
        if at is None or at.wall != (times[0] if times else at).wall:
            return as_given
        times.append(at)
    return sorted(as_given, key=lambda place: times[place].ns)


def _newest(file: str | Source) -> MadeAt | None:
    """Return the latest time that is printed in a dump; null: it has none, or is no dump that can be read."""
    if isinstance(file, str) and not Path(file).is_file():
        return None
    try:
        source = file if isinstance(file, Source) else source_of(Path(file))
        found, head = recognised(source)
        opens = opener(found, source.name, FORMATS, head)
        with source.open(text=True) as stream:
            parser = opens(stream, UNKNOWN_KERNEL)
            newest = parser.newest() if isinstance(parser, PageOwnerFile) else 0
    except InputError:
        return None  # its own ingest says why
    return MadeAt(ns=newest) if newest else None
