"""Laws of files of ftrace text that are no single trace: blocks of one CPU, and several recordings one after another."""

import io
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.formats.format import Block
from pagetrail.producers.formats.text import blocks as module
from pagetrail.producers.formats.text.blocks import MergedBlocks, Survey

HEADER = "# tracer: nop\n#\n"
STACK = " => alloc_pages\n => do_fault\n"


def event(cpu: int, ts: int, more: str = "") -> str:
    return f"  <idle>-0  [{cpu:03}] d....  {ts // 10**6}.{ts % 10**6:06}: mm_page_free: page=0 pfn={ts} order=0\n{more}"


def surveyed(text: str, step: int = 1 << 20) -> Survey:
    survey = Survey(text.encode()[: 1 << 16])
    data = text.encode()
    for start in range(0, len(data), step):
        survey.feed(memoryview(data[start : start + step]))
    return survey


def merged(text: str, blocks: tuple[Block, ...]) -> str:
    with MergedBlocks(io.BytesIO(text.encode()), blocks) as found:
        return io.BufferedReader(found).read().decode()


@given(
    st.lists(st.lists(st.integers(0, 10**7), min_size=1, max_size=30, unique=True), min_size=2, max_size=5),
    st.integers(1, 5000),
    st.sampled_from([1, 300, 1 << 20]),
    st.sampled_from(["", HEADER]),
    st.sampled_from(["", STACK]),
)
def test_blocks_of_one_cpu_each_are_read_as_the_kernel_would_have_written_them(
    times: list[list[int]], step: int, chunk: int, header: str, more: str
) -> None:
    times = [[8 * ts + cpu for ts in of] for cpu, of in enumerate(times)]  # no two are equal: those have no order
    events = [[event(cpu, ts, more) for ts in sorted(of)] for cpu, of in enumerate(times)]
    text = "".join(header + "".join(lines) for lines in events)
    survey = surveyed(text, step)
    (part,) = survey.parts()
    keyed = [(ts, cpu, i) for cpu, of in enumerate(times) for i, ts in enumerate(sorted(of))]
    falls = any(max(a) > min(b) for a, b in itertools.pairwise(times))
    assert bool(part.blocks) == falls
    if not falls:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BUFFERS", 1)
        patch.setattr(module, "_LEAST_CHUNK", chunk)
        found = merged(text, part.blocks)
    assert found == header * len(times) + "".join(events[cpu][i] for _, cpu, i in sorted(keyed))


def test_a_trace_whose_cpus_take_turns_is_one_recording_in_order() -> None:
    text = HEADER + "".join(event(i % 3, 10 * i) for i in range(1000))
    (part,) = surveyed(text, 777).parts()
    assert (part.start, part.stop, part.blocks) == (0, None, ())


@pytest.mark.parametrize("cpus", [1, 2, 4, 64])
@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize("step", [333, 1 << 20])
def test_another_boot_begins_where_time_falls_on_all_cpus(cpus: int, header: str, step: int) -> None:
    boots = [
        header + "".join(event(i % cpus, begin + 10 * i) for i in range(300)) for begin in (10**9, 5 * 10**6, 10**6)
    ]
    first, second, third = surveyed("".join(boots), step).parts()
    assert (first.start, first.stop) == (0, len(boots[0]))
    assert (second.start, second.stop) == (len(boots[0]), len(boots[0] + boots[1]))
    assert (third.start, third.stop) == (len(boots[0] + boots[1]), None)
    assert second.line == 1 + boots[0].count("\n")


@pytest.mark.parametrize("cpus", [1, 4])
def test_single_times_that_are_wrong_are_no_other_boot(cpus: int) -> None:
    harmed = random.Random(5)
    times = [10**9 + 10 * i for i in range(5000)]
    for at in harmed.sample(range(5000), 40):
        times[at] = harmed.choice([5, times[at] + 10**9, times[at] - 200])
    (part,) = surveyed("".join(event(i % cpus, ts) for i, ts in enumerate(times))).parts()
    assert part.blocks == ()


def test_lines_that_are_too_long_move_nothing() -> None:
    text = event(0, 10**9) * 50 + "x" * 300_000 + "\n" + event(0, 10) * 50
    first, second = surveyed(text, 4096).parts()
    assert text[second.start :] == event(0, 10) * 50
    assert first.stop == second.start


def test_a_header_within_a_trace_says_that_it_begins_anew() -> None:
    text = HEADER + "".join((HEADER if i in (40, 70) else "") + event(i % 3, 10 * i) for i in range(100))
    (part,) = surveyed(text, 99).parts()
    assert part.anew == ((390_000, 400_000), (690_000, 700_000))


def test_headers_of_the_cpus_own_files_say_nothing() -> None:
    text = "".join(HEADER + "".join(event(cpu, 100 * cpu + i) for i in range(50)) for cpu in range(3))
    (part,) = surveyed(text).parts()
    assert (part.anew, part.blocks) == ((), ())
