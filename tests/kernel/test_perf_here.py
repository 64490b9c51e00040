"""perf.data of the kernel that runs the tests, by the perf that is here: against what its own perf script prints."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pagetrail.producers.meaning import RecordedKernel
from tests.conftest import Unavailable
from tests.kernel.tracefs import MissingTracefs, mounted
from tests.producers.formats.perf_data.against_text import check_same, read

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

EVENTS = ("mm_page_alloc", "mm_page_free", "mm_page_pcpu_drain", "mm_page_alloc_zone_locked", "mm_page_alloc_extfrag")
WAYS = {
    "a file": (), "compressed": ("-z",), "call chains": ("-g",), "another clock": ("-k", "mono"), "small rings": ("-m", "1"),
    "through a pipe": None,
}  # fmt: skip
"""Options of perf record; null: its output is a pipe."""

FIELDS = "comm,pid,tid,cpu,time,event,trace"
WORK = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do ls / >/dev/null; done"]


def record(folder: Path, options: tuple[str, ...] | None) -> Path:
    """Record what a shell does; return the perf.data."""
    data = folder / "perf.data"
    chosen = [option for name in EVENTS for option in ("-e", f"kmem:{name}")]
    command = [
        "perf",
        "record",
        *(options or ()),
        *chosen,
        "-a",
        "-o",
        "-" if options is None else str(data),
        "--",
        *WORK,
    ]
    try:
        with mounted():
            done = subprocess.run(command, capture_output=True, timeout=120)
            text = subprocess.run(
                ["perf", "script", "--ns", "-F", FIELDS, "-i", str(data)] if options is not None else ["true"],
                capture_output=True, timeout=120,
            )  # fmt: skip
            if options is None:
                data.write_bytes(done.stdout)
                with data.open("rb") as stdin:
                    text = subprocess.run(
                        ["perf", "script", "--ns", "-F", FIELDS, "-i", "-"],
                        stdin=stdin,
                        capture_output=True,
                        timeout=120,
                    )
    except OSError as error:
        raise MissingTracefs(str(error)) from error
    if done.returncode or text.returncode:
        raise MissingTracefs((done.stderr + text.stderr).decode(errors="replace")[-300:])
    (folder / "perf-script.txt").write_bytes(text.stdout)
    return data


@pytest.mark.parametrize("way", WAYS)
def test_a_perf_data_gives_what_perf_script_prints_of_it(way: str, tmp_path: Path, unavailable: Unavailable) -> None:
    if shutil.which("perf") is None:
        unavailable("perf", "no program of that name")
    try:
        data = record(tmp_path, WAYS[way])
    except MissingTracefs as error:
        unavailable("perf", str(error))
    kernel = RecordedKernel(release="6.12")
    columns = ("kind", "cpu", "pid", "tgid", "pfn", "order", "migratetype")
    assert check_same(read(data, kernel), read(tmp_path / "perf-script.txt", kernel), columns) > 100
