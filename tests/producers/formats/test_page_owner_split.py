"""Lines of page_owner records that were split: by a mail, by a console's width, or by another message."""

import io
import re

import pytest

from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.schemas.columns import absent
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.stacks import CUT_OFF
from tests.producers.formats.test_page_owner_odd import ALL, PLAIN, expected, read, record, text

JUNK = b"\n[   12.000000] usb 1-1: new device\n"
FOURTH = b"pid 504, tgid 604"


def hard_wrapped(lines, width):
    return text(line[at : at + width] for line in lines for at in range(0, max(len(line), 1), width))


@pytest.mark.parametrize("width", [40, 61, 63, 66, 72, 80, 100, 120])
def test_a_dump_that_a_console_wrapped_at_its_width_has_all_of_its_fields(width):
    rows, begins, parser = read(hard_wrapped(PLAIN, width))
    assert rows == ALL
    assert begins[0].extent == "whole"
    assert parser.account.not_understood == 0


@pytest.mark.parametrize("width", range(36, 60, 3))
def test_no_piece_of_a_gfp_mask_is_a_gfp_mask(width):
    """Before Linux 5.11 a header ends behind its mask, so that its first piece may look like a whole one."""
    rows, _, _ = read(hard_wrapped([line.split(", pid")[0] for line in PLAIN], width))
    assert [row["gfp_mask"] for row in rows] == [0x140CCA] * 10


def read_flags(data):
    (batch,) = PageOwnerDump(io.BytesIO(data), source="dump").batches()
    return [None if flags == absent("page_flags") else flags for flags in batch.column("page_flags").tolist()]


SPLIT = {
    "in the mask": (b"mask 0x140", b"cca(GFP"),
    "in the names of the mask": (b"(GFP_HIGH", b"USER"),
    "in the pid": (b"pid 50", b"4, tgid"),
    "in the time": (b"ts 10000", b"00004 ns"),
    "in the pfn": (b"PFN 81", b"96 type"),
    "in the flags": (b"Flags 0x17ff", b"ffc0020014(lru"),
}


@pytest.mark.parametrize("where", SPLIT)
def test_a_message_within_a_line_of_a_record_is_counted_and_changes_no_field(where):
    before, behind = SPLIT[where]
    data = text(PLAIN)
    at = data.index(FOURTH)
    begin = data.rindex(b"Page", 0, at)
    place = data.index(before + behind, begin) + len(before)
    rows, _, parser = read(data[:place] + JUNK + data[place:])
    assert rows == ALL
    assert parser.account.not_understood == 1


def test_flags_at_the_cut_end_of_a_line_are_not_believed():
    data = text(PLAIN)
    place = data.index(b"Flags 0x17ff", data.index(FOURTH)) + len(b"Flags 0x17ff")
    _, _, parser = read(data[:place] + data[data.index(b"\n", place) :])
    stream = read_flags(data[:place] + data[data.index(b"\n", place) :])
    assert stream[4] is None
    assert stream[3] == 0x17FFFFC0020014
    assert parser.account.not_understood == 1


def test_a_mask_whose_line_was_cut_is_not_believed():
    data = text(PLAIN)
    place = data.index(b"mask 0x140", data.rindex(b"Page", 0, data.index(FOURTH))) + len(b"mask 0x140")
    rows, _, parser = read(data[:place] + JUNK.rstrip() + data[place:])
    assert rows[4] == {"pfn": 8196, "order": 0, "comm": None, "stack": ALL[4]["stack"], "cgroup": None}
    assert parser.account.not_understood == 1


def test_a_stack_whose_first_frame_was_joined_with_the_line_before_it_may_have_lost_it():
    data = text(PLAIN).replace(b"node=0)\n __alloc", b"node=0) __alloc", 1)
    rows, _, _ = read(data)
    assert rows[0]["stack"].startswith(f"{CUT_OFF}\nalloc_pages")
    assert rows[1:] == [expected(number) for number in range(1, 10)]


def test_pfns_that_are_hexadecimal_without_a_prefix_are_refused_since_some_look_like_decimal_ones():
    data = text(line for number in range(10) for line in record(number, pfn=0x2005 + number))
    with pytest.raises(InputError, match="put 0x before"):
        read(re.sub(rb"PFN (\d+)", lambda found: b"PFN %x" % int(found[1]), data))
    rows, _, _ = read(re.sub(rb"PFN (\d+)", lambda found: b"PFN 0x%x" % int(found[1]), data))
    assert [row["pfn"] for row in rows] == [0x2005 + number for number in range(10)]


def test_one_pfn_with_a_letter_in_it_is_damage():
    rows, _, parser = read(text(PLAIN).replace(b"PFN 8196 ", b"PFN 81a6 "))
    assert rows == ALL[:4] + ALL[5:]
    assert parser.account.unread == 1


VENDORS = {
    "a comm with its name": "pid {pid}, tgid {tgid}, comm appd, ts {ts} ns, free_ts 7 ns",
    "signs between names and numbers": "pid={pid}, tgid={tgid}, comm=appd, ts={ts} ns, free_ts=7 ns",
    "another order": "tgid {tgid}, pid {pid} (appd), ts {ts} ns, free_ts 7 ns",
    "a field between": "pid {pid}, tgid {tgid} (appd), cpu 3, ts {ts} ns, free_ts 7 ns",
}


def of_vendor(form):
    lines = [re.sub("pid .*", form.format(pid=500 + n // 7, tgid=600 + n // 7, ts=10**9 + n // 7), line)
             if line.startswith("Page") else line for n, line in enumerate(PLAIN)]  # fmt: skip
    return text(lines)


@pytest.mark.parametrize("form", VENDORS)
def test_a_vendors_header_is_read_by_the_names_of_its_fields(form):
    rows, _, parser = read(of_vendor(VENDORS[form]))
    assert rows == ALL
    assert parser.account.not_understood == 10


@pytest.mark.parametrize(
    "form",
    [
        "pid {pid}, pid 7, ts {ts} ns",
        "pid {pid}, cpu 3, ts {ts}",
        "pid {pid}, cpu 3, ts 99999999999999999999 ns",
        "pid {pid}x, ts 1 ns",
    ],
)
def test_a_vendors_header_with_a_field_that_is_not_whole_is_not_read(form):
    with pytest.raises(InputError, match="none of them could be read"):
        read(of_vendor(form))
