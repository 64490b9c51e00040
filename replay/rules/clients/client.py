"""What a client of page_ext is: struct page_ext_operations, and how the log feeds it.

Source: include/linux/page_ext.h and mm/page_ext.c (Linux 6.1): size, need and init.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pagetrail.replay.fold.decode import Events
from pagetrail.replay.fold.tables import Array
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.owner import ABSENT64

UNKNOWN: Final = ABSENT64
"""The value of a field of which nothing has been told."""

PAGE_KINDS: Final = frozenset(
    {
        Kind.ALLOC, Kind.FREE, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.DRAIN, Kind.REFILL, Kind.EXTFRAG,
        Kind.POISON, Kind.UNPOISON, Kind.GUARD, Kind.UNGUARD,
    }
)  # fmt: skip
"""Kinds that say something of the pages of a block or a range: a client may ask for any of them."""


class Said(NamedTuple):
    """What n events say of their pages: one value of one field each; field -1: nothing.

    A value means the same in every replay: no dense id of a comm or a stack.
    """

    field: Array  # int8 (n,) index into the client's fields
    value: Array  # int64 (n,)


def _says_nothing(events: Events) -> Said:
    return Said(field=np.full(events.kind.size, -1, np.int8), value=np.zeros(events.kind.size, np.int64))


def _nothing_known() -> int:
    return UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client.

    Attributes
    ----------
    name
        As it stands in the recording's ``Boot.page_ext_clients``, in fold names and in the store.
    size
        Bytes a page that it asks the kernel for, beside page_ext's own flags; 0 for a client that the kernel does not have.
    need
        Whether the kernel of a recording needed it. Asked once at the beginning (with None) and at each BOOT; what was
        needed once is kept.
    fields
        What it holds of each page: one int64 each.
    kinds
        The events that it wants to hear of, of ``PAGE_KINDS``. Those that cannot be (unaligned, beyond the machine) never come.
    init
        The value of each field on the pages of an extension that was just seen to be allocated. Where only its being there
        is known, nothing is known of its pages.
    says
        What events of ``kinds`` say, in their order.
    """

    name: str
    size: int
    need: Callable[[Boot | None], bool]
    fields: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset()
    init: Callable[[], int] = _nothing_known
    says: Callable[[Events], Said] = _says_nothing
