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
from tests.conftest import KernelDump
from tests.effort import effort
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
MIGRATED = "Page has been migrated, last migrate reason: compaction\n"
FORMS = {
    "5.10.223": ("", "PFN {pfn}", ("", MIGRATED)),
    "6.1.192": (", pid {pid}, tgid {tgid} ({comm}), ts {ts} ns, free_ts {free_ts} ns", "PFN {pfn}", BEHIND),
    "6.12.117": (", pid {pid}, tgid {tgid} ({comm}), ts {ts} ns", "PFN {pfn:#x}", (*BEHIND[:3], MIGRATED + BEHIND[2])),
    "7.2.13": (", pid {pid}, tgid {tgid} ({comm}), ts {ts} ns", "PFN {pfn:#x}", (*BEHIND[:3], MIGRATED)),
}
"""By release: what a record says of the owner and of the page, and the lines behind the stack."""


def dump_text(numbers: list[tuple[int, int]], release: str) -> str:
    """Return a dump with a record for each (pfn, number): the number says what the record has beside the page's owner."""
    who, page, behind = FORMS[release]
    records = []
    for pfn, number in numbers:
        flags = ("0x17ffffc0020014(uptodate|lru|node=0)", "0x8000000000000200(slab)", "0x0()")[number % 3]
        owner = who.format(
            pid=500 + pfn, tgid=600 + pfn + number % 2, comm=f"app{number % 3}", ts=10**9 + number, free_ts=7 + number
        )
        records.append(
            f"Page allocated via order {pfn % 2 == 0 and number % 2}, mask 0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP){owner}\n"
            f"{page.format(pfn=pfn)} type Movable Block {pfn >> 9} type {('Movable', 'CMA')[number % 2]} Flags {flags}\n"
            f" {STACKS[number % 2]}\n{behind[number % len(behind)]}\n"
        )
    return "".join(records)


def by_page(text: str) -> dict[int, str]:
    """Return each record of a dump, as it is printed."""
    records = [record for record in text.split("\n\n") if record]
    return {int(record.split("PFN ")[1].split()[0], 0): record for record in records}


@pytest.mark.slow
@settings(max_examples=effort(8, 200))
@given(
    st.sampled_from([*FORMS]),
    st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=8), min_size=1, max_size=3),
)
def test_at_the_end_of_a_dump_the_text_has_the_records_of_the_dump_as_that_kernel_prints_them(
    release: str, told: list[list[tuple[int, int]]]
) -> None:
    """Each dump also has a page that the ones before have, with other words for the same owner."""
    texts = [
        dump_text(sorted({**{2 * p: n for p, n in pages}, 64: 100 * place}.items()), release)
        for place, pages in enumerate(told)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"dump{place}.txt" for place in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        of_boot = ("--host", "h", "--boot-id", "b", "--kernel-release", release)
        assert run("ingest", *files, *of_boot, "--trail", folder / "trail").code == 0
        assert run("replay", "--trail", folder / "trail").code == 0
        opened = api.open(folder / "trail")
        last = max(opened.audits()["ts"].to_pylist())
        found = by_page(opened.page_owner_text(last))
        for pfn, record in by_page(texts[-1]).items():
            assert found[pfn] == record


@pytest.mark.parametrize(
    ("capture", "release"),
    [("k510-probes", "5.10.223"), ("probes", "6.1.192"), ("k612-probes", "6.12.117"), ("k72-probes", "7.2.13")],
)
def test_a_kernels_own_dump_is_printed_byte_for_byte(
    tmp_path: Path, kernel_dump: KernelDump, capture: str, release: str
) -> None:
    records = kernel_dump(capture, "2-workload").read_text().split("\n\n")
    own = "\n\n".join([*records[:1500], *records[-1500:]])
    (tmp_path / "dump.txt").write_text(own)
    trail = tmp_path / "trail"
    api.ingest(trail, tmp_path / "dump.txt", boot_id="b", kernel_release=release)
    api.replay(trail)
    assert api.open(trail).page_owner_text("-0s") == own
