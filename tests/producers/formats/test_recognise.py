"""Recognising a file by its content."""

import contextlib
import lzma
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.formats.page_owner.alone import PAGE_OWNER
from pagetrail.producers.formats.page_owner.reports import PAGE_REPORTS
from pagetrail.producers.formats.perf_data.perf_data import PERF_DATA
from pagetrail.producers.formats.recognise import HEAD_BYTES, opener, recognise
from pagetrail.producers.formats.table import FORMATS
from pagetrail.producers.formats.text.ftrace import FTRACE_TEXT
from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT
from pagetrail.producers.formats.trace_dat.trace_dat import TRACE_DAT
from pagetrail.producers.formats.unread import DMESG
from pagetrail.producers.inputs import open_input
from pagetrail.schemas.errors import InputError, PagetrailError, UnrecognisedInput

FTRACE = "          <idle>-0       [000] d....     0.000000: mm_page_free: page=(____ptrval____) pfn=0x214e order=0\n"
TGID = "      wl-anon-72    (     72) [001] .....    31.473160: mm_page_free: page=0000000012345678 pfn=0x1 order=0\n"
NO_FLAGS = "  a b: c-5       [000]     0.000000: mm_page_free: page=(____ptrval____) pfn=0x214e order=0\n"
STACK = " => __alloc_pages\n => allocate_slab\n"
PERF = "            perf   123 [001]    11.784091: kmem:mm_page_alloc: page=0x1113b pfn=0x1113b order=0\n"
CHAIN = "\tffffffff81234567 __alloc_pages+0x16f ([kernel.kallsyms])\n\n"
DUMP = "Page allocated via order 0, mask 0x0(), pid 1, tgid 1 (swapper/0), ts 840783087 ns, free_ts 0 ns\n"
BOOT_LOG = "[    0.000000] Linux version 6.1.192\n"

EXAMPLES = [
    ("# tracer: nop\n#\n", FTRACE_TEXT),
    (FTRACE, FTRACE_TEXT),
    (TGID, FTRACE_TEXT),
    (NO_FLAGS, FTRACE_TEXT),
    (STACK * 30 + FTRACE, FTRACE_TEXT),
    ("CPU:1 [LOST 2256 EVENTS]\n" + FTRACE, FTRACE_TEXT),
    ("CPU:1 [LOST 2256 EVENTS]\n", FTRACE_TEXT),
    (FTRACE[30:] + FTRACE * 3, FTRACE_TEXT),
    (PERF, PERF_SCRIPT),
    ((PERF + CHAIN) * 3, PERF_SCRIPT),
    ("    a b 123/125 [001] 11.784091123:          1 kmem:mm_page_free: page=0x1\n", PERF_SCRIPT),
    (DUMP + "PFN 256 type Unmovable Block 0 type Unmovable Flags 0x0()\n", PAGE_OWNER),
    ("PFN 1 type\n\n" + DUMP, PAGE_OWNER),
    ("Page allocated via order 0, mask 0x0\n", PAGE_OWNER),
    (BOOT_LOG, DMESG),
    (FTRACE * 9 + "damage \0\0\0\n", FTRACE_TEXT),
]


@pytest.mark.parametrize(("text", "found"), EXAMPLES)
def test_a_text_is_recognised_by_its_lines(text, found):
    assert recognise(text.encode(), "any name") is found


@pytest.mark.parametrize("name", ["perf.data", "trace.txt", "page_owner.txt"])
def test_the_name_does_not_matter(name):
    assert recognise(DUMP.encode(), name) is PAGE_OWNER


@pytest.mark.parametrize("version", [b"6", b"7", b"8"])
def test_a_trace_dat_is_recognised_in_every_version(version):
    assert recognise(b"\x17\x08\x44tracing" + version + b"\0", "file") is TRACE_DAT


@pytest.mark.parametrize("head", [b"PERFILE2h\0\0\0", b"2ELIFREP\0\0\0h"])
def test_a_perf_data_is_recognised_in_both_byte_orders(head):
    assert recognise(head, "file") is PERF_DATA


@pytest.mark.parametrize("found", [FTRACE_TEXT, PERF_SCRIPT, PAGE_OWNER], ids=lambda found: found.name)
def test_what_is_readable_is_not_refused(found):
    assert opener(found, "file") is found.opens


def test_no_two_formats_share_a_name_or_a_name_of_traces():
    names = [found.name for found in FORMATS]
    traces = [name for found in FORMATS for name in found.trace_names]
    assert len(set(names)) == len(names)
    assert len(set(traces)) == len(traces)


def test_a_trace_has_a_name_in_a_capture_directory_and_nothing_else_has_one():
    assert {found.name for found in FORMATS if found.trace_names} == {found.name for found in FORMATS if found.tracer}


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "nothing"),
        (b"\x7fELF\x02\x01\x01\0", "binary data that begins with 7f 45 4c 46"),
        (b"snapshots/1/page_owner.txt" + bytes(486) + DUMP.encode(), "binary data"),
        (b"\n\nDear all,\nhello\n", "text that begins with 'Dear all,'"),
    ],
)
def test_anything_else_is_refused_and_the_message_says_what_it_looks_like(head, says):
    with pytest.raises(UnrecognisedInput) as refused:
        recognise(head, "letter.txt")
    assert says in str(refused.value)
    assert "letter.txt" in str(refused.value)


@pytest.mark.parametrize(
    ("head", "says"),
    [(lzma.compress(b"a", format=lzma.FORMAT_ALONE), "lzma -d"), (zlib.compress(b"a"), "zlib-flate")],
    ids=["lzma", "zlib"],
)
def test_a_compression_that_is_not_read_is_named(head, says):
    with pytest.raises(InputError, match=says):
        opener(recognise(head, "file"), "file")


@given(st.binary(max_size=300))
def test_no_content_is_an_error_of_ours(head):
    with contextlib.suppress(PagetrailError):
        recognise(head, "file")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("small/trace.txt.zst", FTRACE_TEXT),
        ("probes/trace.txt.zst", FTRACE_TEXT),
        ("stack/trace.txt.zst", FTRACE_TEXT),
        ("lossy/trace.txt.zst", FTRACE_TEXT),
        ("lossy/trace_rest.txt", FTRACE_TEXT),
        ("perf-plain/perf-script.txt.zst", PERF_SCRIPT),
        ("perf-g/perf-script.txt.zst", PERF_SCRIPT),
        ("perf-lost/perf-script.txt.zst", PERF_SCRIPT),
        ("perf-plain/perf.data.zst", PERF_DATA),
        ("small/trace.dat", TRACE_DAT),
        ("perf-g/dmesg.txt", DMESG),
        ("small/dmesg.txt", PAGE_REPORTS),
        ("small/snapshots/1-boot/page_owner.txt.zst", PAGE_OWNER),
    ],
)
def test_files_of_real_recordings_are_recognised(captures, name, found):
    with open_input(captures / name) as stream:
        assert recognise(stream.read(HEAD_BYTES), name) is found
