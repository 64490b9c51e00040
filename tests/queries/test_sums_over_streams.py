"""Sums over the streams of a trail: those of each added up, and of how many they are."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pagetrail import api
from pagetrail.schemas.errors import BadArgument, NotFound
from tests.commands.cli import run

PATHS = (("pipe_write", "vfs_write"), ("handle_mm_fault", "do_user_addr_fault"))


def dump(host: int) -> str:
    """Return a dump of a host: call paths have other addresses on each, and one of them is not on all."""
    records = []
    for number in range(6 + host):
        frames = "".join(f" {name}+{0x20 + host:#x}/0x1a0\n" for name in PATHS[number % 2 if host else 0])
        records.append(
            f"Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid {7 + host}, tgid {7 + host} (app{number % 2}), "
            f"ts {1000 * (number + 1)} ns, free_ts 0 ns\n"
            f"PFN {8 + number} type Unmovable Block 0 type Unmovable Flags 0x0()\n __alloc_pages+0x20/0x230\n{frames}\n"
        )
    return "".join(records)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    for host in range(3):
        (folder / f"host-{host}.txt").write_text(dump(host))
    assert run("ingest", *sorted(folder.glob("host-*.txt")), "--trail", folder / "trail").code == 0
    assert run("replay", "--trail", folder / "trail").code == 0
    return folder / "trail"


def counts(rows: pa.Table) -> dict[object, tuple[int, int, int]]:
    return {row["key"]: (row["pages"], row["blocks"], row["certain_pages"]) for row in rows.to_pylist()}


@pytest.mark.parametrize("by", ["stack", "comm", "gfp", "order", "migratetype", "cgroup"])
@pytest.mark.parametrize("question", ["top", "leaks"])
def test_the_sum_of_all_is_the_sum_of_each(fleet: Path, question: str, by: api.By) -> None:
    trail = api.open(fleet)
    hosts = [f"host-{number}" for number in range(3)]
    if question == "top":
        each = [counts(trail.top("-0s", by, stream=host)) for host in hosts]
        found = trail.top_of_all("-0s", by)
    else:
        each = [counts(trail.leaks(2000, "-0s", by, stream=host)) for host in hosts]
        found = trail.leaks_of_all(2000, "-0s", by)
    keys = {key for one in each for key in one}
    expected = {key: tuple(sum(one.get(key, (0, 0, 0))[i] for one in each) for i in range(3)) for key in keys}
    assert counts(found.rows) == expected
    assert {row["key"]: row["streams"] for row in found.rows.to_pylist()} == {
        key: sum(key in one for one in each) for key in keys
    }
    assert (len(found.streams), found.left_out) == (3, {})
    assert found.rows["of_streams"].unique().to_pylist() == [3]


def test_by_host_each_host_is_a_row(fleet: Path) -> None:
    found = api.open(fleet).top_of_all("-0s", "host").rows.to_pylist()
    assert {row["key"]: row["pages"] for row in found} == {"host-0": 6, "host-1": 7, "host-2": 8}


def test_median_ages_over_all_are_those_of_all_runs(fleet: Path) -> None:
    (row,) = api.open(fleet).leaks_of_all(0, "-0s", "order").rows.to_pylist()
    assert (row["youngest_ns"], row["oldest_ns"], row["median_age_ns"]) == (0, 7000, 3000)


def test_a_stream_in_which_the_time_means_nothing_is_left_out_with_the_reason(fleet: Path) -> None:
    trail = api.open(fleet)
    found = trail.top_of_all(7000, "order")
    (why,) = (why for name, why in found.left_out.items() if name.startswith("host-0/"))
    assert "after the horizon" in why
    assert [name.split("/")[0] for name in found.streams] == ["host-1", "host-2"]
    (row,) = found.rows.to_pylist()  # the dump of the last host is later
    assert (row["pages"], row["streams"], row["of_streams"]) == (7, 1, 2)
    with pytest.raises(NotFound, match="after the horizon"):
        trail.top_of_all(10**12, "order")


@pytest.mark.parametrize("by", ["pid", "tgid"])
def test_pids_of_several_hosts_are_not_added_up(fleet: Path, by: api.By) -> None:
    with pytest.raises(BadArgument, match="another process on another host"):
        api.open(fleet).top_of_all("-0s", by)


@pytest.mark.parametrize("question", [("top", "--at", "-0s"), ("leaks", "--from", "2000", "--to", "-0s")])
@pytest.mark.parametrize("option", [(), ("--all",)])
def test_the_command_says_of_how_many_streams_a_sum_is(
    fleet: Path, question: tuple[str, ...], option: tuple[str, ...]
) -> None:
    done = run(*question, "--by", "stack", *option, "--trail", fleet)
    assert done.code == 0
    assert "the sum of 3 streams: host-0/" in done.err
    head, first, _ = done.out.splitlines()
    assert "streams" in head
    assert " 3  " in first
    assert {
        row["of_streams"] for row in json.loads(run(*question, "--by", "stack", "--json", "--trail", fleet).out)
    } == {3}


def test_all_and_a_stream_exclude_each_other(fleet: Path) -> None:
    done = run("top", "--at", "-0s", "--by", "stack", "--all", "--stream", "host-0", "--trail", fleet)
    assert (done.code, "--all cannot be used with --stream" in done.err) == (2, True)
