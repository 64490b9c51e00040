"""The kernel's page_owner_sort makes the same groups of a replayed recording as of the kernel's own dump of that instant.

Two reasons for a group to differ, both in page_owner itself; nothing else may:

- It keeps nothing beyond the entry of an interrupt or exception; a trace keeps what was interrupted, too.
  Source: lib/stackdepot.c, __stack_depot_save, and kernel/stacktrace.c, filter_irq_stacks (Linux 6.1).
- What it allocates itself, for its stack depot, gets ``register_dummy_stack``, as it must not ask for a stack while it
  saves one. Source: mm/page_owner.c, save_stack (Linux 6.1). The trace has the true stack.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.captures.trails import Replayed, replayed
from tests.conftest import KernelDump
from tests.kernel.page_owner_sort import Group, Stack, normalised_groups

pytestmark = pytest.mark.kernel

Groups = dict[Stack, Group]

SNAPSHOT: Final = "2-workload"
ENTRIES: Final = ("asm_exc_", "asm_sysvec_", "asm_common_interrupt", "asm_spurious_interrupt")
"""Functions of the section .irqentry.text. Source: arch/x86/include/asm/idtentry.h (Linux 6.1)."""

OWN_ALLOCATION: Final = "__stack_depot_save"
DUMMY: Final[Stack] = ("register_dummy_stack", "init_page_owner", "page_ext_init", "kernel_init_freeable")


@pytest.fixture(scope="module")
def stack_trail(captures: Path, shared_folder: Path) -> Replayed:
    return replayed(captures / "stack", shared_folder)


@pytest.fixture(scope="module")
def groups(stack_trail: Replayed, page_owner_sort: Path, kernel_dump: KernelDump) -> tuple[Groups, Groups]:
    """Return the kernel's groups, and ours."""
    ours = stack_trail.opened().page_owner_text(f"@{SNAPSHOT}")
    kernel = kernel_dump("stack", SNAPSHOT)
    return normalised_groups(page_owner_sort, kernel), normalised_groups(page_owner_sort, ours)


def as_page_owner_keeps(stack: Stack) -> Stack:
    """Return *stack* as page_owner would have kept it."""
    if OWN_ALLOCATION in stack:
        return DUMMY
    entry = next((i for i, frame in enumerate(stack) if frame.startswith(ENTRIES)), len(stack))
    return stack[: entry + 1]


def rewritten(groups: Mapping[Stack, Group]) -> dict[Stack, Group]:
    total: dict[Stack, Group] = {}
    for stack, group in groups.items():
        kept = as_page_owner_keeps(stack)
        before = total.get(kept, Group(times=0, pages=0))
        total[kept] = Group(times=before.times + group.times, pages=before.pages + group.pages)
    return total


def test_the_groups_are_the_kernels_but_for_stated_reasons(groups: tuple[Groups, Groups]) -> None:
    kernel, ours = groups
    assert len(kernel) > 250
    assert rewritten(ours) == kernel


def test_most_groups_need_no_reason(groups: tuple[Groups, Groups]) -> None:
    kernel, ours = groups
    alike = {stack for stack, group in kernel.items() if ours.get(stack) == group}
    assert len(alike) > 0.95 * len(kernel)


def test_page_owners_own_allocations_have_the_stack_that_the_dump_gives_them(groups: tuple[Groups, Groups]) -> None:
    """At a dump's end the text has the dump's own stacks, also where an event told of another one."""
    kernel, ours = groups
    assert ours[DUMMY] == kernel[DUMMY]
    assert not [stack for stack in ours if OWN_ALLOCATION in stack]
