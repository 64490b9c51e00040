"""What ingest says of page_owner dumps, and of files that are none."""

from pathlib import Path

import pytest

from tests.commands.cli import run
from tests.producers.formats.test_page_owner_odd import PLAIN, record, text


def ingested(folder: Path, data: bytes, *options: str, name: str = "page_owner.txt", status: int = 0) -> list[str]:
    """Return the lines that ingest says of a file of *data*."""
    (folder / name).write_bytes(data)
    done = run("ingest", folder / name, "--trail", folder / "trail", *options)
    assert done.code == status
    return [line.strip() for line in done.err.splitlines()]


def test_a_dump_that_is_read_by_less_than_all_records_says_so_on_the_last_line(tmp_path: Path) -> None:
    said = ingested(tmp_path, text(PLAIN).replace(b"PFN 8195 ", b"PFN ? "))
    assert said[-1] == "9 of 10 records of page_owner were read"


def test_a_dump_that_is_read_whole_says_nothing_of_it(tmp_path: Path) -> None:
    assert not [line for line in ingested(tmp_path, text(PLAIN)) if " of " in line]


REFUSED = {
    "page_owner_sort": text([*(f"{n} times, {n} pages:" for n in (3,)), *record(1)]),
    "page_owner_sort --cull": b"4819 times, 4819 pages, PID 501, task_comm_name: appd\n\n",
    "page_owner_sort of Linux 5": text(["3 times:", *record(1)]),
    "show_stacks": b" __alloc_pages+0x20/0x1a0\n vfs_write+0x38/0x1d0\nnr_base_pages: 9643\n\n",
    "show_stacks of Linux 6.9": b" __alloc_pages+0x20/0x1a0\n vfs_write+0x38/0x1d0\nstack_count: 9643\n\n",
    "show_handles": b"handle: 17432583\nnr_base_pages: 20824\n\n",
    "perf trace": b"     0.000 perf/6429 kmem:mm_page_alloc(pfn: 1534487, gfp_flags: 3264, migratetype: 0)\n",
    "perf kmem": b"\nSUMMARY (page allocator)\n========================\n",
    "bpftrace": b"Attaching 1 probe...\norder=4 gfp=0xcc0 comm=appd pfn=500000\n",
    "counters": b"MemTotal:       16316412 kB\nMemFree:         8316412 kB\n",
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_holds_no_pages_is_refused_by_name_with_what_to_give(tmp_path: Path, form: str) -> None:
    (said,) = ingested(tmp_path, REFUSED[form], status=2)
    assert form.split(" of ")[0].split(" --")[0] in said
    assert "the first is line" in said
    assert "give" in said


@pytest.mark.parametrize("harm", [("PFN ", "PFM "), ("order 0", "order ?")])
def test_a_dump_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, harm: tuple[str, str]) -> None:
    said = ingested(tmp_path, text(line.replace(*harm) for line in PLAIN), status=2)
    assert len(said) == 1
    done = run("replay", "--trail", tmp_path / "trail")
    assert done.code != 0 or done.err.startswith("0 events of 0 frames")


def test_a_dump_says_that_covers_does_not_apply(tmp_path: Path) -> None:
    assert "--covers does not apply" in ingested(tmp_path, text(PLAIN), "--covers", "alloc,free")[-1]


def test_sizes_that_rest_on_a_guess_say_so(tmp_path: Path) -> None:
    ingested(tmp_path, text(PLAIN))
    run("replay", "--trail", tmp_path / "trail")
    for question in (("top", "--at", "-0s"), ("leaks", "--from", "0", "--to", "-0s")):
        guessed = run(*question, "--by", "comm", "--trail", tmp_path / "trail")
        assert "--page-size" in guessed.err
    assert "40.0 KiB" in run("top", "--at", "-0s", "--by", "comm", "--trail", tmp_path / "trail").out


def test_a_page_size_counts_for_sizes_and_addresses(tmp_path: Path) -> None:
    ingested(tmp_path, text(PLAIN), "--page-size", "64K")
    run("replay", "--trail", tmp_path / "trail")
    known = run("top", "--at", "-0s", "--by", "comm", "--trail", tmp_path / "trail")
    assert ("640.0 KiB" in known.out, known.err) == (True, "")
    assert "pfn 8192 " in run("owner", "--paddr", "0x20000000", "--at", "-0s", "--trail", tmp_path / "trail").out


@pytest.mark.parametrize("size", ["0", "5K", "2M", "64Q", ""])
def test_a_page_size_that_no_machine_has_is_refused(tmp_path: Path, size: str) -> None:
    assert "--page-size" in ingested(tmp_path, text(PLAIN), "--page-size", size, status=2)[-1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
def test_a_dump_in_another_encoding_is_the_same(tmp_path: Path, encoding: str) -> None:
    said = ingested(tmp_path, text(PLAIN).decode().replace("\n", "\r\n").encode(encoding))
    assert (len(said), "15 events" in said[0]) == (1, True)
