"""The differences between kernels, as data: one value for each release, chosen by the release of a recording's kernel.

The fold is compiled once: ``KernelRules.packed`` gives the numbers of a release for its array of options.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1, GFP_MOVABLE, format_gfp, parse_gfp
from pagetrail.schemas.linux.gfp_tables import GFP_TABLES, TWICE
from pagetrail.schemas.linux.migrate import (
    MIGRATE_REASON_NAMES,
    MIGRATE_REASON_NAMES_5_10,
    MIGRATE_REASON_NAMES_6_12,
)
from pagetrail.schemas.linux.mmzone import MAX_ORDER, MIGRATETYPE_NAMES
from pagetrail.schemas.linux.page_ext import PAGE_EXT_BYTES, PAGE_EXT_GFP
from pagetrail.schemas.linux.page_owner import (
    BOOT_STAMP,
    EARLY_STAMP,
    EARLY_STAMP_5_10,
    PAGE_OWNER_BYTES,
    PAGE_OWNER_BYTES_5_10,
    PAGE_OWNER_BYTES_6_12,
    EarlyStamp,
)

_NO_PID: Final = -(1 << 31)
"""The pid of a record without one: ``schemas.owner.ABSENT32``, which is above this file."""

_KEPT: Final = 64
"""Answers about a release that are kept: each question asks for them again, and recordings name few releases."""


class Either(IntEnum):
    """Whether a kernel does something. A release between two that differ may do either."""

    NO = 0
    YES = 1
    UNKNOWN = 2


class PackedRules(NamedTuple):
    """The numbers of a release that the fold's jit functions read, in their order in the array of options."""

    gfp_comp: int
    gfp_isolated: int
    early_order: int
    early_gfp: int
    early_pid: int
    early_pid_deferred: int
    migration_writes_tails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRules:
    """The facts of one release.

    Attributes
    ----------
    release
        The release whose source was read.
    gfp_flags
        The bits of each name that it prints for allocation flags, in the order in which it tries the names.
    gfp_isolated
        The mask with which free pages are isolated; nothing else is allocated with it.
    gfp_page_ext
        The mask with which page_ext allocates a section's extension.
    migratetype_names, migrate_reason_names
        MIGRATE_* and MR_*, by number.
    early_stamps
        The stamps that page_owner may give pages that were allocated before it started: one, or two where it depends on the
        machine, or on its command line, when page_ext starts.
    page_owner_bytes, page_ext_bytes
        Sizes of struct page_owner (null: not known) and of struct page_ext: every page has the latter's flags beside the clients'
        data.
    max_order
        Blocks have orders 0 to max_order - 1.
    migration_writes_tails
        Whether a migration copies the owner to every page of the new block; otherwise only to its first page.
    split_has_new_order
        Whether a split may be to any lower order; otherwise it is always to single pages.
    contig_has_own_mask
        Whether pages of a contiguous range are stamped with its caller's mask; otherwise they are isolated with *gfp_isolated*.
    page_owner_has_times
        Whether page_owner keeps who allocated a page, and when.
    page_owner_has_free_ts
        Whether a record of its dump has the time of the free before.
    page_owner_has_hex_pfn
        Whether a record of its dump has the page frame number in hexadecimal.
    others
        The releases whose rules apply as well, as it is not known on which side of them a kernel is.
    """

    release: str
    gfp_flags: Mapping[str, int]
    gfp_isolated: int
    gfp_page_ext: int
    migratetype_names: tuple[str, ...]
    migrate_reason_names: tuple[str, ...]
    early_stamps: tuple[EarlyStamp, ...]
    page_owner_bytes: int | None
    page_ext_bytes: int
    max_order: int
    migration_writes_tails: Either
    split_has_new_order: Either
    contig_has_own_mask: Either
    page_owner_has_times: bool = True
    page_owner_has_free_ts: bool = True
    page_owner_has_hex_pfn: bool = False
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How they are named: ``linux-6.1``; of a release between two that were read, ``linux-6.1-or-6.12``."""
        return "linux-" + "-or-".join((self.release, *self.others))

    def packed(self, recorded: Mapping[str, int]) -> PackedRules:
        """Return the numbers that the fold's jit functions read.

        Parameters
        ----------
        recorded
            The bits of each gfp flag, by the name that the recording's own kernel prints; may be empty. They take precedence,
            because bits also depend on the kernel's configuration.
        """
        early, late = self.early_stamps[0], self.early_stamps[-1]
        return PackedRules(
            gfp_comp=recorded.get("__GFP_COMP", self.gfp_flags["__GFP_COMP"]), gfp_isolated=self.gfp_isolated,
            early_order=early.order, early_gfp=early.gfp_mask, early_pid=_NO_PID if early.pid is None else early.pid,
            early_pid_deferred=_NO_PID if late.pid is None else late.pid,
            migration_writes_tails=int(self.migration_writes_tails),
        )  # fmt: skip


LINUX_6_1: Final = KernelRules(
    release="6.1",
    gfp_flags=GFP_FLAGS_6_1,
    gfp_isolated=GFP_MOVABLE,  # mm/compaction.c, split_map_pages
    gfp_page_ext=PAGE_EXT_GFP,
    migratetype_names=MIGRATETYPE_NAMES,
    migrate_reason_names=MIGRATE_REASON_NAMES,
    early_stamps=(
        EARLY_STAMP,
        BOOT_STAMP,
    ),  # init/main.c, mm_init: with early_page_ext, page_ext starts before there are threads
    page_owner_bytes=PAGE_OWNER_BYTES,
    page_ext_bytes=PAGE_EXT_BYTES,
    max_order=MAX_ORDER,
    migration_writes_tails=Either.NO,  # mm/page_owner.c, __folio_copy_owner
    split_has_new_order=Either.NO,  # mm/page_owner.c, __split_page_owner
    contig_has_own_mask=Either.NO,  # mm/compaction.c, isolate_freepages_range
)
"""Read in Linux 6.1.192."""

LINUX_5_10: Final = dataclasses.replace(
    LINUX_6_1,
    release="5.10",
    gfp_flags=GFP_TABLES["5.10"],
    migrate_reason_names=MIGRATE_REASON_NAMES_5_10,
    early_stamps=(EARLY_STAMP_5_10,),
    page_owner_bytes=PAGE_OWNER_BYTES_5_10,
    page_owner_has_times=False,  # mm/page_owner.c, print_page_owner
    page_owner_has_free_ts=False,  # mm/page_owner.c, print_page_owner
)
"""Read in Linux 5.10.223."""

LINUX_6_12: Final = dataclasses.replace(
    LINUX_6_1,
    release="6.12",
    gfp_flags=GFP_TABLES["6.12"],
    migrate_reason_names=MIGRATE_REASON_NAMES_6_12,
    early_stamps=(BOOT_STAMP, EARLY_STAMP),  # mm/mm_init.c, deferred_struct_pages
    page_owner_bytes=PAGE_OWNER_BYTES_6_12,
    migration_writes_tails=Either.YES,  # mm/page_owner.c, __folio_copy_owner and __update_page_owner_handle
    split_has_new_order=Either.YES,  # mm/page_owner.c, __split_page_owner
    contig_has_own_mask=Either.YES,  # mm/page_alloc.c, alloc_contig_range_noprof and split_free_pages; see below
    page_owner_has_free_ts=False,  # mm/page_owner.c, print_page_owner
    page_owner_has_hex_pfn=True,  # mm/page_owner.c, print_page_owner
)
"""Read in Linux 6.12.117."""

LINUX_7_2: Final = dataclasses.replace(LINUX_6_12, release="7.2", gfp_flags=GFP_TABLES["7.2"])
"""Read in Linux 7.2.13."""

_OWN_MASK_SINCE: Final = (6, 12, 117)
"""The first release in which contiguous ranges were seen to have their caller's mask. Stable trees carry changes back: whether an
earlier 6.12.y does it, or a kernel of another branch before 7.2, its release does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GfpReading:
    """What gives the names of gfp flags their bits.

    Attributes
    ----------
    flags
        The bits of each name, in the order in which the kernel tries the names.
    read_for
        Whose names they are: ``Linux 6.1``; of a release between two that were read, both: ``Linux 6.1 or 6.12``.
    known
        Whether they are the names of the kernel that was recorded, each of one mask.
    twice
        A name that this kernel prints for two masks; null: there is none.
    """

    flags: Mapping[str, int]
    read_for: str
    known: bool
    twice: str | None = None


@lru_cache(maxsize=_KEPT)
def gfp_of(release: str | None) -> GfpReading:
    """Return how the names of the kernel *release* (``uname -r``; null: not recorded) are read.

    A release that was not read has those of the latest one before it; a kernel of which nothing is known, those of 6.1.
    """
    wanted = _version(release or "")
    if wanted == (0, 0):
        return GfpReading(flags=GFP_TABLES["6.1"], read_for="Linux 6.1", known=False)
    older = [name for name in GFP_TABLES if _version(name) <= wanted]
    newer = [name for name in GFP_TABLES if _version(name) > wanted]
    chosen = older[-1] if older else newer[0]
    if _version(chosen) == wanted:
        twice = TWICE.get(chosen)
        return GfpReading(flags=GFP_TABLES[chosen], read_for=f"Linux {chosen}", known=twice is None, twice=twice)
    between = f"Linux {chosen} or {newer[0]}" if older and newer else f"Linux {chosen}"
    return GfpReading(flags=GFP_TABLES[chosen], read_for=between, known=False)


def gfp_read_as(read_for: str) -> Mapping[str, int]:
    """Return the names that were taken for a ``GfpReading.read_for`` of a kernel that is not known: those of its first release."""
    named = (name for name in re.findall(r"\d+\.\d+", read_for) if name in GFP_TABLES)
    return GFP_TABLES[next(named, "6.1")]


@lru_cache(maxsize=_KEPT)
def gfp_agreed(mask: int, read_for: str) -> bool:
    """Return whether *mask* is the same whichever of the releases in *read_for* printed its flags; false of one release."""
    tables = [GFP_TABLES[name] for name in re.findall(r"\d+\.\d+", read_for) if name in GFP_TABLES]
    if len(tables) < 2:
        return False
    text = format_gfp(mask, tables[0])
    try:
        return all(parse_gfp(text, table) == mask for table in tables[1:])
    except BadArgument:
        return False


RELEASES: Final[tuple[KernelRules, ...]] = (LINUX_5_10, LINUX_6_1, LINUX_6_12, LINUX_7_2)
"""The releases whose source was read, the oldest first. Another one is a value, and a line here."""


@lru_cache(maxsize=_KEPT)
def rules_of(release: str | None) -> KernelRules:
    """Return the rules for the kernel *release* (``uname -r``; null: not recorded).

    They are those of the latest of ``RELEASES`` up to it. What a later one of them does otherwise, a kernel between the two may do
    either way. A kernel that is older than all of them gets the rules of the oldest; one without a release, those of 6.1.
    """
    wanted = _version(release or "")
    if wanted == (0, 0):
        return LINUX_6_1
    older = [rules for rules in RELEASES if _version(rules.release) <= wanted]
    if not older:
        return RELEASES[0]
    newer = [rules for rules in RELEASES if _version(rules.release) > wanted]
    rules = between(older[-1], newer[0]) if newer and _version(older[-1].release) != wanted else older[-1]
    if rules.release == LINUX_6_12.release and (wanted != (6, 12) or _numbers(release or "") < _OWN_MASK_SINCE):
        return dataclasses.replace(rules, contig_has_own_mask=Either.UNKNOWN)
    return rules


def was_read(release: str) -> bool:
    """Return whether the source of a kernel's *release* was read, so that its rules are its own."""
    return any(_version(rules.release) == _version(release) for rules in RELEASES)


def rules_named(name: str) -> KernelRules:
    """Return the rules that somebody asks for: those with this name, or those of the release ``6.12`` or ``linux-6.12``.

    Raises
    ------
    BadArgument
        It is no release; the message lists the rules that there are.
    """
    both = (between(older, newer) for older, newer in pairwise(RELEASES))
    named = next((rules for rules in (*RELEASES, *both) if name in {rules.name, rules.release}), None)
    if named is not None:
        return named
    release = name.removeprefix("linux-")
    if _version(release) == (0, 0):
        known = ", ".join(rules.name for rules in RELEASES)
        raise BadArgument(f"rules {name!r}: expected the name of a release, such as {known}")
    return rules_of(release)


def between(older: KernelRules, newer: KernelRules) -> KernelRules:
    """Return the rules of a kernel between two releases that were read: the older ones', and where they differ, either."""
    unsure = {
        name: Either.UNKNOWN
        for name in ("migration_writes_tails", "split_has_new_order", "contig_has_own_mask")
        if getattr(older, name) != getattr(newer, name)
    }
    size = older.page_owner_bytes if older.page_owner_bytes == newer.page_owner_bytes else None
    return dataclasses.replace(
        older,
        others=(newer.release,),
        early_stamps=tuple(dict.fromkeys((*newer.early_stamps, *older.early_stamps))),
        page_owner_bytes=size,
        page_owner_has_times=older.page_owner_has_times or newer.page_owner_has_times,
        page_owner_has_free_ts=older.page_owner_has_free_ts or newer.page_owner_has_free_ts,
        **unsure,  # type: ignore[arg-type]
    )


def _version(release: str) -> tuple[int, int]:
    """Return the major and minor number of a release; (0, 0) if it has none."""
    return _numbers(release)[:2]


@lru_cache(maxsize=_KEPT)
def _numbers(release: str) -> tuple[int, int, int]:
    """Return the three numbers of a release; 0 for the third, or for all, if it has none."""
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])(?:\.([0-9]{1,4})(?![0-9]))?", release)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)
