"""pagetrail audit --show-stacks, --allocinfo, --sums: replay against the kernel's sums of pages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagetrail import api
from pagetrail.commands.options import out
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.text.audit_sums import site_audit_text, stack_audit_text
from pagetrail.text.json_text import json_text

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sums:
    """The files that the user gives.

    Attributes
    ----------
    show_stacks
        page_owner_stacks/show_stacks, or show_handles and show_stacks_handles.
    allocinfo
        /proc/allocinfo.
    capture
        A capture directory, whose snapshots have such files.
    at
        When the files were read; of a capture, one of its snapshots.
    """

    show_stacks: list[Path]
    allocinfo: Path | None
    capture: Path | None
    at: str | None


def audit_sums(opened: "api.Trail", given: Sums, stream: str | None, *, records: bool, as_json: bool) -> None:
    """Print the sums of files against those of replay; of a capture directory, those of each snapshot."""
    if given.capture is not None:
        _of_capture(opened, given, stream, records=records, as_json=as_json)
        return
    if given.at is None or (given.show_stacks and given.allocinfo is not None):
        raise BadArgument("--show-stacks or --allocinfo requires --at TIME, the instant at which the file was read")
    found, text = _asked(opened, given.show_stacks, given.allocinfo, given.at, stream, records=records)
    out(json_text(found) if as_json else text)


def _of_capture(opened: "api.Trail", given: Sums, stream: str | None, *, records: bool, as_json: bool) -> None:
    if given.show_stacks or given.allocinfo is not None or given.capture is None:
        raise BadArgument("--sums DIR reads the files of its snapshots: leave out --show-stacks and --allocinfo")
    wanted = None if given.at is None else given.at.removeprefix("@")
    there = {name: files for name, files in api.sums_of(given.capture).items() if wanted in (None, name)}
    if not there:
        raise NotFound(
            f"{given.capture}: expected snapshots/{wanted or 'NAME'}/show_stacks.txt or allocinfo.txt, found none"
        )
    rows: Rows = []
    texts = []
    for name, (stacks, sites) in there.items():
        for files, site in ((stacks, None), ([], sites)):
            if files or site is not None:
                found, text = _asked(opened, files, site, f"@{name}", stream, records=records)
                what = "pages by stack" if files else "bytes by call site"
                rows += [{"snapshot": name, "of": what, **row} for row in found]
                texts.append(f"snapshot {name}, {what}:\n{text}")
    out(json_text(rows) if as_json else "\n".join(texts))


def _asked(
    opened: "api.Trail", stacks: list[Path], sites: Path | None, at: str, stream: str | None, *, records: bool
) -> tuple[Rows, str]:
    """Return rows of one file, and their text."""
    if sites is not None:
        rows = opened.audit_sites(sites, at, stream=stream).to_pylist()
        return rows, site_audit_text(rows, records=records)
    rows = opened.audit_stacks(stacks, at, stream=stream).to_pylist()
    return rows, stack_audit_text(rows, records=records)
