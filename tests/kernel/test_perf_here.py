"""perf.data of the kernel that runs the tests, by the perf that is here: against what its own perf script prints."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pagetrail.producers.capture.directory import without
from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.inputs import source_of
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from tests.conftest import Unavailable
from tests.kernel.tracefs import MissingTracefs, mounted

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


def read(path: Path) -> tuple[EventBatch, ReadAccount]:
    source = source_of(path)
    found, _ = recognised(source)
    assert found.opens is not None
    with source.open(text=True) as stream:
        parser = found.opens(stream, RecordedKernel(release="6.12"))
        return concat(list(parser.batches())), parser.account


@pytest.mark.parametrize("way", WAYS)
def test_a_perf_data_gives_what_perf_script_prints_of_it(way: str, tmp_path: Path, unavailable: Unavailable) -> None:
    if shutil.which("perf") is None:
        unavailable("perf", "no program of that name")
    try:
        data = record(tmp_path, WAYS[way])
    except MissingTracefs as error:
        unavailable("perf", str(error))
    binary, said = read(data)
    text, printed = read(tmp_path / "perf-script.txt")
    assert said.events == printed.events
    assert said.failed_allocs == printed.failed_allocs
    assert (said.not_understood, printed.not_understood) == (0, 0)
    binary, text = without(binary, (Kind.GAP,)), without(text, (Kind.GAP,))
    assert len(binary) == len(text) > 100
    for name in ("trace_ts_nsec", "kind", "cpu", "pid", "tgid", "pfn", "order", "migratetype"):
        assert (binary.column(name) == text.column(name)).all(), name
    comms = [np.array([*batch.texts["comm"], None], object)[batch.column("comm")] for batch in (binary, text)]
    assert all(mine == theirs or str(theirs).startswith(":") for mine, theirs in zip(*comms, strict=True))
