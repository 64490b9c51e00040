"""The kernel's own page_owner_sort (tools/vm/page_owner_sort.c, Linux 6.1): built, run, and its output read.

What it makes of a text, and where it says nothing of trouble (from its source; ``test_page_owner_sort.py`` shows it):

- A record is everything up to an empty line. A last record without one is dropped; a record of more than 128 KiB ends
  the reading. Neither is reported.
- Lines that begin with ``PFN`` are left out of the record's text.
- ``stacktrace`` is all that follows the first line: also ``Page has been migrated, ...`` and the lines about memory
  cgroups. Records with one stack can therefore be several groups; ``normalised_groups`` joins them.
- ``times`` counts records, ``pages`` sums ``1 << order``; a record without a readable ``order N,`` counts 0 pages.
- The input must be a regular file with at least 100 bytes a record: room for records is made from its size.
- comm is copied into 16 bytes and numbers into 25, unchecked: longer ones overwrite memory.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kernel.source_archive import source_member

SOURCE_ARCHIVE: Final = Path("/usr/src/linux-source-6.1.tar.xz")  # of Debian's package linux-source-6.1
SOURCE_MEMBER: Final = "tools/vm/page_owner_sort.c"

ALLOCATOR_PREFIX: Final = frozenset(
    {
        "save_stack",
        "__set_page_owner",
        "set_page_owner",
        "post_alloc_hook",
        "prep_new_page",
        "get_page_from_freelist",
        "rmqueue_bulk",
        "__alloc_pages_direct_compact",
        "__alloc_pages_direct_reclaim",
        "__alloc_pages_may_oom",
        "__alloc_pages_slowpath",
        "__alloc_pages_nodemask",
        "__alloc_pages",
    }
)
"""Functions between the caller who wanted a page and the place that took the stack. A tracepoint's stack and
page_owner's begin at different ones of them; without them at the innermost end, both go on alike."""

STACK_DEPTH: Final = 12
"""Frames compared, after the cut. page_owner keeps 16 with the prefix (PAGE_OWNER_STACK_DEPTH, mm/page_owner.c)."""

_GROUP = re.compile(r"^(\d+) times, (\d+) pages:$")
_FRAME = re.compile(r"^(?P<function>[^\s+\[]+)(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?(?: \[(?P<module>[^\]\s]+)[^\]]*\])?$")
_CLONE = re.compile(r"\.(?:constprop|isra|part|cold)\.?\d*")  # of the prefix only: elsewhere they are part of the name

Stack = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Allocations that are still there and came by one stack."""

    times: int
    pages: int


class MissingBuildInput(Exception):
    """The source or the compiler is not there; the message says how to get it."""


def build_page_owner_sort(cache: Path) -> Path:
    """Return the path of page_owner_sort, built into *cache* the first time (about 10 s: the archive is large).

    Raises
    ------
    MissingBuildInput
        Without Debian's linux-source-6.1 or a C compiler.
    """
    program = cache / "page_owner_sort-6.1"
    if program.exists():
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingBuildInput("expected a C compiler as 'cc', found none: apt install gcc libc6-dev")
    if not SOURCE_ARCHIVE.exists():
        raise MissingBuildInput(f"expected {SOURCE_ARCHIVE}, found none: apt install linux-source-6.1")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        source = Path(folder) / "page_owner_sort.c"
        source.write_bytes(_source_text())
        built = Path(folder) / "page_owner_sort"
        subprocess.run([compiler, "-O2", "-w", "-o", built, source], check=True)
        built.rename(program)  # whoever builds beside us makes the same file
    return program


def _source_text() -> bytes:
    text = source_member(SOURCE_ARCHIVE, SOURCE_MEMBER)
    if text is None:
        raise MissingBuildInput(f"expected {SOURCE_MEMBER} in {SOURCE_ARCHIVE}, found none")
    return text


def run_page_owner_sort(program: Path, text: str | Path, *options: str) -> str:
    """Return what page_owner_sort writes for *text* (a page_owner text, or the path of one)."""
    with tempfile.TemporaryDirectory() as folder:
        source = text if isinstance(text, Path) else Path(folder) / "page_owner.txt"
        if isinstance(text, str):
            source.write_text(text)
        out = Path(folder) / "sorted.txt"
        subprocess.run([program, *options, source, out], check=True, stdout=subprocess.DEVNULL)
        return out.read_text(errors="replace")


def normalised_groups(program: Path, text: str | Path, *, depth: int = STACK_DEPTH) -> dict[Stack, Group]:
    """Return the groups of ``page_owner_sort -m --cull=stacktrace`` by canonical stack.

    Groups that differ only by what is no function of the stack (offsets, the allocator's prefix, frames beyond *depth*,
    migration and cgroup lines) are added up.
    """
    return joined(_groups(run_page_owner_sort(program, text, "-m", "--cull=stacktrace")), depth=depth)


def joined(groups: Iterable[tuple[list[str], Group]], *, depth: int = STACK_DEPTH) -> dict[Stack, Group]:
    """Return *groups* (lines of a record after its first, times and pages) added up by canonical stack."""
    total: dict[Stack, Group] = {}
    for lines, group in groups:
        stack = canonical_stack(lines, depth=depth)
        before = total.get(stack, Group(times=0, pages=0))
        total[stack] = Group(times=before.times + group.times, pages=before.pages + group.pages)
    return total


def canonical_stack(lines: Iterable[str], *, depth: int = STACK_DEPTH) -> Stack:
    """Return the frames among *lines* (those that begin with a blank), innermost first.

    Without offsets, without the allocator's prefix, *depth* at most. A line ``...`` (there was more) is no frame.
    """
    frames: list[str] = []
    for line in lines:
        found = _FRAME.match(line.strip()) if line.startswith(" ") else None
        if found is None or found["function"] == "...":
            continue
        module = f" [{found['module']}]" if found["module"] else ""
        if frames or _CLONE.sub("", found["function"]) not in ALLOCATOR_PREFIX:
            frames.append(found["function"] + module)
    return tuple(frames[:depth])


def _groups(output: str) -> Iterator[tuple[list[str], Group]]:
    group: Group | None = None
    lines: list[str] = []
    for line in output.splitlines():
        head = _GROUP.match(line)
        if head is None:
            lines.append(line)
            continue
        if group is not None:
            yield lines, group
        group, lines = Group(times=int(head[1]), pages=int(head[2])), []
    if group is not None:
        yield lines, group
