"""Where the stores of a trail have their files, in every format: what an older pagetrail made is not read, but can be removed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.replay.store.local import LOCKS, store_of
from pagetrail.schemas.store.names import CUTS, HOSTS, STORES_DIRECTORY

_ROOMS_SINCE: Final = 7
"""Since this format, streams, cuts and locks have folders of their own."""

_STORE = re.compile(r"v(\d+)")


@dataclass(frozen=True, slots=True)
class Layout:
    """A store in the files of a trail: its folder, and its format; 0: one that is not in its path, before 5."""

    root: Path
    version: int

    def folders(self) -> list[Path]:
        """Return the folders of streams in folds, by path: HOST/BOOT_ID/FOLD."""
        where = f"{HOSTS}/*/*/*" if self._has_rooms else "*/*/*"
        return [folder for folder in sorted(self.root.glob(where)) if folder.is_dir()]

    def cuts(self, fold: str) -> Sequence[Path]:
        """Return the files that say how far a fold has come."""
        return self._of_fold(fold, CUTS, ".cut.json")

    def locks(self, fold: str) -> Sequence[Path]:
        """Return the files that a replay into a fold locks."""
        return self._of_fold(fold, LOCKS, ".lock")

    @property
    def _has_rooms(self) -> bool:
        return self.version >= _ROOMS_SINCE

    def _of_fold(self, fold: str, room: str, suffix: str) -> Sequence[Path]:
        """Return the files of a fold, which older formats had beside the folders of hosts: FOLD[.LOG.PARTITION]SUFFIX."""
        if self._has_rooms:
            return sorted((self.root / room / fold).glob(f"*/*{suffix}"))
        found = self.root.glob(f"{fold}.*")
        return sorted(path for path in found if path.name.endswith(suffix) and path.is_file())


def layout_here(trail: Path) -> Layout:
    """Return the store that this pagetrail reads and writes."""
    root = store_of(trail).root
    return Layout(root, int(root.name.removeprefix("v")))


def layouts(trail: Path) -> list[Layout]:
    """Return the stores of other formats that are there, by path."""
    stores = trail / STORES_DIRECTORY
    if not stores.is_dir():
        return []
    named = [(one, match) for one in sorted(stores.iterdir()) if (match := _STORE.fullmatch(one.name)) and one.is_dir()]
    here = store_of(trail).root
    return [Layout(stores, 0), *(Layout(one, int(match[1])) for one, match in named if one != here)]
