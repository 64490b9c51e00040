"""Call chains of the kernel as stacks: where it was, a record of perf's says."""

import struct
from typing import Final

from pagetrail.producers.formats.perf_data.perf_event import RECORD_HEAD
from pagetrail.producers.formats.tracepoints.addresses import Addresses

_KERNEL: Final = b"[kernel.kallsyms]"


class Chains(Addresses):
    """Makes text of call chains."""

    def take_map(self, record: bytes, second: bool) -> None:
        """Take the record that says where the kernel is: from where to where, and the address of its first symbol.

        Source: tools/perf/util/synthetic-events.c, __perf_event__synthesize_kernel_mmap (Linux 6.1).
        """
        at = RECORD_HEAD + 8
        name = record[at + 24 + (32 if second else 0) :].split(b"\0")[0]
        if not name.startswith(_KERNEL) or len(record) < at + 24:
            return
        start, size, first = struct.unpack_from("<QQQ", record, at)
        self.place(start, start + size, first, name.removeprefix(_KERNEL).decode(errors="backslashreplace"))
