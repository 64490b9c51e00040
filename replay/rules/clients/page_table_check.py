"""page_table_check: how often each page is mapped. No event reports that, so the client takes bytes but holds no values here."""

from typing import Final

from pagetrail.replay.rules.clients.client import Client
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux import page_ext


def need_page_table_check(boot: Boot | None) -> bool:
    """Whether page_table_check was on. Source: mm/page_table_check.c, need_page_table_check (Linux 6.1)."""
    return boot is not None and page_ext.PAGE_TABLE_CHECK in boot.page_ext_clients


PAGE_TABLE_CHECK: Final = Client(
    name=page_ext.PAGE_TABLE_CHECK, size=page_ext.PAGE_TABLE_CHECK_BYTES, need=need_page_table_check
)
