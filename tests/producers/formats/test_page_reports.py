"""Reports of single pages in the kernel's messages: dump_page() with page_owner's lines."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pagetrail.producers.formats.page_owner.reports import PageReports
from pagetrail.producers.formats.recognise import recognise
from pagetrail.producers.inputs import HEAD_BYTES, Input
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin
from pagetrail.schemas.errors import InputError
from pagetrail.schemas.events import batch_row_to_event

PAGE_5_10 = "page:0000000012345678 refcount:1 mapcount:0 mapping:0000000000000000 index:0x5 pfn:{pfn:#x}"
PAGE_6_12 = "page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x5 pfn:{pfn:#x}"
BETWEEN = [
    "flags: 0xfffffc0000200(slab|node=0|zone=1)",
    "raw: 000fffffc0000200 dead000000000100",
    "page dumped because: a test",
]
LAST_5_10 = "page last allocated via order {order}, migratetype Unmovable, gfp_mask 0xcc0(GFP_KERNEL)"
LAST_5_15 = LAST_5_10 + ", pid {pid}, ts {ts}, free_ts 7"
LAST_6_1 = LAST_5_10 + ", pid {pid}, tgid 9 (a) b), ts {ts}, free_ts 7"
STACK = [" prep_new_page+0x5/0x10", " kmalloc+0x1/0x2"]
FREE_6_1 = ["page last free stack trace:", " free_unref_page+0x20/0x1b0"]
FREE_6_12 = ["page last free pid 8 tgid 8 stack trace:", " free_unref_page+0x20/0x1b0"]
MISSING = ["page_owner free stack trace missing"]


def report(
    pfn: int, *, page: str = PAGE_6_12, last: str = LAST_6_1, free: list[str] = FREE_6_12, tracked: str = "allocated",
    order: int = 0, pid: int = 100, ts: int = 5_000,
) -> list[str]:  # fmt: skip
    owner = last.format(order=order, pid=pid, ts=ts)
    return [page.format(pfn=pfn), *BETWEEN, f"page_owner tracks the page as {tracked}", owner, *STACK, *free]


def text(lines: list[str], prefix: str = "") -> bytes:
    return "".join(f"{prefix}{line}\n" for line in lines).encode()


def read(content: bytes) -> tuple[list[dict[str, Any]], PageReports]:
    """Return the entries of the reports with the time and view of each, and the reader."""
    reports = PageReports(io.BytesIO(content), source="dmesg.txt")
    batch = concat(list(reports.batches()))
    batch = EventBatch(
        columns={**batch.columns, "seq": np.arange(len(batch))}, texts=batch.texts, details=batch.details
    )
    found, view = [], ""
    for row in range(len(batch)):
        kind = batch.columns["kind"][row]
        if kind == Kind.BASELINE_BEGIN:
            begin = BaselineBegin.model_validate_json(batch.details[row])
            assert (begin.extent, begin.entries) == ("partial", 1)
            view = begin.view
        if kind == Kind.BASELINE_ENTRY:
            event = batch_row_to_event(batch, row).model_dump()
            found.append(event | {"view": view})
    account = reports.account
    assert sum(kinds.lines for kinds in account.kinds.values()) == account.lines == content.count(b"\n")
    assert account.not_understood == sum(n.lines for (what, _), n in account.kinds.items() if what == "not_understood")
    return found, reports


@pytest.mark.parametrize(
    ("page", "last", "free"),
    [
        (PAGE_5_10, LAST_5_10, MISSING),
        (PAGE_5_10, LAST_5_15, MISSING),
        (PAGE_5_10, LAST_6_1, FREE_6_1),
        (PAGE_6_12, LAST_6_1, FREE_6_12),
    ],
    ids=["5.10", "5.15", "6.1", "6.12"],
)
@pytest.mark.parametrize("prefix", ["[  100.000002] ", "<1>[  100.000002][  T123] ", "web1 kernel: [100.000002] "])
def test_an_owner_is_an_entry_of_a_partial_baseline_at_the_time_of_the_message(
    page: str, last: str, free: list[str], prefix: str
) -> None:
    found, reports = read(
        text(["Linux version 6.1.0", *report(0x1234, page=page, last=last, free=free), "else"], prefix)
    )
    (entry,) = found
    said = last != LAST_5_10
    assert (entry["pfn"], entry["order"], entry["gfp_mask"]) == (0x1234, 0, 0xCC0)
    assert (entry["pid"], entry["ts_nsec"], entry["free_ts_nsec"]) == ((100, 5_000, 7) if said else (None, None, None))
    assert entry["trace_ts_nsec"] == 100_000_002_000
    assert (entry["tgid"], entry["comm"]) == ((9, "a) b") if last == LAST_6_1 else (None, None))
    assert entry["stack"] == "\n".join(line.strip() for line in STACK)
    assert entry["view"] == "page_owner"
    assert (reports.account.records, reports.account.unread) == (1, 0)


def test_messages_without_times_are_at_the_latest_time_that_a_report_names() -> None:
    found, _ = read(text(report(8, ts=5_000) + report(9, ts=4_000)))
    assert [entry["trace_ts_nsec"] for entry in found] == [5_000, 5_000]


def test_a_page_that_is_tracked_as_freed_is_free() -> None:
    (entry,), _ = read(text(report(8, tracked="freed")))
    assert (entry["view"], entry["pfn"], entry["nr_pages"]) == ("kpageflags", 8, 1)
    assert entry.get("pid") is None


def test_a_tail_names_its_block() -> None:
    (entry,), _ = read(text(report(13, order=3)))
    assert (entry["pfn"], entry["order"]) == (8, 3)


def test_places_in_the_source_and_inline_functions_are_no_part_of_a_stack() -> None:
    lines = report(8, free=MISSING)
    lines[-3:-1] = [
        " set_page_owner include/linux/page_owner.h:31 [inline]", " post_alloc_hook+0x2d0/0x350 mm/page_alloc.c:1544"
    ]  # fmt: skip
    (entry,), _ = read(text(lines))
    assert entry["stack"] == "post_alloc_hook+0x2d0/0x350"


def test_a_stack_with_a_line_of_another_message_is_cut() -> None:
    lines = report(8)
    lines.insert(-3, "usb 1-1: new device")
    (entry,), _ = read(text(lines))
    assert entry["stack"].endswith("...")


def test_a_report_without_an_owner_says_nothing() -> None:
    lines = [PAGE_6_12.format(pfn=8), *BETWEEN, "page_owner info is not present (never set?)"]
    found, reports = read(text(lines + report(9)))
    assert [entry["pfn"] for entry in found] == [9]
    assert reports.account.unread == 0


def test_reports_that_are_mixed_are_not_read() -> None:
    first, second = report(8, pid=1), report(9, pid=2)
    mixed = [*first[:2], *second[:2], *first[2:], *second[2:]]
    found, reports = read(text(mixed + report(10, pid=3)))
    assert [(entry["pfn"], entry["pid"]) for entry in found] == [(10, 3)]
    assert reports.account.unread >= 2


@given(st.integers(0, 11), st.integers(0, 11))
def test_however_two_reports_are_cut_no_page_gets_the_owner_of_the_other(start: int, stop: int) -> None:
    assume(start != stop and start not in (2, 3, 4))  # what fits together cannot be seen
    lines = report(8, pid=1)[:stop] + report(9, pid=2)[start:] + report(10, pid=3) + report(11, pid=4)
    found, _ = read(text(lines))
    assert {(entry["pfn"], entry["pid"]) for entry in found} <= {(8, 1), (9, 2), (10, 3), (11, 4)}
    assert found[-1]["pfn"] == 11


def test_a_page_without_a_number_is_not_read() -> None:
    with pytest.raises(InputError, match=r"found 1, and none .* Linux 5.10"):
        read(text(report(8, page="page:ffffea0001ef1000 count:1 mapcount:0 mapping:0000000000000000 index:0x0")))


@pytest.mark.parametrize("later", [5, 200])
def test_messages_of_two_boots_are_refused(later: int) -> None:
    """The second boot begins with the kernel's banner, whenever its own report comes."""
    banner = text(["Linux version 6.12.1 (builder@host)"], "[    0.000000] ")
    for between in [banner, *([b""] if later < 100 else [])]:
        with pytest.raises(InputError, match="one boot"):
            read(text(report(8), "[  100.000000] ") + between + text(report(9), f"[{later:5}.000000] "))


def test_a_report_that_begins_within_the_stack_of_another_is_not_read() -> None:
    """The rest of the first one's stack would be taken for the second one's."""
    first, second = report(8, pid=1), report(9, pid=2)
    at = next(place for place, line in enumerate(first) if "prep_new_page" in line) + 1
    found, reports = read(text([*first[:at], *second[:5], *first[at:], *second[5:], *report(10, pid=3)]))
    assert {(entry["pfn"], entry["pid"]) for entry in found} == {(8, 1), (10, 3)}
    assert next(entry for entry in found if entry["pfn"] == 8)["stack"].endswith("...")
    assert reports.account.unread == 1


@pytest.mark.parametrize("number", ["pid 4999999999", "gfp_mask 0xffffffffffffffff", "order 77"])
def test_a_report_with_an_impossible_number_is_not_read_and_the_others_are(number: str) -> None:
    name = number.split()[0]
    damaged = [re.sub(rf"{name} [0-9a-fx]+", number, line) if "via order" in line else line for line in report(8)]
    found, reports = read(text(damaged + report(9)))
    assert [entry["pfn"] for entry in found] == [9]
    assert reports.account.unread == 1


def test_it_is_recognised_among_other_messages() -> None:
    boot = text([f"usb {i}: something" for i in range(2_000)], "[    1.000000] ")
    assert recognise(boot + text(report(8), "[  100.000000] "), "dmesg.txt").name == "page_reports"
    assert recognise(boot, "dmesg.txt").name == "dmesg"


@pytest.mark.parametrize("prefix", ["[  100.000000] ", ""], ids=["dmesg", "a console without times"])
def test_it_is_recognised_however_long_the_messages_before_it_are(tmp_path: Path, prefix: str) -> None:
    before = text(["usb 1-1: something that has nothing to do with a page"] * 40_000, prefix)
    assert len(before) > 2 * HEAD_BYTES
    (tmp_path / "dmesg.txt").write_bytes(before + text(report(8), prefix))
    with open_recording(tmp_path / "dmesg.txt") as recording:
        entries = [
            batch for batch in recording.parser.batches() if (batch.columns["kind"] == Kind.BASELINE_ENTRY).any()
        ]
        assert [int(entry.columns["pfn"][0]) for entry in entries] == [8]
    (tmp_path / "none.txt").write_bytes(before)
    with pytest.raises(InputError, match=r"found dmesg .*of which it has none|found text that begins with 'usb 1-1"):
        open_recording(tmp_path / "none.txt")


def test_what_is_cut_short_says_so() -> None:
    reports = PageReports(Input(io.BytesIO(text(report(8))), "dmesg.txt"), source="dmesg.txt")
    assert len(concat(list(reports.batches())))
    assert reports.account.truncated is None


@pytest.mark.parametrize("name", ["k510-basic", "small", "lossy", "k612-basic", "k72-basic"])
def test_every_report_of_a_real_boot_is_read(captures: Path, name: str) -> None:
    content = (captures / name / "dmesg.txt").read_bytes()
    found, reports = read(content)
    assert len(found) == content.count(b"page_owner tracks the page as")
    assert reports.account.unread == 0
    owned = [entry for entry in found if entry["view"] == "page_owner"]
    assert all((entry["pid"] is None) == (name == "k510-basic") and entry["stack"] for entry in owned)
    assert not any("..." in entry["stack"] for entry in owned)


@pytest.mark.parametrize("kept", ["ts 50", "free_ts 7"])
def test_a_number_at_the_cut_end_of_the_messages_is_not_believed(kept: str) -> None:
    whole = text(report(7)) + text(report(8, ts=5_001))
    cut = whole[: whole.rindex(kept.encode()) + len(kept)]
    reports = PageReports(io.BytesIO(cut), source="dmesg.txt")
    batch = concat(list(reports.batches()))
    entries = batch.column("kind") == Kind.BASELINE_ENTRY
    assert batch.column("pfn")[entries].tolist() == [7]
    assert (reports.account.records, reports.account.unread) == (1, 1)
