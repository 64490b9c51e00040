"""Laws of traces that a mail, a console, a log or an editor changed line by line, and of texts that hold no pages."""

import json
import re
from collections.abc import Callable

import pytest

from pagetrail.producers.formats.prefixed import message_of
from pagetrail.producers.formats.recognise import recognise
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.oracles.text.reading import rows_of
from tests.producers.formats.forms.samples import (
    ALLOC,
    BLOCK,
    BOTH,
    CHAIN,
    FREE,
    HEAD,
    PERF_ALLOC,
    PERF_TASK,
    TASK,
    opened,
    refused,
    rows,
    twice,
)

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
