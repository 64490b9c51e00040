"""The kernel's text at the end of a dump has the records of that dump: order, mask, owner, times and stack."""

import io
from pathlib import Path
from typing import Any

import pytest

from pagetrail import api
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.schemas.columns import absent

STACKS = (
    ("__alloc_pages+0x20/0x1a0", "pipe_write+0x30/0x1c0", "vfs_write+0x38/0x1d0"),
    ("__alloc_pages+0x20/0x1a0", "handle_mm_fault+0x30/0x1c0", "do_user_addr_fault+0x38/0x1d0"),
)
FIELDS = ("pfn", "order", "gfp_mask", "pid", "tgid", "ts_nsec", "free_ts_nsec")
OWNERS = {
    "Linux 5.10": "",
    "Linux 5.11": ", pid {pid}, ts {ts} ns",
    "Linux 5.15": ", pid {pid}, ts {ts} ns, free_ts {free} ns",
    "Linux 5.18": ", pid {pid}, tgid {tgid} (task-{pid}), ts {ts} ns, free_ts {free} ns",
}


def text_of(form: str, blocks: list[tuple[int, int, int]]) -> str:
    """Return a dump of (pfn, order, mask)."""
    records = []
    for number, (pfn, order, mask) in enumerate(blocks):
        who = OWNERS[form].format(
            pid=100 + number, tgid=50 + number, ts=1_000_000_000 + 7 * pfn, free=900_000_000 + pfn
        )
        lines = [
            f"Page allocated via order {order}, mask {mask:#x}(GFP_KERNEL){who}",
            f"PFN {pfn} type Unmovable Block {pfn >> 9} type Unmovable Flags 0x0()",
            *(f" {frame}" for frame in STACKS[number % 2]),
        ]
        records.append("\n".join(lines) + "\n\n")
    return "".join(records)


def rows_of(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for batch in PageOwnerDump(io.BytesIO(text.encode()), source="dump").batches():
        for place in range(len(batch)):
            row = {name: int(batch.column(name)[place]) for name in FIELDS}
            unsaid = {name: absent(name) for name in FIELDS}
            rows.append(
                {name: None if value == unsaid[name] else value for name, value in row.items()}
                | {
                    name: batch.texts[name][batch.columns[name][place]]
                    for name in ("stack", "comm")
                    if name in batch.texts
                }
            )
    return rows


def printed(trail: Path, at: str) -> list[dict[str, Any]]:
    return rows_of("".join(api.open(trail).page_owner_records(at)))


BEFORE = [(8, 0, 0xCC0), (16, 3, 0x40CC0), (32, 2, 0xCC0), (40, 0, 0xCC0), (48, 0, 0xCC0), (512, 9, 0x140CCA)]
AFTER = [(8, 0, 0xCC0), (16, 3, 0x40CC0), (33, 0, 0xCC0), (40, 1, 0xDC0), (56, 0, 0xCC0), (512, 0, 0x140CCA)]


@pytest.mark.parametrize("form", OWNERS)
def test_the_text_at_the_end_of_each_dump_has_the_records_of_the_file(tmp_path: Path, form: str) -> None:
    dumps = {"before": text_of(form, BEFORE), "after": text_of(form, AFTER).replace("ts 1000", "ts 2000")}
    for name, text in dumps.items():
        (tmp_path / f"{name}.txt").write_text(text)
        api.ingest(tmp_path / "trail", tmp_path / f"{name}.txt", boot_id="b1", whole=True)
    api.replay(tmp_path / "trail")
    for name, text in dumps.items():
        said = rows_of(text)
        found = printed(tmp_path / "trail", f"@{name}")
        assert [row["pfn"] for row in found] == [row["pfn"] for row in said]
        for row, same in zip(said, found, strict=True):
            assert same | {name: value for name, value in row.items() if value is not None} == same


def test_a_page_with_another_stack_in_a_later_dump_without_times_has_the_later_one(tmp_path: Path) -> None:
    before = text_of("Linux 5.10", [(8, 0, 0xCC0), (16, 0, 0xCC0)])
    after = text_of("Linux 5.10", [(7, 0, 0xCC0), (8, 0, 0xCC0), (16, 0, 0xCC0)])
    for name, text in (("before", before), ("after", after)):
        (tmp_path / f"{name}.txt").write_text(text)
        api.ingest(tmp_path / "trail", tmp_path / f"{name}.txt", boot_id="b1")
    api.replay(tmp_path / "trail")
    for name, text in (("before", before), ("after", after)):
        assert [row["stack"] for row in printed(tmp_path / "trail", f"@{name}")] == [
            row["stack"] for row in rows_of(text)
        ]
    owners = [row["stack"] for row in api.open(tmp_path / "trail").history(8).to_pylist() if row["state"] == "owned"]
    assert owners == ["pipe_write\nvfs_write", "handle_mm_fault\ndo_user_addr_fault"]
