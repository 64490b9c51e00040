"""The sum over spans in a state digest, column by column: what packed spans have to add up to."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.store.state_digest import ABSENT_HASHED, _ranges_sum, name_hash, wide
from pagetrail.schemas.owner import RECORD_DTYPE, RUN_DTYPE
from pagetrail.schemas.structs import taken

_TEXTS: Final = ("comm", "free_comm")
_STACKS: Final = ("stack", "free_stack")
_SPAN: Final = (RECORD_DTYPE.names or ()) + tuple(n for n in (RUN_DTYPE.names or ()) if n not in ("pfn", "nr_pages"))
"""The fields of a span that are hashed for each of its pages."""


def spans_sum(runs: NDArray[np.void], records: NDArray[np.void], comms: Sequence[str], stack_ids: Sequence[int]) -> int:
    """Return the sum over spans, row by row RUN_DTYPE and RECORD_DTYPE, without those that cover no instant."""
    texts = np.array([*(name_hash(comm) for comm in comms), 0], np.uint64)
    stacks = np.array([*(stack_id & ((1 << 64) - 1) for stack_id in stack_ids), 0], np.uint64)
    lasted = records["begin_seq"] != runs["end_seq"]
    if not lasted.all():
        runs, records = taken(runs, lasted), taken(records, lasted)
    columns: dict[str, NDArray[Any]] = {}
    for name in _SPAN:
        column = (runs if name in (RUN_DTYPE.names or ()) else records)[name]
        if name in _TEXTS or name in _STACKS:
            hashes = (texts if name in _TEXTS else stacks)[column]
            columns[name] = np.where(column < 0, ABSENT_HASHED, hashes)
        else:
            columns[name] = wide(column)
    return _ranges_sum(columns, runs["pfn"], runs["nr_pages"])
