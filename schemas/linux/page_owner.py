"""page_owner: the sizes of its record of a page, and its stamp on pages that were allocated before it started.

Source: mm/page_owner.c.
"""

from typing import Final, NamedTuple


class EarlyStamp(NamedTuple):
    """The fields that page_owner writes on pages that are allocated when it starts, and on some that are on a per-cpu list.

    *pid* and *comm* are null for a kernel whose page_owner does not keep them.
    """

    order: int
    gfp_mask: int
    pid: int | None
    comm: str | None


TASK_COMM_LEN: Final = 16
"""Bytes of a task's name, with the 0 that ends it. Source: include/linux/sched.h (Linux 6.1); page_owner copies it whole."""

PAGE_OWNER_BYTES: Final = 56
"""struct page_owner: order, last_migrate_reason, gfp_mask, two stack handles, two times, comm[16], pid, tgid; on 64 bit.

Source: mm/page_owner.c, struct page_owner (Linux 6.1).
"""

PAGE_OWNER_BYTES_5_10: Final = 16
"""Without times, comm, pid and tgid. Source: mm/page_owner.c, struct page_owner (Linux 5.10)."""

PAGE_OWNER_BYTES_6_12: Final = 64
"""With free_pid and free_tgid besides. Source: mm/page_owner.c, struct page_owner (Linux 6.12, 7.2)."""

EARLY_STAMP: Final = EarlyStamp(order=0, gfp_mask=0, pid=1, comm="swapper/0")
"""Source: mm/page_owner.c, init_pages_in_zone (Linux 6.1): __set_page_owner_handle with order 0 and gfp 0, by the init thread."""

EARLY_STAMP_5_10: Final = EarlyStamp(order=0, gfp_mask=0, pid=None, comm=None)
"""Source: mm/page_owner.c, init_pages_in_zone (Linux 5.10); its records have no pid and no comm."""

BOOT_STAMP: Final = EarlyStamp(order=0, gfp_mask=0, pid=0, comm="swapper")
"""Where struct pages are not deferred, page_ext starts before there are threads, at time 0; in 6.1, where early_page_ext says so.

Source: mm/mm_init.c, mm_core_init; mm/page_owner.c, init_page_owner (Linux 6.12, 7.2); init/main.c, mm_init (Linux 6.1).
"""

MEMCG_SLAB: Final = 1
"""Bit of ``memcg_flags``: "Slab cache page". Source of the three: mm/page_owner.c, print_page_owner_memcg (Linux 6.1)."""

MEMCG_OBJCG: Final = 2
"""Bit of ``memcg_flags``: "(via objcg)"."""

MEMCG_OFFLINE: Final = 4
"""Bit of ``memcg_flags``: "offline memcg"."""


def memcg_lines(flags: int, cgroup: str | None) -> list[str]:
    """Return the lines on the memory cgroup of a page; *cgroup* is its name, null where there is none.

    Source: mm/page_owner.c, print_page_owner_memcg (Linux 6.1).
    """
    lines = ["Slab cache page"] if flags & MEMCG_SLAB else []
    if cgroup is not None:
        via, offline = "(via objcg) " * bool(flags & MEMCG_OBJCG), "offline " * bool(flags & MEMCG_OFFLINE)
        lines.append(f"Charged {via}to {offline}memcg {cgroup}")
    return lines
