"""A stretch's digest: over facts alone, never over how they came (no offsets, dense ids, frame numbers or batch sizes)."""

import json
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.facts import Facts, plain
from pagetrail.schemas.owner import VALUE_DTYPE

_TEXT_FIELDS = ("comm", "free_comm")
_STACK_FIELDS = ("stack", "free_stack")
_NO_FACT = ("pages",)
_VALUE_FACTS = tuple(name for name in VALUE_DTYPE.names or () if name != "field")


def spans_digest(
    runs: NDArray[np.void], records: NDArray[np.void], comms: Sequence[str], stack_ids: Sequence[int]
) -> bytes:
    """Return the BLAKE2b-256 of spans, whatever order they come in: stacks by their 64-bit id, comms by their text."""
    order = np.lexsort((runs["end_seq"], records["begin_seq"], runs["pfn"], runs["kernel_view"]))
    found = blake2b(digest_size=32)
    for name in runs.dtype.names or ():
        found.update(np.ascontiguousarray(runs[name][order]).tobytes())
    text = np.array([_text_id(comm) for comm in comms] + [0], np.int64)
    stack = np.array([*stack_ids, 0], np.int64)
    for name in records.dtype.names or ():
        if name in _NO_FACT:
            continue
        column = records[name][order]
        if name in _TEXT_FIELDS:
            column = text[column]
        elif name in _STACK_FIELDS:
            column = stack[column]
        found.update(np.ascontiguousarray(column).tobytes())
    return found.digest()


def rows_digest(rows: NDArray[np.void]) -> bytes:
    """Return the BLAKE2b-256 of rows, whatever order they come in; not of the padding between their fields."""
    names = rows.dtype.names or ()
    order = np.lexsort([rows[name] for name in names])
    found = blake2b(digest_size=32)
    for name in names:
        found.update(np.ascontiguousarray(rows[name][order]).tobytes())
    return found.digest()


def values_digest(closed: NDArray[np.void], live: NDArray[np.void], fields: Sequence[str]) -> list[bytes]:
    """Return for each field of page_ext's clients its name and the BLAKE2b-256 of its spans; nothing where there is none."""
    found = []
    for index, name in enumerate(fields):
        parts = [rows[rows["field"] == index][list(_VALUE_FACTS)] for rows in (closed, live)]
        found += [name.encode(), *(rows_digest(part) for part in parts)]
    return found


def facts_digest(facts: Facts) -> bytes:
    """Return the BLAKE2b-256 of what a stream's state holds beside its pages."""
    said = plain(facts)
    del said["clients"], said["fields"]  # what is held of pages is digested where it is
    for part in said["recordings"]:
        del part["next_frame"]
    return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=32).digest()


def join_digests(*parts: bytes) -> str:
    """Return the digest of digests, as hex."""
    return blake2b(b"".join(len(part).to_bytes(8, "little") + part for part in parts), digest_size=32).hexdigest()


def _text_id(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
