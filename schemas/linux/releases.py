"""The differences between kernels, as data: one value for each release, chosen by the release of a recording's kernel.

The fold is compiled once: ``KernelRules.packed`` gives the numbers of a release for its array of options.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1, GFP_MOVABLE, format_gfp, parse_gfp
from pagetrail.schemas.linux.gfp_tables import GFP_TABLES
from pagetrail.schemas.linux.migrate import MIGRATE_REASON_NAMES
from pagetrail.schemas.linux.mmzone import MAX_ORDER, MIGRATETYPE_NAMES
from pagetrail.schemas.linux.page_ext import PAGE_EXT_BYTES, PAGE_EXT_GFP
from pagetrail.schemas.linux.page_owner import EARLY_STAMP, PAGE_OWNER_BYTES, EarlyStamp


class PackedRules(NamedTuple):
    """The numbers of a release that the fold's jit functions read, in their order in the array of options."""

    gfp_comp: int
    gfp_isolated: int
    early_order: int
    early_gfp: int
    early_pid: int


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
    early_stamp
        The stamp that page_owner gives pages that were allocated before it started.
    page_owner_bytes, page_ext_bytes
        Sizes of struct page_owner and of struct page_ext: every page has the latter's flags beside the clients' data.
    max_order
        Blocks have orders 0 to max_order - 1.
    migration_writes_tails
        Whether a migration copies the owner to every page of the new block; otherwise only to its first page.
    split_has_new_order
        Whether a split may be to any lower order; otherwise it is always to single pages.
    """

    release: str
    gfp_flags: Mapping[str, int]
    gfp_isolated: int
    gfp_page_ext: int
    migratetype_names: tuple[str, ...]
    migrate_reason_names: tuple[str, ...]
    early_stamp: EarlyStamp
    page_owner_bytes: int
    page_ext_bytes: int
    max_order: int
    migration_writes_tails: bool
    split_has_new_order: bool

    def packed(self, recorded: Mapping[str, int]) -> PackedRules:
        """Return the numbers that the fold's jit functions read.

        Parameters
        ----------
        recorded
            The bits of each gfp flag, by the name that the recording's own kernel prints; may be empty. They take precedence,
            because bits also depend on the kernel's configuration.
        """
        return PackedRules(
            gfp_comp=recorded.get("__GFP_COMP", self.gfp_flags["__GFP_COMP"]), gfp_isolated=self.gfp_isolated,
            early_order=self.early_stamp.order, early_gfp=self.early_stamp.gfp_mask, early_pid=self.early_stamp.pid,
        )  # fmt: skip


LINUX_6_1: Final = KernelRules(
    release="6.1",
    gfp_flags=GFP_FLAGS_6_1,
    gfp_isolated=GFP_MOVABLE,  # mm/compaction.c, split_map_pages
    gfp_page_ext=PAGE_EXT_GFP,
    migratetype_names=MIGRATETYPE_NAMES,
    migrate_reason_names=MIGRATE_REASON_NAMES,
    early_stamp=EARLY_STAMP,
    page_owner_bytes=PAGE_OWNER_BYTES,
    page_ext_bytes=PAGE_EXT_BYTES,
    max_order=MAX_ORDER,
    migration_writes_tails=False,  # mm/page_owner.c, __folio_copy_owner
    split_has_new_order=False,  # mm/page_owner.c, __split_page_owner
)
"""Read in Linux 6.1.192."""


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
        Whether they are the names of the kernel that was recorded.
    """

    flags: Mapping[str, int]
    read_for: str
    known: bool


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
        return GfpReading(flags=GFP_TABLES[chosen], read_for=f"Linux {chosen}", known=True)
    between = f"Linux {chosen} or {newer[0]}" if older and newer else f"Linux {chosen}"
    return GfpReading(flags=GFP_TABLES[chosen], read_for=between, known=False)


def gfp_read_as(read_for: str) -> Mapping[str, int]:
    """Return the names that were taken for a ``GfpReading.read_for`` of a kernel that is not known: those of its first release."""
    named = (name for name in re.findall(r"\d+\.\d+", read_for) if name in GFP_TABLES)
    return GFP_TABLES[next(named, "6.1")]


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


RELEASES: Final[tuple[KernelRules, ...]] = (LINUX_6_1,)
"""The releases whose source was read, the oldest first. Another one is a value, and a line here."""


def rules_of(release: str | None) -> KernelRules:
    """Return the rules for the kernel *release* (``uname -r``; null: not recorded): those of the latest of ``RELEASES`` up to it.

    A kernel that is older than all of them, or whose release cannot be read, gets the rules of the oldest.
    """
    wanted = _version(release or "")
    older = [rules for rules in RELEASES if _version(rules.release) <= wanted]
    return older[-1] if older else RELEASES[0]


def _version(release: str) -> tuple[int, int]:
    """Return the major and minor number of a release; (0, 0) if it has none."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})(?!\d)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
