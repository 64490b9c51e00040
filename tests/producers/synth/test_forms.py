"""A synthetic load as text and as a recording: the same events, to the last column."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.ingest import origin_of
from pagetrail.producers.parsed import Parser
from pagetrail.producers.synth.load import Load
from pagetrail.producers.synth.recording import open_load
from pagetrail.producers.synth.text import TextFormat, text_blocks
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import NUMPY_DTYPES, TEXT_COLUMNS, Kind
from pagetrail.schemas.frames import decode_frame
from tests.conftest import REPOSITORY
from tests.producers.synth.test_events import loads

LOAD = Load(events=70_000, pages=10_000, live=4_000, max_order=2)
PARSERS = {"ftrace": FtraceText, "perf": PerfScript}
FORMS = sorted(PARSERS)


def text(load: Load, form: TextFormat, chunk_events: int = 1 << 16) -> bytes:
    return b"".join(bytes(block) for block in text_blocks(load.host(1), form, chunk_events))


def parsed(load: Load, form: TextFormat) -> tuple[EventBatch, Parser]:
    parser = PARSERS[form](io.BytesIO(text(load, form)), source="synth")
    return concat(list(parser.batches())), parser


def recorded(load: Load) -> EventBatch:
    return concat([batch for batch in open_load(load.host(1)).parser.batches() if len(batch) > 1 or _is_page(batch)])


def _is_page(batch: EventBatch) -> bool:
    return int(batch.columns["kind"][0]) in (Kind.ALLOC, Kind.FREE)


def values(batch: EventBatch) -> Iterator[tuple[str, list[object]]]:
    """Yield each column with texts in place of indices; absent ones too."""
    for name in NUMPY_DTYPES:
        found = batch.column(name).tolist()
        if name in TEXT_COLUMNS:
            texts = batch.texts.get(name, ())
            found = [None if k < 0 else texts[k] for k in found]
        yield name, found


@pytest.mark.parametrize("form", FORMS)
def test_text_is_read_as_the_events_that_the_log_gets(form: TextFormat) -> None:
    read, parser = parsed(LOAD, form)
    assert dict(values(read)) == dict(values(recorded(LOAD)))
    assert parser.account.not_understood == parser.account.lost_events == parser.account.clamped == 0
    assert sum(parser.account.events.values()) == LOAD.events


@given(load=loads, form=st.sampled_from(FORMS))
def test_any_load_is_read_as_the_events_that_the_log_gets(load: Load, form: TextFormat) -> None:
    assert dict(values(parsed(load, form)[0])) == dict(values(recorded(load)))


@given(load=loads, form=st.sampled_from(FORMS), chunk_events=st.integers(1, 4_000))
def test_text_does_not_depend_on_how_many_lines_are_made_at_once(
    load: Load, form: TextFormat, chunk_events: int
) -> None:
    assert text(load, form) == text(load, form, chunk_events)


def test_frames_do_not_depend_on_how_many_events_are_made_at_once() -> None:
    framed = []
    for chunk_events in (1 << 16, 999):
        recording = open_load(LOAD.host(1), chunk_events)
        framer = Framer(origin_of(recording, producer_version="0"))
        frames = [frame for batch in recording.parser.batches() for frame in framer.add(batch)]
        framed.append([frame.digest for frame in (*frames, *framer.finish())])
    assert framed[0] == framed[1]
    assert len(framed[0]) == 2


def test_the_jit_changes_no_byte() -> None:
    """Random numbers wrap at 64 bits, with the JIT and without it."""
    code = (
        "from pagetrail.producers.synth.load import Load; from pagetrail.producers.synth.text import text_blocks; import hashlib; "
        "load = Load(events=2_000, pages=600, live=250, max_order=3, seed=9); "
        "print([hashlib.sha256(b''.join(map(bytes, text_blocks(load.host(1), form)))).hexdigest() for form in ('ftrace', 'perf')])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=REPOSITORY, env=os.environ | {"NUMBA_DISABLE_JIT": jit_off}, check=True, capture_output=True, text=True,
        ).stdout
        for jit_off in ("0", "1")
    ]  # fmt: skip
    assert said[0] == said[1]
    assert said[0].count("'") == 4


def test_lines_are_those_of_the_tools() -> None:
    """Lines with the numbers of captures of Linux 6.1."""
    ftrace, perf = (
        text(Load(events=3, pages=1_000, live=1), form).decode().splitlines() for form in ("ftrace", "perf")
    )
    assert "# entries-in-buffer/entries-written: 3/3   #P:8" in ftrace
    assert "# hostname : host-1" in perf
    assert [len(line.split("mm_page_")[0]) for line in ftrace[-3:]] == [
        len("              sh-364     [001] .....    30.123024: ")
    ] * 3
    assert ftrace[-2].split(": ")[1:][0] == "mm_page_free"
    assert "kmem:mm_page_alloc: page=0x" in perf[-3]
    assert ":  kmem:mm_page_free: page=0x" in perf[-2]
    assert perf[-2].rpartition("page=")[2].split()[0] == perf[-2].rpartition("pfn=")[2].split()[0]


def test_a_free_has_neither_mask_nor_migratetype() -> None:
    batch = recorded(LOAD)
    free = batch.columns["kind"] == Kind.FREE
    assert free.any()
    for name in ("gfp_mask", "migratetype"):
        assert ((batch.column(name) == np.iinfo(NUMPY_DTYPES[name]).min) == free).all()


def test_frames_are_read_back() -> None:
    recording = open_load(LOAD.host(1))
    framer = Framer(origin_of(recording, producer_version="0"))
    frames = [frame for batch in recording.parser.batches() for frame in framer.add(batch)]
    read = concat([decode_frame(frame.payload)[1] for frame in (*frames, *framer.finish())])
    pages = np.isin(read.columns["kind"], [Kind.ALLOC, Kind.FREE])
    assert read.columns["pfn"][pages].tolist() == recorded(LOAD).columns["pfn"].tolist()
