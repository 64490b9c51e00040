"""The clients of page_ext, one file each. A new one is a file here and its line below; a new replay of an old log fills it.

Source: mm/page_ext.c, page_ext_ops (Linux 6.1), in that order.
"""

from typing import Final

from pagetrail.replay.rules.clients.client import Client
from pagetrail.replay.rules.clients.debug import DEBUG
from pagetrail.replay.rules.clients.owner import OWNER
from pagetrail.replay.rules.clients.page_table_check import PAGE_TABLE_CHECK

CLIENTS: Final[tuple[Client, ...]] = (
    OWNER,
    PAGE_TABLE_CHECK,
    DEBUG,
)
