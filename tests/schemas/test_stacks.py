"""Laws of a stack's canonical form and id."""

from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.stacks import CUT_OFF, MAX_FRAMES, canonical_stack, stack_id

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}(\.constprop\.0)?", fullmatch=True)
STACKS = st.lists(st.one_of(NAMES, st.sampled_from(["__alloc_pages", "asm_exc_page_fault"])), min_size=1, max_size=30)
OFFSETS = st.sampled_from(["", "+0x43", "+0x1/0x2", "+0x14ae/0x1580"])


@given(STACKS)
def test_the_canonical_form_of_a_canonical_form_is_itself(frames: list[str]) -> None:
    once = canonical_stack("\n".join(frames))
    assert canonical_stack(once.frames) == once or once.frames.split("\n")[0] == "__alloc_pages"


@given(STACKS, st.data())
def test_offsets_change_nothing(frames: list[str], data: st.DataObject) -> None:
    moved = [frame + data.draw(OFFSETS) for frame in frames]
    assert canonical_stack("\n".join(moved)) == canonical_stack("\n".join(frames))


@given(STACKS)
def test_a_canonical_stack_is_at_most_12_deep_and_says_when_it_was_cut_off(frames: list[str]) -> None:
    found = canonical_stack("\n".join(frames))
    lines = found.frames.split("\n")
    assert (lines[-1] == CUT_OFF) is found.truncated
    assert len(lines) - found.truncated <= MAX_FRAMES


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30))
def test_page_owner_and_the_tracepoint_meet_in_one_call_path(callers: list[str]) -> None:
    page_owner = ["get_page_from_freelist+0x14ae/0x1580", "__alloc_pages+0x16f/0x2a0", *callers][:16]
    tracepoint = ["__traceiter_mm_page_alloc", "__alloc_pages", *callers]
    assert canonical_stack("\n".join(page_owner)) == canonical_stack("\n".join(tracepoint))


@given(st.lists(st.sampled_from("abcdefgh"), min_size=13, max_size=30))
def test_they_meet_on_the_slow_path_of_a_kernel_that_inlines_little(callers: list[str]) -> None:
    inner = ["post_alloc_hook", "get_page_from_freelist", "__alloc_pages_slowpath.constprop.0", "__alloc_pages"]
    assert canonical_stack("\n".join([*inner, *callers][:16])) == canonical_stack("\n".join([*inner[2:], *callers]))


def test_a_stack_that_filled_all_of_page_owner_and_keeps_less_than_12_says_that_it_was_cut_off() -> None:
    inner = ["post_alloc_hook", "prep_new_page", "get_page_from_freelist", "__alloc_pages_slowpath", "__alloc_pages"]
    assert canonical_stack("\n".join(inner + list("abcdefghijk"))).truncated
    assert not canonical_stack("\n".join(inner + list("abcdefghij"))).truncated


def test_a_stack_ends_with_the_entry_of_an_interrupt_or_exception() -> None:
    found = canonical_stack("__alloc_pages\nalloc_pages\nasm_exc_page_fault\nclear_user_erms\nelf_load")
    assert (found.frames, found.truncated) == ("alloc_pages\nasm_exc_page_fault", False)


def test_modules_are_part_of_a_frame_and_build_ids_are_not() -> None:
    assert (
        canonical_stack("f+0x1/0x2 [ext4 0123abcd]\ng+0x3 [ext4]\nh [kernel.kallsyms]").frames
        == "f [ext4]\ng [ext4]\nh"
    )


@given(STACKS, st.integers(0, 1 << 32))
def test_a_call_path_is_one_stack_whatever_the_addresses(frames: list[str], base: int) -> None:
    plain = canonical_stack("\n".join(frames))
    places = [0xFFFFFFFF00000000 + base + 16 * k for k in range(len(frames))]
    forms = (
        "{f}+0x20/0x320 <{a:016x}>",
        "{f} <{a:08x}>",
        "{f} ({a:x})",
        "[<{a:016x}>] {f}+0x20/0x320",
        "{f}+0x20 ([kernel.kallsyms])",
    )
    for form in forms:
        lines = [form.format(f=frame, a=place) for frame, place in zip(frames, places, strict=True)]
        assert canonical_stack("\n".join(lines)) == plain


def test_the_module_of_a_frame_with_an_address_stays() -> None:
    assert (
        canonical_stack("f+0x1/0x2 [ext4] <ffffffffc0000001>\ng [ext4 0123abcd] (inlined)").frames
        == "f [ext4]\ng [ext4]"
    )


def test_a_function_that_the_linker_made_global_keeps_its_name() -> None:
    assert canonical_stack("f.llvm.8232844412049014381+0x1/0x2\ng.constprop.0").frames == "f\ng.constprop.0"


def test_a_stack_of_allocator_functions_alone_keeps_them() -> None:
    assert canonical_stack("rmqueue_bulk\n__alloc_pages").frames == "rmqueue_bulk\n__alloc_pages"


def test_the_id_of_a_stack_never_changes() -> None:
    assert stack_id("alloc_pages\npipe_write") == 5214087527277916981
