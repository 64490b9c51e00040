"""The rules of a release reach the fold's jit functions as its options."""

import numpy as np
import pytest

from pagetrail.replay.fold import options
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.releases import LINUX_6_1, PackedRules, rules_of


@pytest.mark.parametrize("release", [None, "6.1.192-polab", "5.10.0-28-amd64", "7.2", "nonsense"])
def test_every_kernel_has_the_rules_of_6_1_until_others_are_written(release: str | None) -> None:
    assert rules_of(release) is LINUX_6_1


def test_each_packed_rule_has_its_index_in_the_options() -> None:
    indexes = [getattr(options, f"OPT_{name.upper()}") for name in PackedRules._fields]
    assert indexes == list(range(options.STATE_OPTIONS, options.OPTIONS))


def test_the_rules_are_written_behind_the_state_and_leave_it_alone() -> None:
    given = np.full(options.OPTIONS, -7, np.int64)
    options.write_rules(given, None)
    assert given[: options.STATE_OPTIONS].tolist() == [-7] * options.STATE_OPTIONS
    assert given[options.STATE_OPTIONS :].tolist() == list(LINUX_6_1.packed({})) == [0x40000, 0x8, 0, 0, 1]


def test_the_bits_that_a_recordings_own_kernel_prints_count_first() -> None:
    given = np.zeros(options.OPTIONS, np.int64)
    options.write_rules(given, Boot(release="6.1.0", gfp_flags={"__GFP_COMP": 0x80000}))
    assert given[options.OPT_GFP_COMP] == 0x80000
