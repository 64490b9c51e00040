"""The texts of a stream are small numbers in its engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.replay.fold.decode import StackTable
from pagetrail.schemas.errors import StackConflict
from pagetrail.schemas.stacks import canonical_stack, stack_id
from tests.schemas.test_stacks import STACKS


@pytest.mark.slow
@given(st.lists(STACKS.map("\n".join), min_size=1, max_size=10))
def test_stacks_have_dense_ids_in_order_of_first_sight(raws: list[str]) -> None:
    table = StackTable()
    dense = [table.intern(raw) for raw in raws]
    assert sorted(set(dense), key=dense.index) == list(range(len(table)))
    assert [table.intern(raw) for raw in raws] == dense


@pytest.mark.slow
@given(st.lists(STACKS.map("\n".join), min_size=1, max_size=10))
def test_stacks_share_an_id_when_their_canonical_form_is_one(raws: list[str]) -> None:
    table = StackTable()
    for raw in raws:
        dense = table.intern(raw)
        assert table.frames[dense] == canonical_stack(raw).frames
        assert table.ids[dense] == stack_id(canonical_stack(raw).frames)


def test_one_id_with_two_contents_is_an_error() -> None:
    table = StackTable()
    assert table.add(7, "f\ng", "f\ng", False) == table.add(7, "f\ng", "f+0x1\ng", False)
    with pytest.raises(StackConflict):
        table.add(7, "f\nh", "f\nh", False)
