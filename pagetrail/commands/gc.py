"""pagetrail gc: segments that no question asks any more, and those of a past that is not kept."""

from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import DEFAULT_TRAIL, JsonOption, TrailOption, out, parse_duration, say
from pagetrail.text.json_text import json_text


def gc(
    trail: TrailOption = DEFAULT_TRAIL,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="TIME",
            help="Also remove segments that hold nothing of the last TIME of their stream (30d, 12h, 15m): it is unknown then.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; otherwise only what would be removed is listed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove segments of other formats of the store, and of other versions of the fold; the log stays.

    They are kept where this version has not replayed all that they hold. The last segment of a stream is always kept. What an
    earlier gc gave up, and did not remove as it was stopped, goes, too.
    """
    time = None if keep is None else parse_duration("--keep", keep) * 1_000_000
    found = api.remove_outdated(trail) if yes else api.outdated(trail)
    found += api.remove_beyond(trail, time) if yes else api.beyond(trail, time)
    total = sum(one.size for one in found if one.kept is None)
    if as_json:
        rows = [{"path": str(one.path), "bytes": one.size, "why": one.why, "kept": one.kept} for one in found]
        out(json_text({"removed": yes, "bytes": total, "outdated": rows}))
        return
    for one in found:
        out(f"{one.size:>16,} bytes  {one.path}  {one.why}{'' if one.kept is None else f'; kept: {one.kept}'}\n")
    if not total:
        say("nothing to remove")
    else:
        say(f"{total:,} bytes {'removed' if yes else 'would be removed: run it again with --yes'}")
