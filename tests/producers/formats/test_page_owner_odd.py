"""page_owner dumps as people have them: pasted, prefixed, cut, joined, and as other tools print them."""

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail.producers.formats.page_owner.alone import DUMPS, PageOwnerFile
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.producers.formats.recognise import opener, recognise
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.stacks import CUT_OFF

STACKS = (
    "__alloc_pages+0x20/0x1a0 alloc_pages+0x28/0x1b0 pipe_write+0x30/0x1c0 vfs_write+0x38/0x1d0",
    "__alloc_pages+0x20/0x1a0 vma_alloc_folio+0x28/0x1b0 do_anonymous_page+0x30/0x1c0 handle_mm_fault+0x38/0x1d0",
)


def record(number, *, comm="appd", pfn=None, ts=None, behind=()):
    """Return the lines of one record as the kernel prints them."""
    ts = 1_000_000_000 + number if ts is None else ts
    return [
        (
            f"Page allocated via order 0, mask 0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), pid {500 + number}, "
            f"tgid {600 + number} ({comm}), ts {ts} ns, free_ts 7 ns"
        ),
        f"PFN {8192 + number if pfn is None else pfn} type Movable Block 16 type Movable Flags 0x17ffffc0020014(lru|node=0)",
        *(f" {frame}" for frame in STACKS[number % 2].split()),
        *behind,
        "",
    ]


def text(lines):
    return "".join(f"{line}\n" for line in lines).encode()


PLAIN = [line for number in range(10) for line in record(number)]


def read(data, source="page_owner.txt"):
    """Return what a file of *data* is read as: the rows of its entries, its baselines, and the parser."""
    stream = io.BytesIO(data)
    stream.source = source
    parser = opener(recognise(data, source), source)(stream, RecordedKernel())
    rows, begins = [], []
    for batch in parser.batches():
        for place, kind in enumerate(batch.columns["kind"].tolist()):
            if kind == Kind.BASELINE_BEGIN:
                begins.append(BaselineBegin.model_validate_json(batch.details[place]))
            if kind == Kind.BASELINE_ENTRY:
                rows.append(row_of(batch, place))
    return rows, begins, parser


def row_of(batch, place):
    row = {name: int(batch.column(name)[place]) for name in ("pfn", "order", "pid", "tgid", "ts_nsec", "gfp_mask")}
    row = {name: value for name, value in row.items() if value != absent(name)}
    for name in ("comm", "stack", "cgroup"):
        number = int(batch.column(name)[place])
        row[name] = None if number < 0 else batch.texts[name][number]
    return row


def expected(number, **changed):
    stack = "\n".join(STACKS[number % 2].split())
    return {
        "pfn": 8192 + number, "order": 0, "pid": 500 + number, "tgid": 600 + number, "ts_nsec": 1_000_000_000 + number,
        "gfp_mask": 0x140CCA, "comm": "appd", "stack": stack, "cgroup": None, **changed,
    }  # fmt: skip


ALL = [expected(number) for number in range(10)]


def prefixed(form):
    return text(form % (number, line) for number, line in enumerate(PLAIN))


def behind_each(pattern, added):
    return text(part for line in PLAIN for part in ([line, added] if re.match(pattern, line) else [line]))


WHOLE = {
    "as the kernel prints it": text(PLAIN),
    "CRLF": text(PLAIN).replace(b"\n", b"\r\n"),
    "trailing blanks": text(line + " \t" for line in PLAIN),
    "no indents": text(line.strip() for line in PLAIN),
    "tabs for indents": text(re.sub("^ ", "\t", line) for line in PLAIN),
    "all lines indented": text(f"    {line}" for line in PLAIN),
    "empty lines with a blank": text(line or " " for line in PLAIN),
    "two empty lines": text(PLAIN).replace(b"\n\n", b"\n\n\n"),
    "an empty line behind each": text(part for line in PLAIN for part in (line, "")),
    "a line before the PFN line": behind_each(
        "Page", "[detail][count:2, mapping:ffffffc0a1b2c3d4, mapcount:0 index:100]"
    ),
    "a line behind the stack": behind_each(r" (vfs|handle_mm)", "Page pinned by vendor_pin"),
    "a field more": text(re.sub(r"(ts 7 ns)$", r"\1, cpu 3", line) for line in PLAIN),
    "printk times": prefixed("[%5d.001000] %s"),
    "printk levels and threads": prefixed("<6>[%5d.001000][ T123] %s"),
    "MediaTek's": prefixed("[%5d.001000]  (1)[1234:sh]%s"),
    "logcat": prefixed("11-26 21:06:24.%03d  1234  5678 I cat     : %s"),
    "syslog": prefixed("Nov 26 21:06:24 host kernel: [%5d.001000] %s"),
    "quoted mail": text(f"> {line}" for line in PLAIN),
    "grep's file and line": text(
        f"page_owner.txt{sign}{number}{sign}{line}"
        for number, line in enumerate(PLAIN)
        for sign in [":" if line.startswith("Page") else "-"]
    ),
    "wrapped headers": text(
        re.sub(r"(.{1,70}) ", r"\1\n", line) if line.startswith("Page") else line for line in PLAIN
    ),
    "two carriage returns": text(PLAIN).replace(b"\n", b"\r\r\n"),
    "numbered lines": text(f"{number:6}\t{line}" for number, line in enumerate(PLAIN, 1)),
    "wall times": text(f"[Thu Nov 26 21:06:24 2026] {line}" for line in PLAIN),
    "colours of a terminal": text(f"\x1b[0m\x1b[32m{line}\x1b[0m" for line in PLAIN),
}


@pytest.mark.parametrize("form", WHOLE)
def test_a_record_survives_odd_lines(form):
    rows, _, parser = read(WHOLE[form])
    assert rows == ALL
    assert (parser.account.unread, parser.account.truncated) == (0, None)


@pytest.mark.parametrize("form", WHOLE)
def test_every_line_is_counted(form):
    _, _, parser = read(WHOLE[form])
    account = parser.account
    assert account.lines == WHOLE[form].count(b"\n") == sum(kind.lines for kind in account.kinds.values())
    unread = sum(kind.lines for (what, _), kind in account.kinds.items() if what == "not_understood")
    assert unread == account.not_understood
    assert account.kinds["event", "page_owner record"].first_line == 1


def test_unknown_lines_are_counted_by_kind_with_the_first_of_each():
    _, _, parser = read(WHOLE["a line before the PFN line"])
    (kind,) = [kind for (what, _), kind in parser.account.kinds.items() if what == "not_understood"]
    assert (kind.first_line, kind.lines, parser.account.not_understood) == (2, 10, 10)


@pytest.mark.parametrize(
    "form", ["as the kernel prints it", "CRLF", "a line behind the stack", "empty lines with a blank"]
)
def test_a_dump_without_a_sign_of_loss_is_whole(form):
    assert [begin.extent for begin in read(WHOLE[form])[1]] == ["whole"]


@pytest.mark.parametrize("form", ["printk times", "grep's file and line", "quoted mail"])
def test_a_dump_that_a_tool_wrote_is_partial(form):
    (begin,) = read(WHOLE[form])[1]
    assert begin.extent == "partial"
    assert "line 1" in begin.partial_because


@pytest.mark.parametrize("said", ["cat: /sys/kernel/debug/page_owner: Cannot allocate memory", "^C", "Killed"])
def test_a_dump_whose_reading_was_stopped_is_partial(said):
    rows, (begin,), _ = read(text([*PLAIN, said]))
    assert len(rows) == len(ALL)
    assert (begin.extent, begin.partial_because) == ("partial", f"reading it was stopped (line {len(PLAIN) + 1})")


def test_records_without_empty_lines_are_read_and_the_last_stack_may_be_cut():
    rows, (begin,), parser = read(text(line for line in PLAIN if line))
    assert rows[:9] == ALL[:9]
    assert rows[9] == expected(9, stack=f"{ALL[9]['stack']}\n{CUT_OFF}")
    assert "its stack may be cut" in parser.account.truncated
    assert begin.extent == "partial"


def test_a_record_that_alone_lacks_its_empty_line_may_have_a_cut_stack():
    rows, _, _ = read(text(PLAIN[: 3 * 7 - 1] + PLAIN[3 * 7 :]))
    assert rows == [*ALL[:2], expected(2, stack=f"{ALL[2]['stack']}\n{CUT_OFF}"), *ALL[3:]]


@pytest.mark.parametrize(
    "junk", ["[  123.456789] usb 1-1: new high-speed USB device", "garbage", " a line with blanks"]
)
def test_junk_within_a_stack_is_counted_and_the_stack_says_so(junk):
    lines = [*PLAIN]
    lines.insert(7 * 4 + 4, junk)
    rows, _, parser = read(text(lines))
    frames = STACKS[0].split()
    assert rows == [*ALL[:4], expected(4, stack="\n".join([*frames[:2], CUT_OFF, *frames[2:]])), *ALL[5:]]
    assert [(note.line, note.text) for note in parser.account.examples] == [(7 * 4 + 5, junk.strip())]


def test_an_empty_line_within_a_stack_cuts_it():
    lines = [*PLAIN]
    lines.insert(7 * 4 + 4, "")
    rows, (begin,), _ = read(text(lines))
    assert rows == [*ALL[:4], expected(4, stack="\n".join([*STACKS[0].split()[:2], CUT_OFF])), *ALL[5:]]
    assert begin.extent == "partial"


def test_greps_separator_says_that_lines_are_left_out():
    lines = [line for number in range(10) for line in [*record(number)[:4], "--"]]
    rows, (begin,), _ = read(text(lines))
    assert rows == [expected(n, stack="\n".join([*STACKS[n % 2].split()[:2], CUT_OFF])) for n in range(10)]
    assert begin.extent == "partial"


def test_no_record_goes_on_where_lines_are_left_out():
    """What ``grep -A0 -E 'order|^PFN'`` leaves: the header of one record may stand before the PFN line of another."""
    lines = [line for number in range(10) for line in [record(number)[0], "--", record(number + 20)[1], "--"]]
    with pytest.raises(InputError, match="none of them could be read"):
        read(text(lines))


@pytest.mark.parametrize("words", [" a" * 60, " a b" * 20 + ":", ": - " * 30, "_a" * 50])
def test_a_long_prefix_is_matched_at_once(words):
    """A pattern with two ways to match each word would take 2**60 steps here."""
    lines = text(f"{words} {line}" for line in PLAIN[:7]) + text([words.replace(" ", "") * 2 + "?"] * 3)
    rows, _, _ = read(lines)
    assert [row["pfn"] for row in rows] == [8192]


COMMS = ["(sd-pam)", "a), ts 5 ns", "new\nline", "", "Web Content", "ümlaut", "\n", "x\n\ny", " ", "PFN 1 type"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_comm_may_have_any_characters(end):
    data = "".join("".join(f"{line}\n" for line in record(n, comm=comm)) for n, comm in enumerate(COMMS))
    rows, _, _ = read(data.replace("\n", end).encode())
    assert [(row["pfn"], row["comm"]) for row in rows] == [(8192 + n, comm) for n, comm in enumerate(COMMS)]


def test_a_pid_with_a_comm_and_no_tgid_is_read():
    rows, _, _ = read(text(re.sub(r", tgid \d+ ", " ", line) for line in PLAIN))
    assert rows == [{name: value for name, value in row.items() if name != "tgid"} for row in ALL]


def test_the_form_of_the_crash_extension_is_read():
    lines = [
        re.sub(r"^ (.*)\+0x(\w+)/.*", lambda m: f"  [<ffffffff81168244>] {m[1]}+{int(m[2], 16)} ", line)
        for line in PLAIN
    ]
    lines = [re.sub(r"^(PFN \d+) .*", r"\1 type ... Block 16", line) for line in lines]
    rows, _, parser = read(text([*lines, "   1.2 GiB : ret_from_fork", "", "Total allocated size : 1.2 GiB"]))
    assert [{**row, "stack": None} for row in rows] == [{**row, "stack": None} for row in ALL]
    assert rows[0]["stack"].split("\n")[1] == "[<ffffffff81168244>] alloc_pages+0x28"
    assert (parser.account.not_understood, parser.account.unread) == (2, 0)


def test_the_form_of_drgns_script_is_read():
    lines = []
    for number in range(10):
        header, _, *frames, _ = record(number)
        header = re.sub(r"mask (0x\w+)\(.*?\)", r"gfp_mask: \1", header)
        header = re.sub(r"\b(t?g?p?id) ", r"\1: ", header)
        lines += [header, f"PFN: {8192 + number}, Flags: 0x17ffffc0020014"]
        lines += [f"#{place}  {frame.strip()}" for place, frame in enumerate(frames)]
    rows, _, parser = read(text(lines))
    assert rows[:9] == ALL[:9]
    assert rows[9] == expected(9, stack=f"{ALL[9]['stack']}\n{CUT_OFF}")
    assert (parser.account.not_understood, parser.account.unread) == (0, 0)


def tracked(number, order=0, last=0):
    return (
        f"PFN : {0x80000 + number:#x}-{0x80000 + number + last:#x} Page : 0xfffffffe00000000 Order : {order} PID : 500 "
        "Comm: a b ts_nsec 1000000000 gfp 0x140cca pgext 0x4"
    )


def test_qualcomms_page_tracking_is_read():
    frames = ["      [<ffffffc0080168244>] __alloc_pages+0x20", ""]
    rows, _, _ = read(text([tracked(0), *frames, tracked(4, 2, 3), *frames]), "page_tracking.txt")
    assert [(row["pfn"], row["order"], row["pid"], row["comm"]) for row in rows] == [
        (0x80000, 0, 500, "a b"),
        (0x80004, 2, 500, "a b"),
    ]
    assert recognise(text([tracked(0)]), "any name").name in DUMPS


def test_a_range_that_contradicts_its_order_is_not_read():
    rows, _, parser = read(text([tracked(0), "", tracked(4, 2, 4), ""]))
    assert ([row["pfn"] for row in rows], parser.account.unread) == ([0x80000], 1)


def test_freed_pages_of_page_tracking_are_refused():
    with pytest.raises(InputError, match="were free"):
        read(text([tracked(0), ""]), "page_tracking_freed.txt")


# -- damage ----------------------------------------------------------------------------------------------------------------

DAMAGED = {
    "the pfn": ("PFN 8196 type", "PFN 81\xff96 type"),
    "the end of the pfn": (
        "PFN 8196 type Movable Block 16 type Movable Flags 0x17ffffc0020014(lru|node=0)",
        "PFN 8196",
    ),
    "the order": ("order 0, mask", "order x, mask"),
    "the header's end": (", ts 1000000004 ns, free_ts 7 ns", ", ts 10000"),
    "the PFN line": ("PFN 8196 type Movable Block 16 type Movable Flags 0x17ffffc0020014(lru|node=0)\n", ""),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_record_whose_own_fields_are_damaged_is_not_read_and_counted(what):
    lines = text(PLAIN).decode().split("\n\n")
    old, new = DAMAGED[what]
    assert old in lines[4]
    lines[4] = lines[4].replace(old, new)
    rows, (begin,), parser = read("\n\n".join(lines).encode("latin1"))
    assert rows == ALL[:4] + ALL[5:]
    assert (parser.account.records, parser.account.unread, begin.skipped, begin.extent) == (9, 1, 1, "partial")
    assert 29 <= parser.account.examples[0].line <= 31


def test_a_lost_header_gives_its_page_to_nobody():
    lines = text(PLAIN).decode().split("\n\n")
    lines[4] = lines[4][lines[4].index("PFN") :]
    rows, _, parser = read("\n\n".join(lines).encode())
    assert rows == ALL[:4] + ALL[5:]
    assert parser.account.unread == 1


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_harm_that_can_be_seen_gives_no_page_to_another_owner(data):
    lines = [line.encode() for line in PLAIN]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        harm = data.draw(st.sampled_from(["junk", "drop", "join", "cut", "nul"]))
        line = lines[place]
        if harm == "junk":
            lines.insert(
                place, data.draw(st.sampled_from([b"[  1.2] usb 1-1: new", b"", b"--", b"xx", b" frame+0x1/0x2"]))
            )
        elif harm == "drop":
            del lines[place]
        elif harm == "join":
            lines[place : place + 2] = [b"".join(lines[place : place + 2])]
        elif harm == "cut":
            end = data.draw(st.integers(0, len(line)))
            lines[place] = line[:end].rstrip(b"0123456789abcdefx")
        else:
            lines[place] = line[:3] + b"\0" * 5 + line[8:]
    with_newline = b"\n".join(lines) + b"\n"
    dump = PageOwnerDump(io.BytesIO(with_newline), source="dump")
    known = {row["pfn"]: row for row in ALL}
    for batch in dump.batches():
        for place in range(len(batch)):
            row = row_of(batch, place)
            for name in row.keys() & {"pid", "ts_nsec"}:  # a header that is cut there is one of an older kernel
                assert row[name] == known[row["pfn"]][name]


# -- joined, ordered and refused -------------------------------------------------------------------------------------------


def dump_at(ts, comm, pages=range(5)):
    return [line for n in pages for line in record(n, comm=comm, ts=ts + n)]


def test_joined_dumps_are_a_baseline_each_in_the_order_of_their_times():
    rows, begins, parser = read(text(dump_at(9_000, "later") + dump_at(1_000, "first") + dump_at(5_000, "then")))
    assert [row["comm"] for row in rows] == ["first"] * 5 + ["then"] * 5 + ["later"] * 5
    assert [(begin.extent, begin.window_end, begin.entries) for begin in begins] == [
        ("joined", 1_004, 5),
        ("joined", 5_004, 5),
        ("joined", 9_004, 5),
    ]
    assert "3 dumps" in parser.account.notes[0]


def test_joined_dumps_without_times_are_taken_as_they_stand():
    lines = [re.sub(r", pid.*", "", line) for line in dump_at(0, "x") * 2]
    rows, begins, _ = read(text(lines))
    assert (len(rows), [begin.window_end for begin in begins]) == (10, [0, 1])


def test_records_in_no_order_are_one_partial_dump():
    rows, (begin,), _ = read(text([line for n in (5, 3, 9, 1, 7, 2) for line in record(n)]))
    assert (len(rows), begin.extent) == (6, "partial")


def test_records_in_no_order_that_repeat_a_page_are_refused():
    order = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9]
    with pytest.raises(InputError, match=r"several of page 0x2009"):
        read(text([line for n in order for line in record(n)]))


def test_a_dump_without_pfn_lines_is_refused_with_what_to_give():
    with pytest.raises(InputError, match=r"found 10 headers and no PFN line.*line 2.*begin with PFN"):
        read(text(line for line in PLAIN if not line.startswith("PFN")))


def test_a_dump_of_which_nothing_can_be_read_is_refused():
    with pytest.raises(InputError, match="none of them could be read"):
        read(text(re.sub(r"^PFN \d+ ", "PFN ? ", line) for line in PLAIN))


def test_output_of_page_owner_sort_behind_a_dump_is_refused():
    stream = io.BytesIO(text([*PLAIN, "3 times, 3 pages:", *record(2)]))
    with pytest.raises(InputError, match=rf"page_owner_sort \(line {len(PLAIN) + 1}\)"):
        list(PageOwnerFile(stream, source="dump").batches())


def test_the_end_of_a_file_without_a_newline_keeps_the_record_and_cuts_the_stack():
    rows, _, parser = read(text(PLAIN).rstrip())
    assert rows == [*ALL[:9], expected(9, stack=f"{ALL[9]['stack']}\n{CUT_OFF}")]
    assert "its stack may be cut" in parser.account.truncated


def test_many_odd_records_are_read_in_their_order():
    data = b"".join(text(record(n, pfn=n, behind=["vendor"] * (n % 2))) for n in range(20_000))
    rows, (begin,), _ = read(data)
    assert [row["pfn"] for row in rows] == list(range(20_000))
    assert begin.entries == 20_000


@pytest.mark.parametrize(
    "frame", [" vma_alloc", " vma_alloc_folio+0x28/", " vma_al\0\0_folio+0x28/0x1b0", " vma\x7f+0x28/0x1b0"]
)
def test_a_stack_with_a_damaged_frame_says_that_it_is_not_whole(frame):
    lines = [*PLAIN]
    lines[7 + 3] = frame
    rows, _, parser = read(text(lines))
    assert rows[1]["stack"].endswith(f"\n{CUT_OFF}")
    assert [row | {"stack": None} for row in rows] == [row | {"stack": None} for row in ALL]
    assert parser.account.unread == 0


def test_frames_without_names_are_whole():
    lines = [re.sub(r"^ alloc_pages.*", " 0xffffffffc0123456", line) for line in PLAIN]
    assert not [row for row in read(text(lines))[0] if CUT_OFF in row["stack"]]
