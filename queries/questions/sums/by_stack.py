"""Sums of pages by stack, as the kernel has them in page_owner_stacks, compared with what replay says of that instant."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.producers.formats.page_owner.stack_sums import read_stack_sums
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import Asked, rows_in_parts
from pagetrail.queries.core.stream import Stream

STACK_AUDIT_SCHEMA: Final = pa.schema(
    [
        pa.field(
            "stack", pa.utf8(), metadata={"doc": "canonical form: innermost first, a frame a line; null: not recorded"}
        ),
        pa.field(
            "kernel_pages", pa.int64(), metadata={"doc": "pages that the file says; null: it does not have the stack"}
        ),
        pa.field("pages", pa.int64(), metadata={"doc": "pages that replay has, in the kernel's view"}),
        pa.field("certain_pages", pa.int64(), metadata={"doc": "those that are certain of their owner"}),
        pa.field("class", pa.utf8(), metadata={"doc": "agree, or how they differ"}),
    ]
)
"""A row a stack, those that differ most first."""

AGREE, NOT_COUNTED, FEWER, TOO_FEW, MORE, NOT_RECORDED = STACK_CLASSES = (
    "agree",
    "early: the kernel does not count them",
    "fewer in the kernel: as many may be wrong here",
    "fewer in the kernel than are certain here",
    "more in the kernel",
    "stack not recorded",
)
"""How the sums of a stack may differ."""

_EARLY: Final = "register_early_stack"
"""The stack of pages that were allocated before page_owner started has no count.

Source: mm/page_owner.c, init_pages_in_zone and __reset_page_owner (Linux 6.12, 7.2)."""

_COLUMNS: Final = ("state", "nr_pages", "uncertain", "stack", "kernel_says")

_OF_THE_STACK: Final = r"\b(state|pid)\b"
"""A page is certain of its stack if it is certain of being owned, and by whom: a migration copies both."""


def audit_stacks(stream: Stream, files: Sequence[Path], at: Instant) -> pa.Table:
    """Return the sums of pages by stack that *files* have against those of replay at an instant: ``STACK_AUDIT_SCHEMA``.

    Raises
    ------
    InputError
        The files do not have such sums.
    """
    theirs = read_stack_sums(files)
    ours = pages_by_stack(stream, at)
    rows = [
        _row(stack, theirs.get(stack) if stack is not None else None, *ours.get(stack, (0, 0)))
        for stack in dict.fromkeys([*theirs, *ours])
    ]
    rows.sort(
        key=lambda row: (row["class"] == AGREE, -abs((row["kernel_pages"] or 0) - row["pages"]), row["stack"] or "")
    )
    return pa.Table.from_pylist(rows, schema=STACK_AUDIT_SCHEMA)


def pages_by_stack(stream: Stream, at: Instant) -> dict[str | None, tuple[int, int]]:
    """Return (pages, certain pages) by stack, as the kernel has them: where its own record is known to be wrong, that one."""
    sums: dict[str | None, tuple[int, int]] = {}
    for part in rows_in_parts(stream, at, Asked(columns=_COLUMNS)):
        says = part["kernel_says"].combine_chunks()
        own = says.is_valid()
        state = pc.if_else(own, says.field("state"), part["state"])
        stack = pc.if_else(own, says.field("stack"), part["stack"])
        owned = pc.equal(state, "owned")
        unsure = pc.match_substring_regex(pc.binary_join(part["uncertain"], " "), _OF_THE_STACK)
        sure = pc.invert(pc.or_(unsure, own))
        pages = part["nr_pages"]
        found = pa.table({"stack": stack, "pages": pages, "sure": pc.if_else(sure, pages, 0)}).filter(owned)
        for row in found.group_by("stack").aggregate([("pages", "sum"), ("sure", "sum")]).to_pylist():
            before = sums.get(row["stack"], (0, 0))
            sums[row["stack"]] = before[0] + row["pages_sum"], before[1] + row["sure_sum"]
    return sums


def _row(stack: str | None, kernel: int | None, pages: int, certain: int) -> dict[str, Any]:
    return {
        "stack": stack, "kernel_pages": kernel, "pages": pages, "certain_pages": certain,
        "class": _class(stack, kernel or 0, pages, certain),
    }  # fmt: skip


def _class(stack: str | None, kernel: int, pages: int, certain: int) -> str:
    if stack is None:
        return NOT_RECORDED
    if kernel == pages:
        return AGREE
    if kernel < pages:
        early = stack.split("\n", 1)[0] == _EARLY
        return NOT_COUNTED if early and not kernel else FEWER if kernel >= certain else TOO_FEW
    return MORE
