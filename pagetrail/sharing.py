"""Sharing a trail: letting others read what it holds, or no longer."""

import os
import re
from pathlib import Path
from typing import Literal

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.modes import make_folder, of_folders, set_mode
from pagetrail.schemas.store.names import STORES_DIRECTORY

_MODE = re.compile(r"0?6[0246][0246]")


def parse_mode(text: str) -> int:
    """Return the mode of files from its octal digits, such as 640.

    Raises
    ------
    BadArgument
        It is no mode, the owner could not read and write, or somebody could execute.
    """
    if not _MODE.fullmatch(text):
        raise BadArgument(
            f"--mode {text}: expected the mode of files in octal, which its owner can read and write and nobody executes: 600, "
            "640, 660 or 644"
        )
    return int(text, 8)


def share(trail: str | Path, mode: int, *, make: Literal["log", "segments"] | None = None) -> None:
    """Give all files of a trail *mode*, and its folders the same with the right to enter.

    What is written into it later gets the same modes, as those of its log and segments: the folder of one of these is made where
    *make* says so; else a trail that has none is left alone. The trail's own folder is only opened further, never closed: other
    things may be in it.

    Raises
    ------
    OSError
        They are somebody else's.
    """
    root, folders = Path(trail), of_folders(mode)
    there = root.is_dir()
    parts = log_directory(root), root / STORES_DIRECTORY
    if make is not None:
        make_folder(parts[make != "log"], folders)
    if not any(part.is_dir() for part in parts):
        return
    if there:
        set_mode(root, root.stat().st_mode & 0o777 | folders)
    for part in parts:
        for folder, _, files in os.walk(part):
            set_mode(Path(folder), folders)
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    set_mode(path, mode)
