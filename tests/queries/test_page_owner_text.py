"""The kernel's own text of page_owner."""

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail import api
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import BaselineBegin, BaselineEnd
from tests.commands.cli import run
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames


@pytest.mark.parametrize(
    ("reason", "name"), [(0, "compaction"), (8, "demotion"), (9, "unknown (9)"), (127, "unknown (127)")]
)
def test_a_migrate_reason_is_printed_by_name_and_one_without_a_name_by_number(
    tmp_path: Path, reason: int, name: str
) -> None:
    """Linux 6.12 has a reason more than 6.1. Our own reader takes the record, and the reason as one that it does not know."""
    m = Machine()
    m.begin()
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="dump", window_begin=m.ts, window_end=m.ts, entries=1))
    m.emit(
        Kind.BASELINE_ENTRY, pfn=5, order=0, gfp_mask=0xCC0, pid=7, tgid=7, comm="sh", ts_nsec=9, migrate_reason=reason
    )
    m.emit(Kind.BASELINE_END, BaselineEnd(name="dump", entries=1))
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings))
    replay(trail)
    text = api.open(trail).page_owner_text("-0s")
    assert f"\nPage has been migrated, last migrate reason: {name}\n" in text
    dump = PageOwnerDump(io.BytesIO(text.encode()), source="dump")
    read = concat(list(dump.batches()))
    assert dump.account.not_understood == 0
    expected = reason if reason <= 8 else absent("migrate_reason")
    assert (read.column("pfn").tolist(), read.column("migrate_reason").tolist()) == ([5], [expected])


STACKS = (
    "__alloc_pages+0x20/0x1a0\n vfs_write+0x38/0x1d0\n ksys_write+0x40/0x1e0",
    "__alloc_pages+0x20/0x1a0\n vfs_write+0x3c/0x1d0\n ksys_write+0x40/0x1e0",
)
BEHIND = (
    "",
    "Slab cache page\n",
    "Charged to memcg web.service\n",
    "Slab cache page\nCharged (via objcg) to offline memcg a b.service\n",
    "Page has been migrated, last migrate reason: compaction\nCharged to memcg \n",
)


def dump_text(numbers: list[tuple[int, int]]) -> str:
    """Return a dump with a record for each (pfn, number): the number says what the record has beside the page's owner."""
    records = []
    for pfn, number in numbers:
        flags = ("0x17ffffc0020014(uptodate|lru|node=0)", "0x8000000000000200(slab)", "0x0()")[number % 3]
        records.append(
            f"Page allocated via order {pfn % 2 == 0 and number % 2}, mask 0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), "
            f"pid {500 + pfn}, tgid {600 + pfn + number % 2} (app{number % 3}), ts {10**9 + number} ns, free_ts {7 + number} ns\n"
            f"PFN {pfn} type Movable Block {pfn >> 9} type {('Movable', 'CMA')[number % 2]} Flags {flags}\n"
            f" {STACKS[number % 2]}\n{BEHIND[number % 5]}\n"
        )
    return "".join(records)


def rows_of(text: str) -> list[dict[str, object]]:
    """Return all that each record of a dump says."""
    read = concat(list(PageOwnerDump(io.BytesIO(text.encode()), source="dump").batches()))
    rows: list[dict[str, object]] = [{} for _ in range(len(read))]
    for name, column in read.columns.items():
        for row, value in zip(rows, column.tolist(), strict=True):
            row[name] = None if value == absent(name) else read.texts[name][value] if name in read.texts else value
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


@settings(max_examples=15)
@given(st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=8), min_size=1, max_size=3))
def test_at_the_end_of_a_dump_the_text_has_the_records_of_the_dump_in_every_field(
    told: list[list[tuple[int, int]]],
) -> None:
    """Each dump also has a page that the ones before have, with other words for the same owner."""
    texts = [
        dump_text(sorted({**{2 * p: n for p, n in pages}, 64: 100 * place}.items())) for place, pages in enumerate(told)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"dump{place}.txt" for place in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        assert run("ingest", *files, "--host", "h", "--boot-id", "b", "--trail", folder / "trail").code == 0
        assert run("replay", "--trail", folder / "trail").code == 0
        opened = api.open(folder / "trail")
        ends = sorted(set(opened.audits()["ts"].to_pylist()))
        (last,) = ends[-1:]
        found = {row["pfn"]: row for row in rows_of(opened.page_owner_text(last))}
        for row in rows_of(texts[-1]):
            assert found[row["pfn"]] == row
