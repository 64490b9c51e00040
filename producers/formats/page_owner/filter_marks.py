"""What may come from a filter: a dump in which all pages are of one process, or of one node that is not the first.

A filter leaves no other mark. Where there is no node but node 0, the machine may have no other; but a kernel that prints handles in
place of stacks was told so in the same way as it is told to filter nodes, and there node 0 alone is in doubt, too.

Source: mm/page_owner.c, print_page_owner (Linux 5.11: pid, 5.18: tgid); lib/vsprintf.c, format_page_flags (Linux 5.12: node=).
"""

import re
from typing import Final

import numpy as np

from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import absent

_NODE: Final = re.compile(rb"[(|]node=(\d+)\D")
"""A number is whole where something follows it: pieces of a text end anywhere."""

_HANDLE: Final = b"\nhandle: "

_LONGEST: Final = 24
"""Bytes of a node's number with its name, at most."""


class FilterMarks:
    """The processes and nodes that a dump names, as far as it matters whether there are several."""

    def __init__(self) -> None:
        self._seen: dict[str, set[int]] = {"pid": set(), "tgid": set()}
        self._node: bytes | None = None
        self._end = b""
        self._other_node: re.Pattern[bytes] | None = None

    def see_text(self, data: bytes) -> None:
        """Look for nodes in a piece of the text, and where it meets the one before."""
        data = self._end + data
        self._end = data[-_LONGEST:]
        if self._node is None:
            found = _NODE.search(data)
            if found is None or (int(found[1]) == 0 and _HANDLE not in data):  # nothing follows from node 0
                self._node = None if found is None else b"0"
                return
            self._node = found[1]
            self._other_node = re.compile(rb"[(|]node=(?!" + found[1] + rb"\D)\d+\D")
        if self._other_node is not None and self._other_node.search(data):
            self._other_node = None

    def see_owners(self, batch: EventBatch) -> None:
        """Look at the owners of records."""
        for name, seen in self._seen.items():
            if len(seen) > 1 or name not in batch.columns:
                continue
            values = np.asarray(batch.columns[name])
            values = values[values != absent(name)]
            if values.size:
                seen |= {int(values.min()), int(values.max())}

    def note(self, tally: Tally) -> None:
        """Note what was seen in all of the dump."""
        for name, seen in self._seen.items():
            if len(seen) == 1:
                tally.may_be_filtered(f"all its records are of {name} {next(iter(seen))}, as a filter leaves them")
                break
        if self._other_node is not None and self._node is not None:
            tally.may_be_filtered(f"all its records are of node {self._node.decode()}, as a filter leaves them")
