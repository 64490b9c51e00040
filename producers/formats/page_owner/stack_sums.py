"""Read sums of pages by stack: page_owner_stacks/show_stacks, and show_handles with show_stacks_handles.

Source: mm/page_owner.c, stack_print (Linux 6.12, 7.2): a stack, a frame a line; its handle; how many pages it owns; an empty line.
show_handles has no stacks, and show_stacks_handles no numbers: a handle of one is that of the other, until the next boot.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pagetrail.producers.inputs import open_input, read_text
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.stacks import canonical_stack

_LINE: Final = re.compile(r"(nr_base_pages|stack_count|handle): ([0-9]{1,18})")

_NAMED: Final = re.compile(r"(?:nr_base_pages|stack_count|handle)\b")
"""A line that begins so is no frame of a stack."""

_NAMED_BYTES: Final = re.compile(rb"(nr_base_pages|stack_count|handle): \d+$")
_FRAME: Final = re.compile(rb"\S+(?: \[[^\]]*\])?")
"""Source: lib/vsprintf.c, symbol_string (%pS): a symbol with offset and size, maybe its module."""

_HEAD_BYTES: Final = 1 << 14

_GIVE: Final = "give /sys/kernel/debug/page_owner_stacks/show_stacks, or show_handles and show_stacks_handles"
_HANDLES: Final = "/sys/kernel/debug/page_owner_stacks/show_stacks_handles"


@dataclass(slots=True, kw_only=True)
class _Record:
    """One record of a file: a stack as the kernel prints it, its handle and its pages, as far as the file has them."""

    stack: str | None = None
    handle: int | None = None
    pages: int | None = None


def read_stack_sums(paths: Sequence[Path]) -> dict[str, int]:
    """Return how many pages each stack owns, by its canonical form, as files of one instant say together.

    Raises
    ------
    InputError
        A file is none of these, or the files lack the stacks of their handles.
    """
    found = [record for path in paths for record in _records(path)]
    stacks = {record.handle: record.stack for record in found if record.handle is not None and record.stack is not None}
    sums: dict[str, int] = {}
    for record in found:
        if record.pages is None:
            continue
        stack = record.stack if record.stack is not None else stacks.get(record.handle or 0)
        if stack is None:
            raise InputError(f"handle {record.handle}: expected its stack in one of the files; {_GIVE}")
        frames = canonical_stack(stack).frames
        sums[frames] = sums.get(frames, 0) + record.pages
    if not sums:
        raise InputError(f"{', '.join(map(str, paths))}: expected pages by stack, found no nr_base_pages; {_GIVE}")
    return sums


def read_stack_handles(paths: Sequence[Path]) -> dict[int, str]:
    """Return the stack of each handle, a frame a line, as files of one boot say together.

    Raises
    ------
    InputError
        A file has no stacks of handles, or two files have two stacks for one: they are of several boots.
    """
    stacks: dict[int, str] = {}
    for path in paths:
        found = {r.handle: r.stack for r in _records(path) if r.handle is not None and r.stack is not None}
        if not found:
            raise InputError(f"{path}: expected stacks with their handles, found none; give {_HANDLES}")
        for handle, stack in found.items():
            if stacks.setdefault(handle, stack) != stack:
                raise InputError(
                    f"{path}: handle {handle} has another stack in another file: they are of several boots"
                )
    return stacks


def has_stack_handles(path: Path) -> bool:
    """Whether a file begins as show_stacks_handles does: stacks with their handles, without numbers of pages."""
    try:
        if not path.is_file():  # what a FIFO gives comes once
            return False
        with open_input(path, text=True) as stream:
            lines = [line.strip() for line in stream.read(_HEAD_BYTES).splitlines()[:-1]]
    except (InputError, OSError, ValueError):
        return False  # whoever reads it says why
    named = [found for line in lines if (found := _NAMED_BYTES.match(line))]
    others = [line for line in lines if line and not _NAMED_BYTES.match(line)]
    return bool(named) and all(found[1] == b"handle" for found in named) and all(map(_FRAME.fullmatch, others))


def _records(path: Path) -> Iterable[_Record]:
    """Yield the records of a file; an empty line ends each."""
    frames: list[str] = []
    record = _Record()
    for number, line in enumerate([*read_text(path).splitlines(), ""], 1):
        text = line.strip()
        named = _LINE.fullmatch(text)
        if named is not None:
            _take(record, named[1], int(named[2]), f"{path}: line {number}")
        elif _NAMED.match(text):
            raise InputError(
                f"{path}: line {number}: expected a number behind its name and a colon, found {text!r}; give a whole file"
            )
        elif text:
            frames.append(text)
        elif frames or record.handle is not None or record.pages is not None:
            if record.handle is None and record.pages is None:
                raise InputError(f"{path}: line {number}: expected the pages or the handle of a stack; {_GIVE}")
            record.stack = "\n".join(frames) or None
            yield record
            frames, record = [], _Record()


def _take(record: _Record, name: str, value: int, where: str) -> None:
    """Take a number of a record.

    stack_count, which some kernels of the time of Linux 6.9 print, counts allocations: it is refused.
    """
    if name == "stack_count":
        raise InputError(f"{where}: expected nr_base_pages; stack_count is a number of allocations, not of pages")
    setattr(record, "handle" if name == "handle" else "pages", value)
