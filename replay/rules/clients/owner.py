"""page_owner: who allocated each page, and who freed it.

The rest of the fold keeps its state: records that pages share (``tables.py``), changed by ``block_jit.py`` and
``migrate_jit.py``. It is kept whether or not the recording's kernel had page_owner on, because events alone show owners.
"""

from typing import Final

from pagetrail.replay.rules.clients.client import Client
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux import page_ext
from pagetrail.schemas.linux.page_owner import PAGE_OWNER_BYTES


def need_page_owner(boot: Boot | None) -> bool:
    """Whether page_owner was on. Source: mm/page_owner.c, need_page_owner (Linux 6.1)."""
    return boot is not None and page_ext.OWNER in boot.page_ext_clients


OWNER: Final = Client(name=page_ext.OWNER, size=PAGE_OWNER_BYTES, need=need_page_owner)
