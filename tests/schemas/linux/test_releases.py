"""The rules of a release reach the fold's jit functions as its options."""

import dataclasses

import numpy as np
import pytest

from pagetrail.replay.fold import options
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux import releases
from pagetrail.schemas.linux.releases import (
    LINUX_5_10,
    LINUX_6_1,
    LINUX_6_12,
    LINUX_7_2,
    Either,
    KernelRules,
    PackedRules,
    rules_named,
    rules_of,
)
from pagetrail.schemas.owner import Anomaly
from tests.replay.states import anomalies, folded
from tests.replay.strategies import PAGES, SECTION_SIZE_BITS, Machine, to_frames


@pytest.mark.parametrize(
    ("release", "rules"),
    [
        ("6.1.192-polab", LINUX_6_1), ("5.10.0-28-amd64", LINUX_5_10), ("6.12.117-polab", LINUX_6_12), ("7.2", LINUX_7_2),
        ("4.19.0", LINUX_5_10), ("8.0.1", LINUX_7_2),
    ],
)  # fmt: skip
def test_a_kernel_has_the_rules_of_its_release(release: str, rules: KernelRules) -> None:
    assert rules_of(release) is rules


@pytest.mark.parametrize("release", [None, "nonsense", "6.1²", "9" * 5000])
def test_a_kernel_whose_release_is_not_known_has_the_rules_of_6_1(release: str | None) -> None:
    assert rules_of(release) is LINUX_6_1


@pytest.mark.parametrize(
    ("release", "name", "tails"),
    [
        ("5.15.3", "linux-5.10-or-6.1", Either.NO), ("6.6.1", "linux-6.1-or-6.12", Either.UNKNOWN),
        ("6.18.0", "linux-6.12-or-7.2", Either.YES),
    ],
)  # fmt: skip
def test_a_kernel_between_two_releases_may_do_what_either_does(release: str, name: str, tails: Either) -> None:
    rules = rules_of(release)
    assert (rules.name, rules.migration_writes_tails) == (name, tails)


@pytest.mark.parametrize(
    ("release", "own_mask"),
    [
        ("6.12.117+deb13-amd64", Either.YES), ("6.12.118", Either.YES), ("6.12.116", Either.UNKNOWN), ("6.12", Either.UNKNOWN),
        ("6.12.0-rc3", Either.UNKNOWN), ("6.18.200", Either.UNKNOWN), ("7.2.0", Either.YES), ("6.6.5", Either.UNKNOWN),
        ("6.1.300", Either.NO),
    ],
)  # fmt: skip
def test_what_stable_trees_may_have_carried_back_is_known_only_of_releases_that_were_read(
    release: str, own_mask: Either
) -> None:
    assert rules_of(release).contig_has_own_mask is own_mask


def test_of_a_kernel_between_two_releases_the_size_of_page_owner_is_known_only_where_they_agree() -> None:
    assert [rules_of(release).page_owner_bytes for release in ("5.10", "5.15", "6.1", "6.6", "6.12", "6.18", "7.2")] == [
        16, None, 56, None, 64, 64, 64,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["linux-6.12", "6.12", "6.12.117-polab"])
def test_rules_are_named_by_a_release(name: str) -> None:
    assert rules_named(name) is LINUX_6_12


def test_rules_of_no_release_are_refused() -> None:
    with pytest.raises(BadArgument, match=r"linux-5\.10, linux-6\.1, linux-6\.12"):
        rules_named("debian")


MADE_UP = dataclasses.replace(LINUX_6_1, release="99.3", gfp_isolated=0x20)
"""A rule set that is added as CONTRIBUTING.md says: a value, and a line in ``RELEASES``."""


@pytest.mark.parametrize(
    ("release", "rules"),
    [("99.3.0-rc1", MADE_UP), ("99.3.7", MADE_UP), ("100.0", MADE_UP), ("6.1.9", LINUX_6_1)],
)
def test_a_kernel_has_the_rules_of_the_nearest_older_release(
    monkeypatch: pytest.MonkeyPatch, release: str, rules: KernelRules
) -> None:
    monkeypatch.setattr(releases, "RELEASES", (LINUX_6_1, MADE_UP))
    assert rules_of(release) is rules


@pytest.mark.parametrize(("release", "contradicted"), [("99.3.1", False), ("6.1.9", True)])
def test_one_compiled_fold_follows_the_rules_of_each_recordings_kernel(
    monkeypatch: pytest.MonkeyPatch, release: str, contradicted: bool
) -> None:
    """GIVEN a release that isolates with another mask WHEN an isolated page's allocation follows THEN it is no contradiction."""
    monkeypatch.setattr(releases, "RELEASES", (LINUX_6_1, MADE_UP))
    m = Machine()
    m.begin()
    m.emit(Kind.BOOT, Boot(release=release, section_size_bits=SECTION_SIZE_BITS, present=((0, PAGES),)))
    for kind in (Kind.ISOLATE, Kind.ALLOC):
        m.emit(kind, pfn=4, order=0, gfp_mask=0x20, pid=7)
    m.end()
    run = folded(to_frames(m.recordings))
    assert (Anomaly.ALLOC_OVER_OWNED in anomalies(run.engine)) == contradicted


def test_each_packed_rule_has_its_index_in_the_options() -> None:
    indexes = [getattr(options, f"OPT_{name.upper()}") for name in PackedRules._fields]
    assert indexes == list(range(options.STATE_OPTIONS, options.OPTIONS))


def test_the_rules_are_written_behind_the_state_and_leave_it_alone() -> None:
    given = np.full(options.OPTIONS, -7, np.int64)
    options.write_rules(given, LINUX_6_1, None)
    assert given[: options.STATE_OPTIONS].tolist() == [-7] * options.STATE_OPTIONS
    assert given[options.STATE_OPTIONS :].tolist() == list(LINUX_6_1.packed({})) == [0x40000, 0x8, 0, 0, 1, 0, 0]


def test_the_bits_that_a_recordings_own_kernel_prints_count_first() -> None:
    given = np.zeros(options.OPTIONS, np.int64)
    options.write_rules(given, LINUX_6_1, Boot(release="6.1.0", gfp_flags={"__GFP_COMP": 0x80000}))
    assert given[options.OPT_GFP_COMP] == 0x80000
