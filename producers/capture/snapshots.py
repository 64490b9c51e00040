"""The snapshots of a capture directory: their small files, and their page_owner dumps, single or in an archive."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, cast

from pagetrail.producers.archives import TarMembers
from pagetrail.producers.capture.clock import parse_marker
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.numbers import number
from pagetrail.producers.inputs import PACKED_SUFFIX, Input, open_input

DUMP: Final = "page_owner.txt"
ARCHIVE: Final = "page_owner_dumps.tar"
_SNAPSHOTS: Final = "snapshots"
_NAMED: Final = ("{}.txt", "{}", "page_owner_stacks/{}")
"""How people name a copy of a file of the kernel."""

_MEMBER: Final = re.compile(rf"(?:.*/)?snapshots/([^/]+)/page_owner\.txt{PACKED_SUFFIX}?$")


class Snapshots:
    """Everything under ``snapshots/`` and in ``page_owner_dumps.tar``, by the snapshot's name.

    Attributes
    ----------
    names
        Of all snapshots, in the order of their numbers (1-boot before 10-end).
    dumps
        Of those that have a page_owner dump.
    """

    def __init__(self, folder: CaptureFolder) -> None:
        self._folder = folder
        self._openers: dict[str, Callable[[], Input]] = {}
        folders = folder.folders(_SNAPSHOTS)
        archive = folder.find(ARCHIVE)
        self._archive = TarMembers(archive) if archive else None
        self.notes: list[str] = []
        if self._archive:
            self._add_members(self._archive)
        for name in folders:
            if path := self.file(name, DUMP):
                self._openers[name] = _file_opener(path)
        self.names = tuple(sorted({*folders, *self._openers}, key=_natural))
        self.dumps = tuple(name for name in self.names if name in self._openers)

    def open_dump(self, name: str) -> Input:
        """Return the dump of snapshot *name*, good until the next call."""
        return self._openers[name]()

    def text(self, name: str, file: str) -> str | None:
        """Return *file* of snapshot *name*, if it is there."""
        return self._folder.text(f"{_SNAPSHOTS}/{name}/{file}")

    def file(self, name: str, file: str) -> Path | None:
        """Return the path of *file* of snapshot *name*, plain or compressed, if it is there."""
        return self._folder.find(f"{_SNAPSHOTS}/{name}/{file}")

    def stack_handles(self) -> list[Path]:
        """Return the files that say which stack a handle of this boot is: of any snapshot, and of the capture itself."""
        folders = ["", *(f"{_SNAPSHOTS}/{name}/" for name in self.names)]
        names = [form.format("show_stacks_handles") for form in _NAMED]
        return [path for folder in folders for name in names if (path := self._folder.find(f"{folder}{name}"))]

    def sums(self) -> "dict[str, tuple[list[Path], Path | None]]":
        """Return by snapshot the files of its sums, if it has any: of pages by stack, and of bytes by call site."""
        found = {}
        for name in self.names:
            by_stack = self._one_of(name, "show_stacks")
            both = [self._one_of(name, "show_handles"), self._one_of(name, "show_stacks_handles")]
            stacks = [by_stack] if by_stack else [path for path in both if path] if all(both) else []
            sites = self._one_of(name, "allocinfo")
            if stacks or sites:
                found[name] = stacks, sites
        return found

    def _one_of(self, name: str, file: str) -> Path | None:
        """Return the path of *file* of snapshot *name*, in one of the ways in which people name such files."""
        return next((path for form in _NAMED if (path := self.file(name, form.format(file)))), None)

    def first(self, file: str) -> str | None:
        """Return *file* of the first snapshot, if it is there."""
        return self.text(self.names[0], file) if self.names else None

    def written_by(self) -> dict[tuple[str, str], int]:
        """Return for (snapshot, what) of each marker the CLOCK_MONOTONIC, ns, by which it had been written."""
        times = {}
        for line in self._clock_lines():
            marker = parse_marker(line)
            if marker and marker.after_monotonic is not None:
                times[marker.name, marker.what] = marker.after_monotonic
        return times

    def markers(self) -> list[str]:
        """Return the markers' texts that the snapshots kept themselves (clocks.txt)."""
        return [line.split(" after_mono=")[0] for line in self._clock_lines() if line.startswith("SNAPSHOT ")]

    def close(self) -> None:
        """Close the archive, if one is open."""
        if self._archive:
            self._archive.close()

    def _clock_lines(self) -> list[str]:
        return [line for name in self.names for line in (self.text(name, "clocks.txt") or "").splitlines()]

    def _add_members(self, archive: TarMembers) -> None:
        for member in archive.names:
            found = _MEMBER.match(member)
            if found and found[1] in self._openers:
                self.notes.append(f"{ARCHIVE} has snapshot {found[1]} twice: {member} is left out")
            elif found:
                self._openers[found[1]] = _member_opener(archive, member)
        if archive.truncated:
            self.notes.append(archive.truncated)


def sums_of(directory: Path) -> dict[str, tuple[list[Path], Path | None]]:
    """Return by snapshot of a capture directory the files of its sums: of pages by stack, and of bytes by call site."""
    snapshots = Snapshots(CaptureFolder(directory))
    try:
        return snapshots.sums()
    finally:
        snapshots.close()


def _file_opener(path: Path) -> Callable[[], Input]:
    return lambda: open_input(path, text=True)


def _member_opener(archive: TarMembers, member: str) -> Callable[[], Input]:
    return lambda: Input(cast(BinaryIO, archive.open(member)), member, text=True)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return the key that sorts names by their numbers, and numbers before letters."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return [(value is None, value or 0, part) for part in parts for value in (number(part),)]
