"""A client of page_ext: struct page_ext_operations, and how the log feeds it.

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
"""The value of a field that no event has reported."""

PAGE_KINDS: Final = frozenset(
    {
        Kind.ALLOC, Kind.FREE, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.DRAIN, Kind.REFILL, Kind.EXTFRAG,
        Kind.POISON, Kind.UNPOISON, Kind.GUARD, Kind.UNGUARD,
    }
)  # fmt: skip
"""Kinds of events on the pages of a block or a range: a client may ask for any of them."""


class FieldValues(NamedTuple):
    """The values that n events give their pages: one value of one field each; field -1: none.

    A value has the same meaning in every replay, so it cannot be the dense id of a comm or a stack.
    """

    field: Array  # int8 (n,) index into the client's fields
    value: Array  # int64 (n,)


def _says_nothing(events: Events) -> FieldValues:
    return FieldValues(field=np.full(events.kind.size, -1, np.int8), value=np.zeros(events.kind.size, np.int64))


def _nothing_known() -> int:
    return UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client.

    Attributes
    ----------
    name
        Its name in the recording's ``Boot.page_ext_clients``, in fold names and in the store.
    size
        Bytes a page that it takes in the kernel, beside page_ext's own flags; 0 for a client that the kernel does not have.
    need
        Whether the kernel of a recording needed it. Called once at the beginning (with None) and at each BOOT; a client that was
        needed once is kept.
    fields
        The fields that it holds for each page: one int64 each.
    kinds
        The kinds of events, out of ``PAGE_KINDS``, that it receives. It never receives impossible ones (unaligned, beyond the
        machine).
    init
        The value of each field on the pages of an extension whose allocation was seen. Where only its existence is known, the
        values of its pages are unknown.
    says
        The values that events of ``kinds`` give, in their order.
    """

    name: str
    size: int
    need: Callable[[Boot | None], bool]
    fields: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset()
    init: Callable[[], int] = _nothing_known
    says: Callable[[Events], FieldValues] = _says_nothing
