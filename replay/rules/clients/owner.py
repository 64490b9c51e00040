"""page_owner: who allocated each page, and who freed it.

Its state is what the rest of the fold is about: records that pages share (``tables.py``), moved by ``block_jit.py`` and
``migrate_jit.py``. It is kept whether or not the recording's kernel had page_owner on, as the events alone tell of owners.
"""

from typing import Final

from pagetrail.replay.rules.clients.client import Client
from pagetrail.schemas.details import Boot

PAGE_OWNER_BYTES: Final = 56
"""struct page_owner: order, last_migrate_reason, gfp_mask, two stack handles, two times, comm[16], pid, tgid; on 64 bit.

Source: mm/page_owner.c (Linux 6.1).
"""


def need_page_owner(boot: Boot | None) -> bool:
    """Whether page_owner was on. Source: mm/page_owner.c, need_page_owner (Linux 6.1)."""
    return boot is not None and "owner" in boot.page_ext_clients


OWNER: Final = Client(name="owner", size=PAGE_OWNER_BYTES, need=need_page_owner)
