"""Symbolic gfp masks mean what the recorded kernel means by them, or are not certain."""

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run

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
