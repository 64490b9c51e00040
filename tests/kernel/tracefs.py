"""Record kmem events of the kernel that runs the tests, as docs/guide.md says for one without page_owner."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.shared import alone

TRACEFS: Final = Path("/sys/kernel/tracing")
EVENTS: Final = ("mm_page_alloc", "mm_page_free", "mm_page_pcpu_drain")
RINGS_KB: Final = 160_000
"""Of all CPUs together: some 4,500,000 events, of which a quiet machine makes a twentieth."""

_LOCK: Final = Path(tempfile.gettempdir()) / "pagetrail-tests-tracefs.lock"

BEGIN: Final = "1-begin"
END: Final = "2-end"


class MissingTracefs(Exception):
    """Tracing cannot be had here; the reason."""


@contextmanager
def instance(name: str) -> Iterator[Path]:
    """Give an instance of ftrace that no one else uses; nothing of it is left, and tracing is off, whatever happens."""
    folder = TRACEFS / "instances" / name
    with mounted():
        try:
            if not Path("/proc/kpageflags").exists() or not (TRACEFS / "events/kmem/mm_page_alloc").is_dir():
                raise MissingTracefs("the kernel has no kpageflags, or no kmem events")
            with Path("/proc/kpageflags").open("rb", buffering=0) as flags:
                flags.read(8)
            folder.mkdir()
        except OSError as error:
            raise MissingTracefs(str(error)) from error
        try:
            yield folder
        finally:
            (folder / "tracing_on").write_text("0")
            (folder / "set_event").write_text("\n")
            folder.rmdir()


@contextmanager
def mounted() -> Iterator[None]:
    """Have tracefs mounted, for this alone unless it was before; no other process of the tests unmounts it meanwhile."""
    with alone(_LOCK):
        mine = _mounted()
        try:
            yield
        finally:
            if mine:
                subprocess.run(["umount", TRACEFS], check=True)


def _mounted() -> bool:
    """Mount tracefs if it is not mounted, and return whether that was needed."""
    if (TRACEFS / "instances").is_dir():
        return False
    if os.geteuid() != 0 or not TRACEFS.is_dir():
        raise MissingTracefs("tracefs is not mounted, and only root can mount it")
    mount = subprocess.run(["mount", "-t", "tracefs", "nodev", TRACEFS], capture_output=True, text=True)
    if mount.returncode:
        raise MissingTracefs(mount.stderr.strip())
    return True


def record(ftrace: Path, out: Path) -> None:
    """Record a small workload into the capture directory *out*, between two snapshots, with the instance *ftrace*."""
    (ftrace / "trace_clock").write_text("local")
    (ftrace / "buffer_size_kb").write_text(str(RINGS_KB // (os.cpu_count() or 1)))
    for event in EVENTS:
        (ftrace / "events/kmem" / event / "enable").write_text("1")
    begin = snapshot(ftrace, BEGIN, ("vmstat", "zoneinfo", "iomem"))
    workload(out)
    end = snapshot(ftrace, END, ("kpageflags", "vmstat"))
    (ftrace / "tracing_on").write_text("0")
    rings = {cpu.name: (cpu / "stats").read_text().splitlines() for cpu in (ftrace / "per_cpu").iterdir()}
    if any("overrun: 0" not in lines for lines in rings.values()):
        raise MissingTracefs("this machine is too busy: its events do not fit into the ring")
    (out / "ring_stats.txt").write_text("".join(f"final {cpu} {' '.join(lines)} \n" for cpu, lines in rings.items()))
    for name in ("set_event", "trace_clock", "trace"):
        (out / f"{name}.txt").write_bytes((ftrace / name).read_bytes())
    for name, files in ((BEGIN, begin), (END, end)):
        (out / "snapshots" / name).mkdir(parents=True)
        for file, content in files.items():
            (out / "snapshots" / name / file.replace("kpageflags", "kpageflags.bin")).write_bytes(content)
    uname = os.uname()
    (out / "uname.txt").write_text(
        f"{uname.sysname} {uname.nodename} {uname.release} {uname.version} {uname.machine}\n"
    )
    (out / "boot_id.txt").write_bytes(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    (out / "cmdline.txt").write_bytes(Path("/proc/cmdline").read_bytes())
    (out / "formats").mkdir()
    (out / "formats/mm_page_alloc.format").write_bytes((ftrace / "events/kmem/mm_page_alloc/format").read_bytes())


def snapshot(ftrace: Path, name: str, files: tuple[str, ...]) -> dict[str, bytes]:
    """Read *files* of /proc between the markers of a snapshot; they are written later, so that this makes few events."""
    for what in ("begin", "page_owner_end"):
        (ftrace / "trace_marker").write_text(f"SNAPSHOT {name} {what} {_clocks()}\n")
    found = {}
    for file in files:
        with Path("/proc", file).open("rb", buffering=0) as source:  # kpageflags is read in whole numbers of 8 bytes
            found[file] = b"".join(iter(lambda source=source: source.read(1 << 20), b""))  # type: ignore[misc]
    (ftrace / "trace_marker").write_text(f"SNAPSHOT {name} end {_clocks()}\n")
    return found


def workload(scratch: Path) -> None:
    """Map and drop memory, write a file and start processes: anonymous memory, page cache, stacks that vmalloc takes in bulk."""
    for _ in range(3):
        held = bytearray(8 << 20)
        held[:: 1 << 12] = b"x" * (len(held) >> 12)
        (scratch / "written").write_bytes(held)
        subprocess.run(["true"], check=True)
        time.sleep(0.1)
    (scratch / "written").unlink()


def _clocks() -> str:
    clocks = {
        "mono": "CLOCK_MONOTONIC",
        "raw": "CLOCK_MONOTONIC_RAW",
        "boot": "CLOCK_BOOTTIME",
        "real": "CLOCK_REALTIME",
    }
    return " ".join(f"{name}={time.clock_gettime_ns(getattr(time, clock))}" for name, clock in clocks.items())
