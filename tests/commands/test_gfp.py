"""Symbolic gfp masks mean what the recorded kernel means by them, or are not certain."""

import json
from pathlib import Path
from typing import Any

import pytest

from pagetrail.replay.facts.facts import Facts
from pagetrail.schemas.details import Boot
from tests.commands.conftest import Run, run_in

ALL = "alloc,free,split,migrate,isolate,drain,hotplug"
LINE = "     appd-500     [000] ..... 100.{:06}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags={}\n"
FLAGS = ("GFP_ATOMIC", "GFP_KERNEL", "GFP_KERNEL|GFP_NOTRACK")


@pytest.mark.parametrize(
    ("options", "masks", "unsure"),
    [
        ((), (0xA20, 0xCC0, None), (True, True, True)),
        (("--kernel-release", "6.12.5"), (0x820, 0xCC0, None), (False, False, True)),
        (("--kernel-release", "6.8.0"), (0xA20, 0xCC0, None), (True, False, True)),
        (("--gfp-table", "table"), (0x20, 0xD0, 0x2000D0), (False, False, False)),
    ],
)
def test_a_mask_is_the_recorded_kernels_or_not_certain(
    run_fresh: Run, tmp_path: Path, options: tuple[str, ...], masks: tuple[int | None, ...], unsure: tuple[bool, ...]
) -> None:
    (tmp_path / "table").write_text("GFP_KERNEL=0xd0\nGFP_ATOMIC=0x20\nGFP_NOTRACK=0x200000\n")
    (tmp_path / "trace").write_text("".join(LINE.format(i, 0x100 + i, flags) for i, flags in enumerate(FLAGS)))
    assert run_fresh("ingest", "trace", "--covers", ALL, *options).returncode == 0
    assert run_fresh("replay").returncode == 0
    for i, (mask, not_sure) in enumerate(zip(masks, unsure, strict=True)):
        (row,) = json.loads(run_fresh("owner", f"{0x100 + i:#x}", "--at", "-0s", "--json").stdout)
        assert row["gfp_mask"] == mask
        assert ("gfp_mask" in row["uncertain"]) == not_sure
        if not options and mask is not None:
            assert "Linux 6.1" in row["why"]


def test_a_table_that_is_none_is_refused(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("what is this\n")
    (tmp_path / "trace").write_text(LINE.format(1, 256, "GFP_KERNEL"))
    for name in ("table", "nowhere"):
        done = run_fresh("ingest", "trace", "--gfp-table", name)
        assert done.returncode == 2
        assert "--gfp-table" in done.stderr


def test_memory_whose_mask_is_unknown_may_be_movable(run_fresh: Run, tmp_path: Path) -> None:
    head = "          <idle>-0     [000] .....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags={}\n"
    lines = (("GFP_KERNEL", 256), ("GFP_HIGHUSER_MOVABLE|__GFP_OF_A_VENDOR", 257))
    text = "".join(head.format(1 + i, pfn, flags) for i, (flags, pfn) in enumerate(lines))
    (tmp_path / "trace").write_text("# tracer: nop\n#\n" + text)
    assert run_fresh("ingest", "trace", "--covers", "alloc,free", "--kernel-release", "6.1.0").returncode == 0
    assert run_fresh("replay").returncode == 0
    known, unknown = json.loads(run_fresh("snapshot", "--at", "-0s", "--json").stdout)
    assert known["uncertain"] == ["ts_nsec"]
    assert {"pid", "order", "gfp_mask"} <= set(unknown["uncertain"])
    assert "migration was not recorded" in unknown["why"]


def test_two_recordings_of_a_boot_are_each_read_as_their_own_kernel_prints(run_fresh: Run, tmp_path: Path) -> None:
    for name, begin, options in (("first", 100, ()), ("second", 200, ("--kernel-release", "6.12.5"))):
        pfn, text = begin, LINE.replace("100.", f"{begin}.")
        (tmp_path / name).write_text("".join(text.format(i, pfn + i, flags) for i, flags in enumerate(FLAGS[:2])))
        assert run_fresh("ingest", name, "--boot-id", "b", "--covers", ALL, *options).returncode == 0
    assert run_fresh("replay").returncode == 0
    found = {pfn: owner_of(run_fresh, pfn) for pfn in (100, 200, 201)}
    assert [found[pfn]["gfp_mask"] for pfn in (100, 200)] == [0xA20, 0x820]
    assert [found[pfn]["gfp_flags"] for pfn in (100, 200)] == ["GFP_ATOMIC", "GFP_ATOMIC"]
    assert "gfp_mask" in found[100]["uncertain"]
    assert "Linux 6.1 prints" in found[100]["why"]
    assert "gfp flags" not in found[200]["why"]
    assert "gfp_mask" not in found[201]["uncertain"]
    selected = json.loads(run_fresh("snapshot", "--at", "-0s", "--gfp", "GFP_ATOMIC", "--json").stdout)
    assert [row["pfn"] for row in selected] == [100, 200]
    shown = run_fresh("top", "--at", "-0s", "--by", "gfp").stdout
    assert "0x820 " in shown
    printed = run_fresh("snapshot", "--at", "-0s", "--format", "page_owner").stdout
    assert [f"mask {mask}(GFP_ATOMIC)" in printed for mask in ("0xa20", "0x820")] == [True, True]


def test_a_trace_alone_is_answered_in_the_names_of_its_own_release(run_fresh: Run, tmp_path: Path) -> None:
    """The page size is not known by that."""
    (tmp_path / "table").write_text("GFP_KERNEL=0xd0\nGFP_ATOMIC=0x20\nGFP_NOTRACK=0x200000\n")
    (tmp_path / "trace").write_text(LINE.format(0, 100, "GFP_ATOMIC"))
    for name, options, mask in (("r", ("--kernel-release", "6.12.5"), 0x820), ("t", ("--gfp-table", "table"), 0x20)):
        run = run_in(tmp_path, tmp_path / name)
        assert run("ingest", "trace", *options).returncode == 0
        assert run("replay").returncode == 0
        row = owner_of(run, 100)
        assert (row["gfp_mask"], row["gfp_flags"]) == (mask, "GFP_ATOMIC")
        assert len(json.loads(run("snapshot", "--at", "-0s", "--gfp", "GFP_ATOMIC", "--json").stdout)) == 1
        assert "which no recording says" in run("top", "--at", "-0s", "--by", "pid").stderr
        assert run("ingest", "trace", *options, "--page-size", "4K", "--trail", tmp_path / f"{name}4").returncode == 0
        assert run("replay", "--trail", tmp_path / f"{name}4").returncode == 0
        assert (
            "which no recording says"
            not in run("top", "--at", "-0s", "--by", "pid", "--trail", tmp_path / f"{name}4").stderr
        )


def test_what_a_trace_alone_adds_to_its_boot_takes_nothing_away() -> None:
    whole = Boot(release="6.1.0", arch="aarch64", page_shift=16, section_size_bits=29, present=((0, 4096),))
    added = Boot(release="6.12.5")
    for boots in ([whole, added], [added, whole]):
        facts = Facts(boots=list(enumerate(boots)))
        assert facts.boot is not None
        assert (facts.boot.arch, facts.boot.page_shift, facts.page_size_is_known) == ("aarch64", 16, True)
        assert facts.boot.release == boots[-1].release
    assert not Facts(boots=[(0, added)]).page_size_is_known


def owner_of(run: Run, pfn: int) -> dict[str, Any]:
    (row,) = json.loads(run("owner", str(pfn), "--at", "-0s", "--json").stdout)
    return dict(row)
