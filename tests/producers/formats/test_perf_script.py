"""Laws of the perf script parser."""

import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.parsed import Lines
from pagetrail.schemas.columns import Kind
from tests.conftest import REPOSITORY
from tests.oracles.text.perf import read_perf
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import PERF, expected, mutated, outcome, slices, trickle, unpacked

SAMPLES = {"perf-plain": 186_578, "perf-g": 66_211, "perf-lost": 127_434}
REPEATS = {"perf-plain": 0, "perf-g": 0, "perf-lost": 50}
"""perf wrote some samples twice where its ring was too small: neighbours, equal to the nanosecond."""
PIECE = 100_000


def parse(data: bytes) -> PerfScript:
    return PerfScript(io.BytesIO(data), source="test")


def read(data: bytes) -> dict[str, object]:
    return outcome(parse(data))


def rows(data: bytes) -> list[Row]:
    return rows_of(parse(data).batches())


@pytest.mark.parametrize(("name", "samples"), SAMPLES.items())
def test_every_sample_of_a_capture_is_a_row(captures: Path, name: str, samples: int) -> None:
    with unpacked(captures / name / "perf-script.txt.zst") as stream:
        parser = PerfScript(stream, source=name)
        found = [(len(batch), int((batch.column("stack") >= 0).sum())) for batch in parser.batches()]
    assert parser.account.not_understood == 0, parser.account.examples
    repeats = parser.account.kinds.get(("nothing_new", "repeat of an event"), Lines(lines=0, first_line=0)).lines
    assert sum(parser.account.events.values()) == sum(size for size, _ in found) == samples - repeats
    assert repeats == REPEATS[name]
    assert sum(stacks for _, stacks in found) == (samples if name == "perf-g" else 0)


@pytest.mark.parametrize("name", SAMPLES)
def test_kernel_equals_reference_on_captures(captures: Path, name: str) -> None:
    for piece in slices(captures / name / "perf-script.txt.zst", PIECE, (0, 5_000_000)):
        assert read(piece) == expected(read_perf(piece))


@pytest.mark.parametrize("name", SAMPLES)
def test_kernel_equals_reference_on_damaged_captures(captures: Path, name: str) -> None:
    for piece in slices(captures / name / "perf-script.txt.zst", PIECE, (1_000_000,)):
        for seed in range(4):
            damaged = mutated(piece, seed, 300)
            assert read(damaged) == expected(read_perf(damaged))


@settings(max_examples=200)
@given(st.integers(0, 1 << 32), st.integers(1, 20))
def test_kernel_equals_reference_on_damaged_lines(seed: int, changes: int) -> None:
    damaged = mutated(PERF, seed, changes)
    assert read(damaged) == expected(read_perf(damaged))


def test_the_number_that_perf_prints_of_a_thread_without_a_name_is_no_name() -> None:
    heads = (b":7     7/7     [000]", b":7     8/8     [000]", b":7x    7/7     [001]", b":0007  7/7     [001]")
    lines = [
        b"%b 1.00000000%d: kmem:mm_page_free: page=0x1 pfn=0x1 order=0\n" % (head, n) for n, head in enumerate(heads)
    ]
    assert [row.get("comm") for row in rows(b"".join(lines))] == [None, ":7", ":7x", None]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=50))
def test_chunk_sizes_do_not_matter(sizes: list[int]) -> None:
    turn = itertools.cycle(sizes)
    assert outcome(PerfScript(trickle(PERF, lambda: next(turn)), source="test")) == read(PERF)


SCRIPT = """
import json, sys
from tests.producers.formats.test_perf_script import read
print(json.dumps(read(sys.stdin.buffer.read())))
"""


def test_the_jit_changes_nothing(captures: Path) -> None:
    data = PERF + b"".join(
        mutated(next(slices(captures / name / "perf-script.txt.zst", 15_000, (1_000_000,))), 1, 20) for name in SAMPLES
    )
    printed = []
    for jit_off in ("0", "1"):
        command = [sys.executable, "-W", "error", "-c", SCRIPT]
        environment = os.environ | {"NUMBA_DISABLE_JIT": jit_off}
        done = subprocess.run(command, input=data, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
        printed.append(done.stdout)
    assert printed[0] == printed[1]


def test_of_a_chain_the_kernels_frames_are_kept() -> None:
    assert rows(PERF)[0]["stack"] == "__traceiter_mm_page_alloc+0x43\next4_grow+0x12 [ext4]\n0xffffffffc0000020"


def test_a_module_given_by_its_file_is_named_as_the_kernel_does() -> None:
    text = PERF.replace(b"([ext4])", b"(/lib/modules/6.1.0/kernel/fs/nf-core.ko.xz)")
    assert rows(text)[0]["stack"].splitlines()[1] == "ext4_grow+0x12 [nf_core]"  # type: ignore[attr-defined]


def test_the_second_of_two_ids_is_the_thread() -> None:
    row = rows(PERF)[1]
    assert (row["tgid"], row["pid"], row["trace_ts_nsec"]) == (181, 182, 14_189_694_001)


def test_a_thread_that_is_gone_has_no_pid() -> None:
    row = rows(PERF)[3]
    assert row["comm"] == "some name"
    assert "pid" not in row


def test_a_loss_lies_between_the_samples_of_its_cpu() -> None:
    gap = rows(PERF)[2]
    assert (gap["kind"], gap["cpu"], gap["trace_ts_nsec"]) == (Kind.GAP, 1, 14_189_807_000)
    assert gap["detail"] == {
        "t_lo": 13_926_523_000,
        "t_hi": 14_189_807_000,
        "lost": 35,
        "reason": "perf says PERF_RECORD_LOST",
        "count": 1,
        "line": None,
    }


def test_a_loss_on_an_unknown_cpu_casts_doubt_on_all_before() -> None:
    (gap,) = rows(b"              sh   179 14.189694: PERF_RECORD_LOST lost 35\n")
    assert gap["detail"]["t_lo"] == 0  # type: ignore[index]
    assert "cpu" not in gap


def test_other_events_are_ignored_by_name() -> None:
    assert read(PERF)["ignored"] == {"sched:sched_switch": 1}


def test_the_chain_of_a_line_that_is_not_understood_goes_with_it() -> None:
    assert read(b"what is this\n\tffffffff8116cc53 f+0x43 ([kernel.kallsyms])\n\n" + PERF)["not_understood"] == 1


def test_a_chain_that_the_end_of_the_file_cuts_is_dropped() -> None:
    text = PERF[: PERF.index(b"+0x12 ([ext4])")]
    assert "stack" not in rows(text)[0]
