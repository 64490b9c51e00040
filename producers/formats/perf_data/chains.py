"""Call chains of the kernel as stacks: where it was, a record of perf's says."""

import re
import struct
from typing import Final

from pagetrail.producers.formats.perf_data.perf_event import RECORD_HEAD
from pagetrail.producers.formats.tracepoints.addresses import Addresses

_KERNEL: Final = b"[kernel.kallsyms]"


class Chains(Addresses):
    """Makes text of call chains."""

    def take_map(self, record: bytes, second: bool) -> None:
        """Take the record that says where the kernel is: from where to where, and the address of its first symbol;
        or where a module is.

        Source: tools/perf/util/synthetic-events.c, __perf_event__synthesize_kernel_mmap (Linux 6.1).
        """
        at = RECORD_HEAD + 8
        name = record[at + 24 + (32 if second else 0) :].split(b"\0")[0]
        if len(record) < at + 24:
            return
        start, size, first = struct.unpack_from("<QQQ", record, at)
        if name.startswith(_KERNEL):
            self.place(start, start + size, first, name.removeprefix(_KERNEL).decode(errors="backslashreplace"))
        elif module := _MODULE.fullmatch(name):
            self.module((module[1] or module[2]).decode().replace("-", "_"), start, start + size)


_MODULE: Final = re.compile(rb"\[([\w-]{1,64})\]|.*/([\w-]{1,64})\.ko(?:\.\w{2,4})?", re.DOTALL | re.ASCII)
"""Source: tools/perf/util/synthetic-events.c, perf_event__synthesize_modules (Linux 6.1)."""
