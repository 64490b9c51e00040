"""Copies of per_cpu/cpuN/trace_pipe_raw as a trace.dat: the pages of the rings, behind what the files beside them say of them."""

import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pagetrail.producers.formats.tracepoints.tracing_data import MAGIC, OF_FTRACE
from pagetrail.producers.inputs import UNCOMPRESSED_STEP, open_input
from pagetrail.producers.spool import filled
from pagetrail.schemas.errors import TruncatedInput

_DATA: Final = re.compile(r"field: ?char data;\s*offset:(\d{1,4});\s*size:(\d{1,8});")
_NAME: Final = re.compile(r"^name: (\S+)$", re.MULTILINE)
_TRACE_CLOCK: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRings:
    """What a capture directory has of the rings.

    Attributes
    ----------
    pages
        The copy of each CPU's ring.
    header_page
        The text of events/header_page.
    formats
        The texts of formats of events.
    comms, clock
        The texts of saved_cmdlines and trace_clock.
    """

    pages: Mapping[int, Path]
    header_page: str
    formats: Iterable[str] = field(default_factory=tuple)
    comms: str = ""
    clock: str = ""

    def page_size(self) -> int:
        """Return the bytes of a page of the rings; 0: header_page does not say."""
        found = _DATA.search(self.header_page)
        return 0 if found is None else int(found[1]) + int(found[2])

    def assembled(self, folder: Path | None) -> tuple[BinaryIO, TruncatedInput | None]:
        """Return them as a trace.dat of version 6, which vanishes when it is closed, and why a copy is cut, if one is.

        *folder*: see ``spooled``.

        Raises
        ------
        InputError
            A file cannot be read.
        StorageFull
            No space is left for it.
        """
        cuts: list[TruncatedInput] = []
        return filled(lambda file: self._write(file, cuts), folder, "rings"), next(iter(cuts), None)

    def _write(self, file: BinaryIO, cuts: list[TruncatedInput]) -> None:
        file.write(MAGIC + b"6\0" + struct.pack("<BBI", 0, 8, max(1, self.page_size())))
        file.write(b"header_page\0" + _sized(self.header_page, 8) + b"header_event\0" + _sized("", 8))
        of_ftrace, others = [], dict[str, list[str]]()
        for text in self.formats:
            name = _NAME.search(text)
            if name is None:
                continue
            if name[1] in OF_FTRACE:
                of_ftrace.append(text)
            else:
                others.setdefault("kmem" if name[1].startswith(_OF_KMEM) else "others", []).append(text)
        file.write(struct.pack("<I", len(of_ftrace)) + b"".join(_sized(text, 8) for text in of_ftrace))
        file.write(struct.pack("<I", len(others)))
        for system, texts in others.items():
            file.write(system.encode() + b"\0" + struct.pack("<I", len(texts)))
            file.write(b"".join(_sized(text, 8) for text in texts))
        cpus = max(self.pages, default=0) + 1
        file.write(_sized("", 4) + _sized("", 4) + _sized(self.comms, 8) + struct.pack("<I", cpus))
        file.write(b"options  \0" + struct.pack("<H", _TRACE_CLOCK) + _sized(self.clock, 4) + b"\0\0flyrecord\0")
        at = file.tell()
        file.write(bytes(16 * cpus))
        for cpu, path in self.pages.items():
            start = file.tell()
            with open_input(path) as stream:
                shutil.copyfileobj(stream, file, UNCOMPRESSED_STEP)
            if cut := stream.truncated:
                cuts.append(
                    TruncatedInput(source=f"{path.parent.name}/{path.name}", offset=cut.offset, reason=cut.reason)
                )
                if (file.tell() - start) % max(1, self.page_size()) == 0:
                    file.write(_CUT)
            stop = file.tell()
            file.seek(at + 16 * cpu)
            file.write(struct.pack("<QQ", start, stop - start))
            file.seek(stop)


_CUT: Final = b"\0"
"""Behind whole pages, of which there were more: the reader takes it for the beginning of the next one."""
_OF_KMEM: Final = "mm_page"


def _sized(text: str, size: int) -> bytes:
    data = text.encode(errors="surrogateescape")
    return len(data).to_bytes(size, "little") + data
