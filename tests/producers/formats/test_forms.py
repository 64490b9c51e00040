"""Laws of the forms in which people have traces: vendors' fields, trace-cmd, latency format, graphs, logs, HTML, -F of perf."""

import io
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.ingesting import ingest
from pagetrail.producers.formats.prefixed import message_of
from pagetrail.producers.formats.recognise import opener, recognise
from pagetrail.producers.formats.rewritten import rewritten
from pagetrail.producers.formats.text.ftrace import FTRACE_TEXT, FtraceText
from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT, PerfScript
from pagetrail.producers.inputs import Input
from pagetrail.producers.meaning import UNKNOWN_KERNEL
from pagetrail.producers.parsed import Parser
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.stacks import canonical_stack
from tests.oracles.text.ftrace import read_ftrace
from tests.oracles.text.perf import read_perf
from tests.oracles.text.reading import Row, rows_of
from tests.producers.formats.text_samples import expected, mutated, outcome, trickle

ALLOC = "mm_page_alloc: page=00000000d2be5665 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL"
FREE = "mm_page_free: page=00000000d2be5665 pfn=0x7a120 order=2"
HEAD = "            appd-500     [001] d..1. 100.000000: "
PERF_ALLOC = "kmem:mm_page_alloc: page=0x7a120 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL"
BLOCK = {"kind": Kind.ALLOC, "pfn": 0x7A120, "order": 2, "migratetype": 1, "gfp_mask": 0xCC0}
TASK = {"trace_ts_nsec": 100_000_000_000, "cpu": 1, "pid": 500, "comm": "appd"}
BOTH = [TASK | BLOCK, TASK | BLOCK | {"trace_ts_nsec": 100_000_001_000}]


def opened(text: str) -> Parser:
    data = text.encode()
    found = recognise(data, "test")
    return opener(found, "test")(Input(io.BytesIO(data), "test"), UNKNOWN_KERNEL)


def twice(line: str) -> str:
    """Return *line*, and the same a microsecond later: at the same time it would be a repeat."""
    return line + line.replace("100.000000", "100.000001")


def rows(text: str) -> list[Row]:
    """Return the rows of *text*, every line of which has to be understood."""
    parser = opened(text)
    found = rows_of(parser.batches())
    assert parser.account.not_understood == 0, parser.account.examples
    return found


def refused(text: str) -> int:
    """Return how many lines of *text* are not understood."""
    parser = opened(text)
    list(parser.batches())
    return parser.account.not_understood


# --- the fields of an event


@pytest.mark.parametrize(
    "fields",
    [
        "page=0 pfn=0x7a120 order=2 migratetype=1 nr_free=3650 gfp_flags=GFP_KERNEL",
        "page=0 nid=0 pfn=0x7a120 zone=Normal order=2 migratetype=1 gfp_flags=GFP_KERNEL caller=f+0x1/0x2",
        "order=2 gfp_flags=GFP_KERNEL migratetype=1 pfn=500000 page=0",
        "      page=          (null) pfn=500000 order=2 migratetype=1 gfp_flags=GFP_KERNEL",
        "       [FAILED TO PARSE] pfn=500000 order=2 gfp_flags=0xcc0 migratetype=1",
        "       [FAILED TO PARSE] pfn=0x7a120 order=2 gfp_flags=3264 migratetype=1 more=7",
        "pfn=0x7a120 order=2 gfp_flags=0xcc0 migratetype=1",
        "migratetype=0x1 (1) gfp_flags=0xcc0 (3264) order=0x2 (2) pfn=0x7a120 (500000)",
    ],
)
def test_a_field_is_found_by_its_name_wherever_it_stands(fields: str) -> None:
    assert rows(f"{HEAD}mm_page_alloc: {fields}\n") == [TASK | BLOCK]


@pytest.mark.parametrize(
    "fields",
    [
        "page=0 pfn=0x7a120 order=2 migratetype=1 nr_free=3 gfp_flags=GFP_KERNEL pfn=0x7a121",
        "page=0 pfn=0x7a120 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL",
        "page=0 pfn=0x7a120 order=2 nr_free=3 gfp_flags=GFP_KERNEL",
        "page=0 pfn=0x7a1 20 order=2 migratetype=1 gfp_flags=GFP_KERNEL",
        "page=0 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL NEL",
        "nr_free=3 pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL",
        "[FAILED TO PARSE] pfn=0x7a120 order=2 migratetype=1 gfp_flags=GFP_KERNEL",
        "[FAILED TO PARSE] pfn=0x7a12g order=2 migratetype=1 gfp_flags=3264",
    ],
)
def test_an_event_of_which_a_field_is_missing_twice_or_broken_is_not_understood(fields: str) -> None:
    assert refused(f"{HEAD}mm_page_alloc: {fields}\n") == 1


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("tracing_mark_write: B|992|x", "B|992|x"),
        ("tracing_mark_write.llvm.8232844412049014381: B|992|x", "B|992|x"),
        ("tracing_mark_write+0x150/0x210: SNAPSHOT a begin", "SNAPSHOT a begin"),
        ("tracing_mark_write+0x150/0x210 <ffffffff81287150>: SNAPSHOT a begin", "SNAPSHOT a begin"),
        ("print: hello", "hello"),
        ("print:                tracing_mark_write: hello: you", "hello: you"),
        ("print:                0xffffffff8110a5a0s: hello", "hello"),
        ("bprint:               do_it: hello", "do_it: hello"),
        ("0xffffffff8123: SNAPSHOT a begin", "SNAPSHOT a begin"),
    ],
)
def test_a_text_in_the_ring_is_a_marker_whatever_wrote_it(entry: str, text: str) -> None:
    assert rows(f"{HEAD}{entry}\n") == [TASK | {"kind": Kind.MARKER, "detail": {"text": text}}]


# --- lines and heads of ftrace


def test_a_trace_that_passed_through_windows_keeps_its_stacks() -> None:
    text = f"# tracer: nop\n{HEAD}{ALLOC}\n{HEAD}<stack trace>\n => __alloc_pages\n => pipe_write\n{HEAD}{FREE}\n\n"
    assert rows(text.replace("\n", "\r\n")) == rows(text)
    assert rows(text)[0]["stack"] == "__alloc_pages\npipe_write"


def test_the_report_of_trace_cmd_keeps_its_stacks() -> None:
    head = "            appd-500   [001] .....   100.000000: "
    text = f"version = 6\nCPU 3 is empty\ncpus=4\n{head}mm_page_alloc:        {ALLOC.partition(': ')[2]}\n"
    text += f"{head}kernel_stack:         <stack trace >\n=> __alloc_pages (ffffffffc065ed5c)\n=> ffffffffc065ed5d\n"
    text += f"{head}user_stack:           <user stack trace>\n=> 7f0012345678\n"
    assert rows(text) == [TASK | BLOCK | {"stack": "__alloc_pages (ffffffffc065ed5c)\nffffffffc065ed5d"}]


@pytest.mark.parametrize("flags", ["d..h.", "d..h1", "dNs1.2", "d..h.1.2", "d.LNh..1"])
def test_a_trace_without_header_is_recognised_whatever_its_flags(flags: str) -> None:
    assert rows(f"            appd-500     [001] {flags} 100.000000: {ALLOC}\n") == [TASK | BLOCK]


def test_the_calls_of_the_function_tracer_are_understood() -> None:
    assert rows(f"{HEAD}alloc_pages <-pipe_write\n{HEAD}f+0x1/0x2 [ext4] <-g+0x3/0x4\n{HEAD}{ALLOC}\n") == [
        TASK | BLOCK
    ]


LATENCY = "    appd-500       1d..1. 100000000us{mark}: {event}\n"


@pytest.mark.parametrize("mark", ["", " ", "!", "+", "#"])
def test_the_latency_format_is_read(mark: str) -> None:
    text = "# nop latency trace v1.1.5 on 6.1.0\n#\n" + LATENCY.format(mark=mark, event=ALLOC)
    text += LATENCY.format(mark=mark, event="<stack trace>") + " => __alloc_pages\n"
    assert rows(text) == [TASK | BLOCK | {"stack": "__alloc_pages"}]


@pytest.mark.parametrize("prefix", ["", "[    1.000000] "])
def test_a_capture_is_refused_whose_times_cannot_be_compared_with_its_other_files(tmp_path, prefix: str) -> None:
    (tmp_path / "trace.txt").write_text((prefix + LATENCY.format(mark=" ", event=ALLOC)) * 3)
    with pytest.raises(InputError, match=r"echo 0 > .*latency-format"):
        open_recording(tmp_path)


def test_trace_cmd_report_l_is_read() -> None:
    assert rows(f"cpus=2\n    appd-500       1d..1.   100.000000: {ALLOC.replace(': ', ':      ', 1)}\n") == [
        TASK | BLOCK
    ]


@pytest.mark.parametrize(
    "prefix", ["[   99.500000] ", "<4>[   99.500000][  T500] ", "Nov 26 web1 kernel: [   99.500000] ", ""]
)
def test_a_dump_of_the_ring_in_the_kernels_log_is_read_and_the_log_around_it_is_not(prefix: str) -> None:
    text = "Kernel panic - not syncing: sysrq\nDumping ftrace buffer:\n---------------------------------\n"
    text += (
        LATENCY.format(mark=" ", event=ALLOC) + LATENCY.format(mark="!", event="<stack trace>") + " => __alloc_pages\n"
    )
    text += "CPU:1 [LOST 7 EVENTS]\n---------------------------------\nRebooting in 5 seconds..\n"
    found = rows("".join(f"{prefix}{line}\n" for line in text.splitlines()))
    assert found[0] == TASK | BLOCK | {"stack": "__alloc_pages"}
    assert [row["kind"] for row in found[1:]] == [Kind.GAP]


def test_a_dump_of_the_ring_is_found_behind_a_long_log() -> None:
    log = "[    0.000000] Linux version 6.1.0 (build@host) #1 SMP\n" * 15_000
    lines = ["Dumping ftrace buffer:", "-" * 33, LATENCY.format(mark=" ", event=ALLOC).rstrip(), "-" * 33]
    assert rows(log + "".join(f"[   99.500000] {line}\n" for line in lines) + log) == [TASK | BLOCK]


def test_what_the_console_printed_within_the_dump_is_not_understood() -> None:
    lines = ["Dumping ftrace buffer:", "-" * 33, *[LATENCY.format(mark=" ", event=ALLOC).rstrip()] * 2, "-" * 33]
    lines.insert(3, "usb 1-1: new device")
    assert refused("".join(f"[    1.000000] {line}\n" for line in lines)) == 1


def test_events_within_a_function_graph_are_read() -> None:
    text = f"""\
# tracer: function_graph
#     TIME        CPU  DURATION                  FUNCTION CALLS
  100.000000 |   1)               |  __alloc_pages() {{
  100.000000 |   1)   0.141 us    |    __zone_watermark_ok();
  100.000000 |   1)   appd-500    |  d..1. |               |  /* {ALLOC} */
  100.000000 |   1)   9.2 us      |  }} /* __alloc_pages */
 ------------------------------------------
 1)    kthrea-2     =>     appd-500
 ------------------------------------------

  100.000000 |   1)   ==========> |
  100.00001 |   1)               |  /* {ALLOC} */
  100.000000 |   0)               |  /* {ALLOC} */
  100.000000 |   0)               |  /* SNAPSHOT a begin */
"""
    nobody = {"trace_ts_nsec": 100_000_000_000, "cpu": 0}
    marker = {"kind": Kind.MARKER, "detail": {"text": "SNAPSHOT a begin"}}
    later = TASK | BLOCK | {"trace_ts_nsec": 100_000_010_000}
    assert rows(text) == [TASK | BLOCK, later, nobody | BLOCK, nobody | marker]
    assert refused(text.replace(f"/* {ALLOC} */", f"x* {ALLOC} */", 1)) == 1


def test_a_function_graph_without_times_is_refused_with_what_to_do() -> None:
    text = f"# tracer: function_graph\n 1)               |  f() {{\n 1)               |  /* {ALLOC} */\n 1)   9.2 us    |  }}\n"
    with pytest.raises(InputError, match="funcgraph-abstime"):
        opened(text)


def test_of_several_files_of_trace_cmd_one_is_read_and_two_are_refused_by_name() -> None:
    line = f"host.dat:             appd-500   [001] d..1.   100.000000: {ALLOC}\n"
    assert rows("cpus=2\n" + twice(line)) == BOTH
    with pytest.raises(InputError, match=r"host\.dat and guest\.dat; run 'trace-cmd report -i FILE' for each"):
        rows(line + line.replace("host", "guest"))


@pytest.mark.parametrize("before", ["12:", "trace.txt:", "trace.txt:12:"])
def test_what_grep_puts_before_a_line_is_left_out(before: str) -> None:
    assert rows(twice(f"{before}{HEAD}{ALLOC}\n")) == BOTH


def test_the_difference_of_times_in_a_report_of_trace_cmd_is_left_out() -> None:
    line = f"            appd-500   [001] d..1.   100.000000: (+12)   {ALLOC}\n"
    assert rows(twice(line)) == BOTH


def test_the_verbose_latency_format_is_refused_with_what_to_do() -> None:
    line = f"            appd     500 1 0 00000000 00000001 [0000000005f5e100] 0.000ms (+0.000ms): {ALLOC}\n"
    with pytest.raises(InputError, match=r"echo 0 > .*latency-format"):
        opened(line * 2)


@pytest.mark.parametrize("scripts", [3, 9_000])
def test_the_trace_within_a_page_of_systrace_is_found(scripts: int) -> None:
    page = (
        "<!DOCTYPE html>\n<html><head>\n<script>\n"
        + "var a=1; function b(){return 5;}\n" * scripts
        + "x" * 200_000
        + "\n</script>\n"
    )
    page += f'<script class="trace-data" type="application/text">\n# tracer: nop\n#\n{HEAD}{ALLOC}\n  </script>\n</body></html>\n'
    assert rows(page) == [TASK | BLOCK]


@given(st.lists(st.sampled_from(["", "a", "bc\n", "\n", "\r\n"])), st.integers(1, 5))
def test_rewriting_keeps_the_lines(parts: list[str], size: int) -> None:
    data = "".join(parts).encode()
    read = rewritten(trickle(data, lambda: size), lambda line: b"<" + line + b">").read()
    *lines, tail = data.split(b"\n")
    assert read == b"".join(b"<" + line + b">\n" for line in lines) + tail


# --- perf script

PERF_TASK = TASK | {"trace_ts_nsec": 22_498_450_000}
CHAIN = ["__alloc_pages+0x10", "pipe_write+0x12", "do_syscall_64+0x15"]


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ("            appd   500 [001]    22.498450:          1 ", {"cpu", "pid", "comm"}),
        ("            appd   500 [001]    22.498450: ", {"cpu", "pid", "comm"}),
        ("   400/500     [001]    22.498450: ", {"cpu", "pid"}),
        ("4194304/500 [001]    22.498450: ", {"cpu", "pid"}),
        ("            appd [001]    22.498450: ", {"cpu", "comm"}),
        ("            appd    22.498450: ", {"comm"}),
        ("    22.498450: ", set()),
        ("            appd   500 [001] K         22.498450: ", {"cpu", "pid", "comm"}),
        ("            appd   500 [001] 2024-01-01 00:00:00.498450    22.498450: ", {"cpu", "pid", "comm"}),
    ],
)
@pytest.mark.parametrize("name", ["kmem:mm_page_alloc", "mm_page_alloc", "kmem:mm_page_alloc:k"])
def test_a_sample_is_read_whatever_f_leaves_out(head: str, known: set[str], name: str) -> None:
    (row,) = rows(head + PERF_ALLOC.replace("kmem:mm_page_alloc", name) + "\n")
    row.pop("tgid", None)
    assert row == BLOCK | {key: PERF_TASK[key] for key in ("trace_ts_nsec", *known)}


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ("    appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
        ("    appd     400/500       1     22.498450:          1 ", {"cpu", "pid", "comm"}),
        ("appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
        ("    500   1     22.498450: ", {"cpu", "pid"}),
        ("    appd   1     22.498450: ", {"cpu", "comm"}),
        ("  1     22.498450: ", {"cpu"}),
        ("appd 500 1 22.498450: ", set()),
        ("500 1 22.498450: ", set()),
        ("            appd 500   1     22.498450: ", set()),
        ("> appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
    ],
)
def test_the_cpu_of_perf_script_l_has_no_brackets_and_is_no_thread(head: str, known: set[str]) -> None:
    (row,) = rows(f"{head}{PERF_ALLOC}\n")
    row.pop("tgid", None)
    assert row == BLOCK | {key: PERF_TASK[key] for key in ("trace_ts_nsec", *known)}


def test_a_task_whose_name_ends_in_a_number_keeps_its_thread() -> None:
    (row,) = rows(f"        Worker 1     500    22.498450: {PERF_ALLOC}\n")
    assert (row["comm"], row["pid"]) == ("Worker 1", 500)


@pytest.mark.parametrize(
    "name",
    [
        "page-faults",
        "cpu-clock:pppH",
        "cpu-migrations",
        "L1-dcache-load-misses:u",
        "cpu/event=0x3c,umask=0x1/",
        "cpu_core/cycles/P",
    ],
)
def test_perfs_own_events_say_nothing_of_pages(name: str) -> None:
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n"
    other = f"            appd   500 [001]    22.498451:     250000 {name}: \n\tffffffff81000000 f+0x1 ([kernel.kallsyms])\n\n"
    parser = opened(sample + other)
    assert [row["kind"] for row in rows_of(parser.batches())] == [Kind.ALLOC]
    assert (parser.account.not_understood, parser.account.ignored[name]) == (0, 1)


def test_a_record_that_perf_made_of_no_cpu_is_a_record() -> None:
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n"
    parser = opened(f"            perf     0 [-01]     0.000000: PERF_RECORD_FINISHED_INIT\n{sample}")
    assert [row["kind"] for row in rows_of(parser.batches())] == [Kind.ALLOC]
    assert parser.account.ignored == {"PERF_RECORD_FINISHED_INIT": 1}


@pytest.mark.parametrize("head", ["            appd   500 [001] ", "", "            appd "])
def test_samples_without_a_time_are_refused_with_what_to_do(head: str) -> None:
    with pytest.raises(InputError, match=r"no time: .*-F \+time"):
        opened(f"{head}{PERF_ALLOC}\n" * 3)


@pytest.mark.parametrize("head", ["            appd   500 [001]    22.498450: ", "    22.498450123:          1 "])
def test_samples_without_the_event_are_refused_with_what_to_do(head: str) -> None:
    with pytest.raises(InputError, match=r"allocated or freed is not said: .*-F \+event"):
        opened(f"{head}{PERF_ALLOC.partition(': ')[2]}\n" * 3)


@pytest.mark.parametrize(
    "frame",
    [
        "\tffffffff8110{place}00 {name} ([kernel.kallsyms])",
        "\tffffffff8110{place}00 {name} ([kernel.kallsyms])\n  page_alloc.c:1544",
        "\tffffffff8110{place}00 {name}\n  ??:0",
        "\t        c010{place}000 {name} ([kernel.kallsyms])",
        "\t        c010{place}000 {name}",
        "\t          1a2{place}b {name} (/usr/lib/debug/boot/vmlinux-6.1)",
        "\t{name} ([kernel.kallsyms])",
        "\t{name}",
    ],
)
def test_the_whole_kernels_part_of_a_chain_is_kept(frame: str) -> None:
    chain = "\n".join(frame.format(place=place, name=name) for place, name in enumerate(CHAIN))
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n{chain}\n"
    users = "\t        00012345 main (/usr/bin/appd)\n" if "(" in frame or "c010" in frame else ""
    found = rows(f"{sample}{users}\n" + f"{sample}{users}\n".replace("22.498450", "22.498451"))
    assert [row["stack"] for row in found] == ["\n".join(CHAIN)] * 2


def test_the_place_of_a_sample_without_a_chain_is_no_field() -> None:
    (row,) = rows(
        f"  appd   500 [001]    22.498450: {PERF_ALLOC} ffffffff81000010 __alloc_pages+0x10 ([kernel.kallsyms])\n"
    )
    assert row == PERF_TASK | BLOCK


def test_the_header_of_perf_names_host_and_kernel(tmp_path) -> None:
    header = "# ========\n# captured on    : Mon Jan  1 00:00:00 2024\n# hostname : web17\n# os release : 5.14.0\n# ========\n#\n"
    file = tmp_path / "perf.txt"
    file.write_text(f"{header}            appd   500 [001]    22.498450: {PERF_ALLOC}\n")
    with open_recording(file) as recording:
        assert recording.info.host == "web17"
    origin = PERF_SCRIPT.origin
    assert origin is not None
    assert origin(header.encode()).release == "5.14.0"


# --- a fast path is the general path

FTRACE_FORMS = f"""\
cpus=4
{HEAD}mm_page_alloc:        page=0x3070e0 pfn=3174624 order=0 migratetype=0 gfp_flags=GFP_KERNEL_ACCOUNT|__GFP_ZERO
{HEAD}kernel_stack:         <stack trace >
=> __alloc_pages (ffffffffc065ed5c)
=> alloc_pages (ffffffffc065ed5d)
{HEAD}mm_page_alloc: page=00000000d2be5665 pfn=970744 order=0 migratetype=1 nr_free=3650 gfp_flags=GFP_HIGHUSER|__GFP_ZERO
{HEAD}mm_page_free:         [FAILED TO PARSE] pfn=3174624 order=0
{HEAD}tracing_mark_write.llvm.8232844412049014381: B|992|x
{HEAD}print: hello
{HEAD}alloc_pages <-pipe_write
{HEAD}{FREE}
"""
PERF_FORMS = f"""\
            appd   500 [001]    22.498450:          1 {PERF_ALLOC}
\t        c0100000 __alloc_pages+0x10 ([kernel.kallsyms])
  page_alloc.c:1544
\t        c0100100 pipe_write+0x12 ([ext4])
  pipe.c:15

6429/6429  [000]    22.498450: mm_page_free: page=0x7a120 pfn=0x7a120 order=2
\t__free_pages ([kernel.kallsyms])
\tmain (/usr/bin/appd)
"""


@settings(max_examples=100)
@given(st.integers(0, 1 << 32), st.integers(0, 20), st.booleans())
def test_kernel_equals_reference_on_damaged_forms(seed: int, changes: int, windows: bool) -> None:
    traces = FTRACE_FORMS.encode(), PERF_FORMS.encode()
    trace, perf = (mutated(text.replace(b"\n", b"\r\n") if windows else text, seed, changes) for text in traces)
    assert outcome(FtraceText(io.BytesIO(trace), source="test")) == expected(read_ftrace(trace))
    assert outcome(PerfScript(io.BytesIO(perf), source="test")) == expected(read_perf(perf))


def test_the_forms_are_recognised_and_have_one_call_path() -> None:
    assert recognise(FTRACE_FORMS.encode(), "") is FTRACE_TEXT
    assert recognise(PERF_FORMS.encode(), "") is PERF_SCRIPT
    stacks = [str(row["stack"]) for text in (FTRACE_FORMS, PERF_FORMS) for row in rows(text) if "stack" in row]
    assert [canonical_stack(stack).frames for stack in stacks] == ["alloc_pages", "pipe_write [ext4]", "__free_pages"]


def test_a_trace_of_which_no_event_could_be_read_is_refused_with_what_was_seen(tmp_path) -> None:
    file = tmp_path / "trace.txt"
    file.write_text(f"{HEAD}sched_switch: prev=1\n" * 3 + f"{HEAD}mm_page_alloc: pfn=0x7a120\n" * 2)
    with pytest.raises(InputError) as refusal:
        ingest(tmp_path / "trail", file)
    for said in (
        "found none in 5 lines",
        "2 not understood: mm_page_alloc",
        "the first is line 4",
        "3 of sched_switch",
        "Record kmem:",
    ):
        assert said in str(refusal.value)


# --- what stands before each line


PREFIXES = [
    "> ", ">> ", "\t", "   12\t", "2026-11-27 08:41:11.123 ", "2026-11-27T08:41:11+0000 web17 kernel: ",
    "Nov 27 08:41:11 web17 kernel: ", "[08:41:11.123] ", "11-27 08:41:11.001  1234  1234 I kernel  : ", "I/kernel  ( 1234): ",
    "[2026-11-27 08:41:11] ", "2026-11-27T08:41:11.123456789Z stdout F ", "2026-11-27T08:41:11.1+00:00 web17 kernel: [  1.23] ",
    "12. ", "[  100.000001] ", "<6>[  100.000001][ T12] ", "\x1b[32m", "\x1b[?2004l\r",
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_a_mail_a_console_or_a_log_puts_before_each_line_is_taken_away(prefix: str) -> None:
    lines = ["# tracer: nop", "#", f"{HEAD}{ALLOC}", f"{HEAD}{FREE}"]
    found = rows("".join(f"{prefix}{line}\n" for line in lines))
    assert found[0] == TASK | BLOCK
    assert [row["kind"] for row in found] == [Kind.ALLOC, Kind.FREE]


OTHER_BLANKS = [
    lambda text: re.sub(r"(?<=\S) {2,}", "\t", text),
    lambda text: re.sub(r" +", "\t", text),
    lambda text: text.replace("        ", "\t"),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: re.sub(r"(?<= ) ", "\u00a0", text),
    lambda text: text.replace("\n", "   \n"),
    lambda text: text.replace("\n", "\t\r\n"),
    lambda text: re.sub(r"(?m)^", "    ", text),
    lambda text: "".join(f"{number}:{line}\n" for number, line in enumerate(text.splitlines(), 1)),
]


@pytest.mark.parametrize("other", OTHER_BLANKS)
def test_a_trace_with_other_blanks_than_its_tool_writes_is_read_with_its_stacks(other: Callable[[str], str]) -> None:
    stack = f"{HEAD}<stack trace>\n => __alloc_pages\n => ext4_grow [ext4]\n"
    parser = opened(other(f"# tracer: nop\n#\n{HEAD}{ALLOC}\n{stack}{HEAD}{FREE}\n"))
    found = rows_of(parser.batches())
    assert [row["kind"] for row in found] == [Kind.ALLOC, Kind.FREE]
    assert found[0] == TASK | BLOCK | {"stack": "__alloc_pages\next4_grow [ext4]"}
    assert parser.account.not_understood == 0


@pytest.mark.parametrize("other", OTHER_BLANKS)
def test_samples_with_other_blanks_than_perf_writes_are_read_with_their_chains(other: Callable[[str], str]) -> None:
    frames = "".join(f"\tffffffff8110{place}00 {name} ([kernel.kallsyms])\n" for place, name in enumerate(CHAIN))
    parser = opened(
        other("".join(f"            appd   500 [001]    22.49845{at}: {PERF_ALLOC}\n{frames}\n" for at in range(3)))
    )
    found = rows_of(parser.batches())
    assert found[0] == PERF_TASK | BLOCK | {"stack": "\n".join(CHAIN)}
    assert (len(found), parser.account.not_understood) == (3, 0)


@pytest.mark.parametrize(
    "left", ["            appd", "            appd   500 [00", "            appd   500 [001]    22.498452: kmem:mm_p"]
)
def test_what_is_left_of_a_sample_behind_a_tab_is_no_frame(left: str) -> None:
    frame = "\tffffffff81101000 __alloc_pages+0x10 ([kernel.kallsyms])\n"
    text = "".join(f"            appd   500 [001]    22.49845{at}: {PERF_ALLOC}\n{frame}\n" for at in range(2))
    assert refused(re.sub(r" +", "\t", f"{text}{left}\n")) == 1
    assert refused(re.sub(r" +", "\t", f"{text.rstrip()}\n{left}\n{text}")) == 1


def test_comments_of_an_indented_trace_are_comments() -> None:
    assert rows(f"    # tracer: nop\n    #\n    {HEAD}{ALLOC}\n") == [TASK | BLOCK]


def test_comments_behind_numbers_of_lines_are_comments() -> None:
    lines = ["# tracer: nop", "# entries-in-buffer/entries-written: 1/9   #P:2", f"{HEAD}{ALLOC}"]
    parser = opened("".join(f"{number}:{line}\n" for number, line in enumerate(lines, 1)))
    assert Kind.GAP in {row["kind"] for row in rows_of(parser.batches())}
    assert (parser.account.not_understood, parser.account.lost_events) == (0, 8)


@pytest.mark.parametrize(
    "count",
    ["x# entries-in-buffer/entries-written: 1/9   #P:2", "# entries-in-buffer/entries-written: 1/", "# entries-in-b"],
)
def test_a_count_of_entries_that_cannot_be_read_leaves_nothing_sure(count: str) -> None:
    parser = opened(f"{count}\n{HEAD}{ALLOC}\n")
    found = [row for row in rows_of(parser.batches()) if row["kind"] == Kind.GAP]
    assert any("cannot be read" in str(row["detail"]) for row in found)


def test_a_quoted_sample_of_perf_has_its_own_name() -> None:
    sample = f"            appd   500 [001]   100.000000: {PERF_ALLOC}"
    assert rows(f"> {sample}\n> {sample}\n")[0]["comm"] == "appd"


def test_an_event_of_ftrace_among_samples_of_perf_is_shown_as_it_was_written() -> None:
    parser = opened(f"{HEAD}{FREE}\n" + f"appd 500 [001] 100.000000: {PERF_ALLOC}\n" * 3)
    list(parser.batches())
    assert [example.text for example in parser.account.examples] == [f"{HEAD}{FREE}"]


def test_a_line_without_the_prefix_of_the_others_stays_as_it_is() -> None:
    assert refused(f"> # tracer: nop\n> {HEAD}{ALLOC}\nI think that this is wrong.\n> {HEAD}{FREE}\n") == 1


def test_messages_of_journald_in_json_are_read_as_text() -> None:
    lines = ["# tracer: nop", *twice(f"{HEAD}{ALLOC}\n").splitlines()]
    text = "".join(json.dumps({"PRIORITY": "6", "MESSAGE": line, "_PID": "1"}) + "\n" for line in lines)
    assert rows(text) == BOTH
    assert refused(text + '{"MESSAGE": "cut\n{"MESSAGE": null}\n{"MESSAGE": [104, 105]}\n') == 3


def test_in_a_page_that_is_no_script_entities_are_characters() -> None:
    page = f"<html><pre>\n# tracer: nop\n{HEAD.replace('appd', '&lt;a&amp;')}{ALLOC}\n</pre></html>\n"
    assert rows(page)[0]["comm"] == "<a&"


def test_what_was_written_to_trace_marker_raw_is_no_loss() -> None:
    assert rows(f"{HEAD}# 4d2 buf: 01 02 ff\n{HEAD}{ALLOC}\n") == [TASK | BLOCK]
    assert refused(f"{HEAD}# 4d2 buf: 01 0\n{HEAD}{ALLOC}\n") == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"--- a/trace\n+++ b/trace\n@@ -1,3 +1,4 @@\n {HEAD}{ALLOC}\n-{HEAD}{FREE}\n", "as diff prints it"),
        ("@@ -1,3 +1,4 @@\n Page allocated via order 0, mask 0x0\n", "as diff prints it"),
        ('{"traceEvents":[],"systemTraceEvents":"# tracer: nop"}', "JSON of Chrome"),
        ('{"MESSAGE": "hello"}\n', "journald"),
        ("     0.000 kmem:mm_page_alloc(pfn: 600000, order: 0)\n", "perf trace"),
        ('{"type": "map", "data": {"@": {"appd": 5}}}\n', "bpftrace"),
        ("# Overhead  Command\n", "perf"),
        (" Performance counter stats for 'system wide':\n", "perf"),
        ("[08:41:11.1] (+0.01) web17 kmem_mm_page_free: { cpu_id = 1 }, { pfn = 1 }\n", "LTTng"),
        ("#,CPU,Time Stamp,Task,PID\n", "KernelShark"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("MemFree:        100 kB\n", "counters"),
        ("Node 0, zone      DMA\n  per-node stats\n", "counters"),
        ("0xffffb0d800000000-0xffffb0d800005000   20480 f+0x114/0x1b0 vmap\n", "counters"),
        ("# event histogram\n#\n", "counters"),
    ],
)
def test_what_holds_no_pages_is_named(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        opened(text)


@pytest.mark.parametrize("message", ["100000000000000000", "1e400", "{}", "null", "[1, 2, 300]"])
def test_a_message_of_journald_that_is_no_text_stays_as_it_is(message: str) -> None:
    line = f'{{"__CURSOR": "x", "MESSAGE": {message}}}'.encode()
    assert message_of(line) == line


def test_a_message_of_several_lines_is_one_line() -> None:
    assert message_of(b'{"MESSAGE": "one\\ntwo"}') == b"one two"
    assert message_of(b'{"MESSAGE": [97, 10, 98]}') == b"a b"


def test_the_name_of_a_task_is_no_prefix_of_all_lines() -> None:
    names = ["12:00:01 job", "kworker/0:1", "sh"]
    text = "".join(f"{name:>16} 43 [001]    {at}.500000: {PERF_ALLOC}\n" for at, name in enumerate(names, 1))
    assert {row["comm"] for row in rows(text)} == {*names}


def test_an_indented_header_takes_nothing_from_a_task_whose_name_begins_as_a_comment() -> None:
    (row,) = rows(f"  # tracer: nop\n  #\n{'#x-2':>16}{HEAD[HEAD.index(' [') :]}{ALLOC}\n")
    assert row["comm"] == "#x"


@pytest.mark.parametrize(
    "text",
    [
        f"--- d1.txt\t2026-11-27\n+++ d2.txt\t2026-11-27\n@@ -1,3 +1,4 @@\n {HEAD}{ALLOC}\n {HEAD}{FREE}\n-{HEAD}{FREE}\n",
        f"*** d1.txt\t2026\n--- d2.txt\t2026\n***************\n*** 1,2 ****\n  {HEAD}{ALLOC}\n  {HEAD}{FREE}\n",
    ],
)
def test_the_difference_of_two_traces_is_refused_although_most_lines_are_those_of_a_trace(text: str) -> None:
    assert recognise(text.encode(), "").name == "a difference of two texts, as diff prints it"
