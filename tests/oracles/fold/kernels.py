"""What kernels of different releases do differently, once more: by the release that the first boot event gives.

Linux 5.10 and 6.1 copy the owner of a migrated block to its head and isolate contiguous ranges with mask 0x8; 6.12 and 7.2 copy
it to every page and stamp contiguous ranges with the caller's mask. A kernel between 6.1 and 6.12 may do either; with contiguous
ranges, so may all up to 7.2 but 6.12.117 and what followed it in its branch.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What one release does."""

    tails: str = "no"
    """Whether a migration writes the tails of the new block: no, yes or either."""
    contig: str = "isolated"
    """How pages of a contiguous range are stamped: isolated, by the caller, or either."""
    early: frozenset[tuple[int | None, str | None]] = frozenset({(1, "swapper/0"), (0, "swapper")})
    """pid and comm of the stamps of early pages."""


BEFORE_6_12 = Kernel()
NO_TIMES = Kernel(early=frozenset({(None, None)}))
SINCE_6_12 = Kernel(tails="yes", contig="caller", early=frozenset({(0, "swapper"), (1, "swapper/0")}))


def kernel_of(release: str | None) -> Kernel:
    """Return what the kernel of a release does; one that is not known is taken for a 6.1."""
    digits = [part for part in (release or "").split("-")[0].split(".")[:2] if part.isdecimal()]
    if len(digits) < 2:
        return BEFORE_6_12
    version = (int(digits[0]), int(digits[1]))
    if version <= (5, 10):
        return NO_TIMES
    if version < (6, 1):
        return Kernel(early=frozenset({(1, "swapper/0"), (None, None)}))
    if version == (6, 1):
        return BEFORE_6_12
    if version < (6, 12):
        return Kernel(tails="either", contig="either", early=SINCE_6_12.early)
    third = (release or "").split("-")[0].split(".")[2:3]
    patch = int(third[0]) if third and third[0].isdecimal() else 0
    seen = version >= (7, 2) or (version == (6, 12) and patch >= 117)
    return SINCE_6_12 if seen else Kernel(tails="yes", contig="either", early=SINCE_6_12.early)
