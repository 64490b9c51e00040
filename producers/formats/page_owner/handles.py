"""Handles in place of stacks: what page_owner prints in mode=handle, and which stack each means, as show_stacks_handles says.

A handle is of one boot: that of another is another stack, or none. The list of stacks only grows while a kernel runs: it should be
read after the dump. It lacks the stack of pages from before page_owner started, and stacks for which it got no memory.

Source: mm/page_owner.c, stack_print, init_pages_in_zone and add_stack_record_to_list (Linux 7.2); print_page_owner (a series of May
2026).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.page_owner.layout import ABSENT

Handles = Mapping[int, str]
"""The stack of each handle of a boot: a frame a line."""


class NamedStacks:
    """The stacks of a dump's records that are named by handles.

    Attributes
    ----------
    records
        How many records have a handle and no stack.
    unknown
        Of how many of them the stack is not known.
    """

    def __init__(self, stacks: Handles) -> None:
        self._stacks = stacks
        self.records = self.unknown = 0

    def fill(
        self, indices: NDArray[np.int32], known: list[str], handles: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], list[str]]:
        """Return *indices* into the texts *known*, -1 for none, and the texts, with the stacks of *handles* filled in."""
        there = handles != ABSENT
        if not there.any():
            return indices, known
        places = np.flatnonzero(there & (indices < 0))
        named, which = np.unique(handles[places], return_inverse=True)
        numbers = {text: number for number, text in enumerate(known)}
        found = [self._stacks.get(handle) for handle in named.tolist()]
        own = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in found]
        filled = indices.copy()
        filled[places] = np.array(own, dtype=np.int32)[which] if own else -1
        self.records += len(places)
        self.unknown += int((filled[places] < 0).sum())
        return filled, list(numbers)

    def said(self, remedy: str) -> str | None:
        """Return, for the user, how many stacks are unknown, and what to give; null: none is."""
        if not self.unknown:
            return None
        why = (
            "show_stacks_handles does not have"
            if self._stacks
            else "only show_stacks_handles of the same boot explains"
        )
        return f"{self.unknown:,} of its records name their stack by a handle that {why}: these stacks are unknown; {remedy}"
