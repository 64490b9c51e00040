"""Traces, dumps and standard input that come without a capture directory."""

import gzip
import io
import sys

import pytest
import zstandard

from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import PagetrailError
from tests.producers.capture.capture_samples import DMESG, TRACE, kinds_of, of_kind, rows_of
from tests.shared import content_id


def test_a_trace_alone_has_neither_constants_nor_coverage(make):
    recording = open_recording(make() / "trace.txt")
    assert set(kinds_of(rows_of(recording.parser))) == {Kind.ALLOC, Kind.FREE, Kind.MARKER}
    assert (recording.info.host, recording.info.boot_id, recording.info.format) == (None, None, "ftrace-text")
    assert recording.info.recording_id == content_id(make() / "trace.txt")


def test_what_the_operator_says_of_a_trace_alone_is_kept(make):
    recording = open_recording(make() / "trace.txt", host="h", boot_id="b", covers=("alloc", "free"))
    assert of_kind(rows_of(recording.parser), Kind.COVERAGE)[0][1]["kinds"] == ["alloc", "free"]
    assert (recording.info.host, recording.info.boot_id) == ("h", "b")


def test_a_dump_alone_is_a_recording(make):
    recording = open_recording(make() / "snapshots" / "1-boot" / "page_owner.txt")
    assert kinds_of(rows_of(recording.parser)) == [
        Kind.CLOCK, Kind.BASELINE_BEGIN, Kind.BASELINE_ENTRY, Kind.BASELINE_END,
    ]  # fmt: skip
    assert recording.info.format == "page_owner"


@pytest.mark.parametrize(
    "line",
    [
        "              sh-44      [000] .....     1.000000: split_owner: (f+0x0/0x50) page=0xfffff0c180002000 nr=4\n",
        "              sh    44 [000]     1.000000: po:split_owner: (ffffffff81234567) page=0xfffff0c180002000 nr=4\n",
    ],
    ids=["ftrace", "perf"],
)
def test_the_vmemmap_base_that_the_operator_gives_counts_for_every_trace(tmp_path, line):
    (tmp_path / "trace").write_text(line)
    recording = open_recording(tmp_path / "trace", vmemmap_base=0xFFFFF0C180000000)
    (batch,) = recording.parser.batches()
    assert batch.column("pfn").tolist() == [0x80]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_stdin_is_read_like_a_file_and_has_its_id(make, monkeypatch, pack):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(TRACE.encode()))))
    recording = open_recording("-")
    assert (recording.info.recording_id, recording.info.source) == (content_id(make() / "trace.txt"), "-")
    assert rows_of(recording.parser) == rows_of(open_recording(make() / "trace.txt").parser)


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"Dear all\n", DMESG.encode()])
def test_what_is_no_recording_is_refused_with_a_reason(tmp_path, content):
    (path := tmp_path / "file").write_bytes(content)
    with pytest.raises(PagetrailError, match="expected ftrace text"):
        open_recording(path)
