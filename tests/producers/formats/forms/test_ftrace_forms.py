"""Laws of the forms in which people have traces of ftrace and trace-cmd: vendors' fields, latency format, graphs, logs, HTML."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.ingesting import ingest
from pagetrail.producers.formats.recognise import recognise
from pagetrail.producers.formats.rewritten import rewritten
from pagetrail.producers.formats.text.ftrace import FTRACE_TEXT, FtraceText
from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT, PerfScript
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.stacks import canonical_stack
from tests.oracles.text.ftrace import read_ftrace
from tests.oracles.text.perf import read_perf
from tests.producers.formats.forms.samples import (
    ALLOC,
    BLOCK,
    BOTH,
    FREE,
    FTRACE_FORMS,
    HEAD,
    LATENCY,
    PERF_FORMS,
    TASK,
    opened,
    refused,
    rows,
    twice,
)
from tests.producers.formats.text_samples import expected, mutated, outcome, trickle

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


# --- a fast path is the general path


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
