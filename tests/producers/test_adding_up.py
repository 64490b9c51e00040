"""Adding up: each line is an event, bookkeeping, nothing new or not understood, whatever the reader, the form and the harm."""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner

from pagetrail.cli import app
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.errors import InputError
from tests.producers.formats.forms.samples import FREE as FREE_TEXT
from tests.producers.formats.forms.samples import FTRACE_FORMS, LATENCY, PERF_FORMS
from tests.producers.formats.test_counts import STATISTICS
from tests.producers.formats.test_page_owner import FORMS as DUMP_FORMS
from tests.producers.formats.test_page_owner_odd import PLAIN
from tests.producers.formats.test_page_reports import report, text
from tests.producers.formats.text_samples import FTRACE, PERF, classes

DUMP = "".join(f"{line}\n" for line in PLAIN).encode()
EVENT = "              sh-43      [%03d] .....     %d.000000: mm_page_free: page=0 pfn=%#x order=0\n"
EVENTS = "".join(EVENT % (at % 2, 1 + at, 16 + at) for at in range(40)).encode()
GRAPH = "".join(
    f" {at}.000000 |   1)               |  /* {FREE_TEXT} */\n {at}.000001 |   1)               |  f() {{\n"
    for at in range(1, 20)
)
TRACKING = "".join(
    f"PFN : {pfn:#x}-{pfn:#x} Page : 0xfffffffe00000000 Order : 0 PID : 500 Comm: appd ts_nsec {pfn} gfp 0x140cca pgext 0x4\n"
    "      [<ffffffc0080168244>] __alloc_pages+0x20\n\n"
    for pfn in range(0x80000, 0x80010)
)
TEXTS = {
    "ftrace": FTRACE + EVENTS,
    "ftrace forms": FTRACE_FORMS.encode(),
    "trace-cmd": b"cpus=2\n" + STATISTICS + EVENTS,
    "latency": "".join(LATENCY.format(mark="", event=FREE_TEXT) for _ in range(20)).encode(),
    "function graph": GRAPH.encode(),
    "systrace": b"<!DOCTYPE html>\n<script>\n" + FTRACE + EVENTS + b"</script>\n</html>\n",
    "buffer in a kernel's log": b"[    1.000000] Dumping ftrace buffer:\n[    1.000001] ---------------------------------\n"
    + "".join(f"[    1.000002] {LATENCY.format(mark='', event=FREE_TEXT)}" for _ in range(20)).encode(),
    "perf": PERF * 5,
    "perf forms": PERF_FORMS.encode(),
    "dump": DUMP,
    "dump forms": DUMP_FORMS,
    "page tracking": TRACKING.encode(),
    "reports": text([line for pfn in range(0x100, 0x110) for line in report(pfn)], "[    1.000000] "),
}  # fmt: skip


def other_bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 12)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data))]


def hole(data: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.sample(range(len(data)), 2))
    return data[:start] + data[stop:]


def lines_twice(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    stop = start + rng.randrange(1, 12)
    return b"".join(lines[:stop] + lines[start:])


def lines_gone(data: bytes, rng: random.Random) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if rng.random() > 0.1)


def joined_to_another(data: bytes, rng: random.Random) -> bytes:
    other = TEXTS[rng.choice([*TEXTS])]
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


HARMS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "none": lambda data, rng: data,
    "bytes": other_bytes,
    "cut": cut,
    "hole": hole,
    "twice": lines_twice,
    "gone": lines_gone,
    "joined": joined_to_another,
    "carriage returns": lambda data, rng: data.replace(b"\n", b"\r\n"),
    "of old Macs": lambda data, rng: data.replace(b"\n", b"\r"),
    "tabs": lambda data, rng: data.replace(b"    ", b"\t"),
    "commas": lambda data, rng: data.replace(b".", b","),
    "no end": lambda data, rng: data.rstrip(b"\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_lines_of_every_reader_add_up_whatever_the_harm(tmp_path: Path, name: str) -> None:
    read = 0
    for harm, change in HARMS.items():
        for seed in range(1 if harm == "none" else 5):
            data = change(TEXTS[name], random.Random(f"{name} {harm} {seed}"))
            (tmp_path / "input.txt").write_bytes(data)
            try:
                recording = open_recording(tmp_path / "input.txt")
                for _ in recording.parser.batches():
                    pass
            except InputError:  # it is refused with a reason
                assert harm != "none"
                continue
            account = recording.parser.account
            assert sum(classes(account).values()) == account.lines, (harm, seed)
            assert classes(account).get("not_understood", 0) == account.not_understood
            end = (
                b"\r" if name.startswith("dump") and harm == "of old Macs" else b"\n"
            )  # only dumps are read by CR alone
            assert account.lines - data.count(end) in (0, 1), (harm, seed)
            read += 1
    assert read > len(HARMS)


def tar_of(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a/trace.txt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def zip_of(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trace.txt", data)
    return file.getvalue()


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "tar": tar_of,
    "tar.gz": lambda data: gzip.compress(tar_of(data)),
    "zip": zip_of,
    "utf-16": lambda data: data.decode("latin-1").encode("utf-16"),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["ftrace", "perf", "dump", "reports"])
def test_ingest_says_so_of_every_container_and_of_stdin(tmp_path: Path, name: str, container: str) -> None:
    data = other_bytes(TEXTS[name], random.Random(name)).replace(b"\0", b"?")
    path = tmp_path / f"input.{container}"
    path.write_bytes(CONTAINERS[container](data))
    given, piped = (["-"], data) if container == "plain" else ([str(path)], None)
    ran = CliRunner().invoke(
        app, ["ingest", "--json", "--host", "h", "--trail", str(tmp_path / "trail"), *given], input=piped
    )
    assert ran.exit_code == 0, ran.output
    (said,) = json.loads(ran.stdout)
    assert sum(kind["lines"] for kind in said["lines_of_kinds"]) == said["lines"]
    assert said["lines"] in (data.count(b"\n"), data.count(b"\n") + 1)
