"""page_table_check: how often each page is mapped. No event tells of that: it takes bytes, and holds nothing here."""

from typing import Final

from pagetrail.replay.rules.clients.client import Client
from pagetrail.schemas.details import Boot

PAGE_TABLE_CHECK_BYTES: Final = 8
"""struct page_table_check: two counters. Source: mm/page_table_check.c (Linux 6.1)."""


def need_page_table_check(boot: Boot | None) -> bool:
    """Whether it was on. Source: mm/page_table_check.c, need_page_table_check (Linux 6.1)."""
    return boot is not None and "page_table_check" in boot.page_ext_clients


PAGE_TABLE_CHECK: Final = Client(name="page_table_check", size=PAGE_TABLE_CHECK_BYTES, need=need_page_table_check)
