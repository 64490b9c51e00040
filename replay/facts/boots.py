"""What the recordings of a boot say of it, together: a trace alone may say no more than its kernel's release."""

from collections.abc import Sequence
from typing import Final

from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.mmzone import PAGE_SHIFT

_OF_A_TRACE: Final = frozenset({"release", "gfp_flags", "page_shift"})
"""What may be known of the boot of a trace alone: its header, or the operator, says it."""


def says_of_machine(boot: Boot) -> bool:
    """Return whether a boot says something of the machine, and not only of the kernel and the size of pages."""
    return bool(boot.model_dump(exclude=set(_OF_A_TRACE), exclude_defaults=True))


def merged(boots: Sequence[Boot]) -> Boot | None:
    """Return what *boots* say, in their order: the last one that says something of the machine, and what later ones add."""
    if not boots:
        return None
    base = next((i for i in range(len(boots) - 1, -1, -1) if says_of_machine(boots[i])), 0)
    found = boots[base]
    for later in boots[base + 1 :]:
        shift = later.page_shift if later.page_shift != PAGE_SHIFT else found.page_shift
        release, flags = later.release or found.release, later.gfp_flags or found.gfp_flags
        found = found.model_copy(update={"release": release, "gfp_flags": flags, "page_shift": shift})
    return found
