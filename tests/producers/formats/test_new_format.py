"""Adding a format: one file, and one line in the table; then it is recognised and ingested, alone and in a capture directory."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.recognise import recognise
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.log.ingest import IngestReport, ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.producers.parsed import ReadAccount
from pagetrail.producers.recording_info import Recording
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.errors import InputError, UnrecognisedInput
from tests.oracles.text.reading import Row, rows_of

FORMAT = '''
"""Kmem lines: a made-up text with one event a line: "kmem NSEC CPU PID COMM EVENT FIELD=NUMBER ...", or "kmem lost CPU COUNT"."""

import re

import numpy as np

from pagetrail.producers.formats.format import Format
from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.rows import NONE, RowBuilder
from pagetrail.producers.formats.tracer import FTRACE
from pagetrail.producers.gaps import Gaps
from pagetrail.producers.meaning import EVENTS, FailedAlloc, Meaning, Row
from pagetrail.producers.parsed import ReadAccount, noted

LINE = re.compile(rb"kmem (\\d+) (\\d) (\\d+) (\\S+) (\\w+)((?: \\w+=\\d+)*)\\n")
LOST = re.compile(rb"kmem lost (\\d) (\\d+)\\n")
CPUS = 10


class KmemLines:
    """A file of kmem lines, as a ``parsed.Parser``."""

    def __init__(self, stream, kernel):
        self.account = ReadAccount()
        self._stream = stream
        self._texts = new_interner(16, 256)
        self._rows = RowBuilder(
            self._texts, count=np.zeros(1, np.int64), waiting=np.full((2, CPUS), NONE), stack_text=bytes.decode
        )
        self._gaps = Gaps(last_ts=np.full(CPUS, -1), is_due=np.zeros(CPUS, np.int64))
        self._meaning = Meaning(kernel, self._rows.highest_pfn)

    def batches(self):
        """Yield the events in the order of the file."""
        for number, line in enumerate(self._stream, start=1):
            if self._rows.full():
                yield self._rows.flush(final=True)
            if lost := LOST.fullmatch(line):
                self.account.lost_events += int(lost[2])
                self._gaps.lose(int(lost[1]), int(lost[2]), "lost")
            elif event := LINE.fullmatch(line):
                self._event(*event.groups())
            else:
                self.account.note_line(number, noted(line))
        for gap in self._gaps.rest():
            self._rows.append(gap)
        yield self._rows.flush(final=True)

    def _event(self, ts, cpu, pid, comm, name, fields):
        name = name.decode()
        self.account.events[name] += 1
        for gap in self._gaps.heard(int(cpu), int(ts)):
            self._rows.append(gap)
        if name not in EVENTS:
            self.account.ignored[name] += 1
            return
        numbers = {key: int(value) for key, value in re.findall(r"(\\w+)=(\\d+)", fields.decode())}
        outcome = self._meaning.outcome(name, numbers, pid=int(pid))
        if isinstance(outcome, FailedAlloc):
            self.account.failed_allocs += 1
        if isinstance(outcome, Row):
            head = {"trace_ts_nsec": int(ts), "cpu": int(cpu), "pid": int(pid), "comm": self._texts.find(comm)}
            self._rows.append(outcome, head)


KMEM_LINES = Format(
    name="kmem-lines",
    phrase="kmem lines",
    line=re.compile(rb"kmem \\d"),
    opens=KmemLines,
    tracer=FTRACE,
    trace_names=("kmem.txt",),
)
'''

SAMPLE = """\
kmem 1000000000 0 44 sh mm_page_alloc pfn=256 order=2 migratetype=0 gfp_flags=3264
kmem 1000001000 1 45 cat mm_page_alloc pfn=0 order=9 migratetype=1 gfp_flags=3264
kmem lost 1 7
kmem 1500000000 0 44 sh mm_page_free_batched pfn=256 order=0
kmem 2000000000 1 44 sh mm_page_free pfn=256 order=2
kmem 2500000000 1 44 sh split_owner page=18446719884453756928 nr=4
"""
AS_FTRACE = """\
# tracer: nop
              sh-44      [000] .....     1.000000: mm_page_alloc: page=0 pfn=0x100 order=2 migratetype=0 gfp_flags=GFP_KERNEL
             cat-45      [001] .....     1.000001: mm_page_alloc: page=0 pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_KERNEL
CPU:1 [LOST 7 EVENTS]
              sh-44      [000] .....     1.500000: mm_page_free_batched: page=0 pfn=0x100 order=0
              sh-44      [001] .....     2.000000: mm_page_free: page=0 pfn=0x100 order=2
              sh-44      [001] .....     2.500000: split_owner: (f+0x0/0x50) page=0xffffea0000004000 nr=4
"""


@pytest.fixture
def formats(tmp_path: Path) -> tuple[Format, ...]:
    """Return the table with one more line, of a format whose file lies elsewhere."""
    (tmp_path / "kmem_lines.py").write_text(FORMAT)
    spec = importlib.util.spec_from_file_location("kmem_lines", tmp_path / "kmem_lines.py")
    assert spec is not None
    assert spec.loader is not None
    kmem_lines: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kmem_lines)
    return (
        *FORMATS,
        kmem_lines.KMEM_LINES,
    )


def ingested(recording: Recording, trail: Path) -> IngestReport:
    with SqliteLogWriter(trail) as log:
        return ingest(recording, origin_of(recording, producer_version="test"), log)


def same_but_for_words(rows: list[Row]) -> list[Row]:
    """Return *rows* without what a format says in its own words."""
    return [row | {"detail": row["detail"] | {"reason": ""}} if "detail" in row else row for row in rows]  # type: ignore[operator]


def counts(account: ReadAccount) -> ReadAccount:
    """Return *account* without what it says of the lines of the file: the two have different ones."""
    return replace(account, lines=None, kinds={}, entries={})


def test_its_files_are_recognised_and_told_from_others(formats: tuple[Format, ...]) -> None:
    assert recognise(SAMPLE.encode(), "any name", formats) is formats[-1]
    assert recognise(AS_FTRACE.encode(), "any name", formats) is FORMATS[0]
    with pytest.raises(UnrecognisedInput, match="or kmem lines"):
        recognise(b"Dear all\n", "letter.txt", formats)
    with pytest.raises(UnrecognisedInput):
        recognise(SAMPLE.encode(), "any name")


def test_the_same_events_mean_the_same_in_it_as_in_ftrace_text(formats: tuple[Format, ...], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(SAMPLE)
    (tmp_path / "theirs").write_text(AS_FTRACE)
    mine, theirs = (open_recording(tmp_path / name, formats=formats).parser for name in ("mine", "theirs"))
    assert same_but_for_words(rows_of(mine.batches())) == same_but_for_words(rows_of(theirs.batches()))
    assert counts(mine.account) == counts(theirs.account)


def test_a_file_of_it_is_ingested(formats: tuple[Format, ...], tmp_path: Path) -> None:
    (tmp_path / "any name").write_text(SAMPLE + "kmem what\n")
    recording = open_recording(tmp_path / "any name", covers=("alloc",), formats=formats)
    report = ingested(recording, tmp_path / "trail")
    assert (report.origin.producer, report.events, report.frames) == ("kmem-lines", 7, 1)  # with begin, end, coverage
    assert (report.end.lost_events, report.end.failed_allocs, report.end.not_understood) == (7, 1, 1)


def test_it_may_be_the_trace_of_a_capture_directory(formats: tuple[Format, ...], tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    capture.mkdir()
    (capture / "kmem.txt").write_text(SAMPLE)
    (capture / "trace_clock.txt").write_text("local [mono] boot\n")
    recording = open_recording(capture, formats=formats)
    info = recording.info
    assert (info.format, info.trace_format, info.trace_file) == ("capture-directory", "kmem-lines", "kmem.txt")
    assert info.trace_clock == "mono"
    report = ingested(recording, tmp_path / "trail")
    assert (report.events, report.frames) == (7, 1)  # with begin, end, boot
    with pytest.raises(InputError, match="found none"):
        open_recording(capture)
