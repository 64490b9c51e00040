"""page_ext: which clients have an extension of each page, and how many bytes it takes.

Source: mm/page_ext.c (Linux 6.1): page_ext_size is sizeof(struct page_ext) and the size of every client that is needed.
"""

from typing import Final

from pagetrail.schemas.details import Boot

PAGE_EXT_BYTES: Final = 8
"""struct page_ext: its flags. Source: include/linux/page_ext.h (Linux 6.1)."""

CLIENT_BYTES: Final = {"owner": 56, "page_table_check": 8, "debug": 0}
"""Bytes of a client's own data, Linux 6.1 on 64 bit. struct page_owner (mm/page_owner.c): order, last_migrate_reason, gfp_mask,
two stack handles, two times, comm[16], pid, tgid; struct page_table_check (mm/page_table_check.c): two counters. The poison
and guard flags of 3.19 live in page_ext's own flags."""


def bytes_a_page(boot: Boot | None) -> int | None:
    """Return the size of the extension of one page, by the clients that are on; null where they are not known."""
    if boot is None or not boot.page_ext_clients:
        return None
    return PAGE_EXT_BYTES + sum(CLIENT_BYTES.get(client, 0) for client in boot.page_ext_clients)
