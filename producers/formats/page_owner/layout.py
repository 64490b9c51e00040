"""The arrays that the jit functions of the page_owner parser share: which row, column or slot holds what."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Number = Any
"""An int64; without the JIT it may be a plain int."""

ABSENT: Final = np.iinfo(np.int64).min

# Rows of the field matrix, and of the tables of distinct texts (COMM, STACK, CGROUP, FLAG_NAMES minus COMM).
PFN, ORDER, GFP, PID, TGID, TS, FREE_TS, MIGRATETYPE, BLOCK_MIGRATETYPE, REASON, FLAGS, MEMCG = range(12)
COMM, STACK, CGROUP, FLAG_NAMES = range(12, 16)
HANDLE: Final = 16
FIELDS: Final = 17
TEXTS: Final = 4

# What the parser is doing, and the slots of its state.
READING, SKIPPING_LINES, SKIPPING_LINE = range(3)
POSITION, LINE, MODE, ROWS, ODD, EMPTY, SKIPPED, AT_END, FIRST = range(9)
STATE: Final = 9

# The columns of an odd region: number of its first line, begin and end in the buffer, rows before it, whether it is cut.
ODD_LINE, ODD_BEGIN, ODD_END, ODD_ROW, ODD_CUT = range(5)
ODD_FIELDS: Final = 5

# Outcomes of one record.
WHOLE, INCOMPLETE, MALFORMED = range(3)

MAX_RECORD: Final = 1 << 17
"""Longer is no record: the kernel prints at most one page of text each (64 KiB on some machines)."""

# Bytes of the text.
NEWLINE, SPACE, MINUS, ZERO, NINE = 10, 32, 45, 48, 57
