"""A stack's canonical form and its 64-bit id: one id for one call path, whatever recorded it.

page_owner's stack of an allocation and the tracepoint's stack of the same allocation differ in three things: offsets and
addresses (``func+0x1/0x2 <ffffffff81000000>`` or ``func``), which are others on every host and boot; the innermost functions
(page_owner's stack begins within ``get_page_from_freelist``, that of the tracepoint ``mm_page_alloc`` in ``__alloc_pages``); and
the outer end: page_owner keeps 16 entries and nothing beyond the entry of an interrupt or exception (``filter_irq_stacks``), a
trace keeps all. The canonical form has no offsets, no addresses, no tracing or allocator functions at its inner end, nothing
beyond the first such entry, and at most ``MAX_FRAMES`` frames.

``MAX_FRAMES`` = 12 because page_owner's 16 entries contain up to four of those inner functions (``post_alloc_hook``,
``get_page_from_freelist``, ``__alloc_pages_slowpath``, ``__alloc_pages``), so at least 12 callers remain. A kernel that inlines
nothing can have five inner functions; its deepest stacks then keep 11 frames, are marked as cut off, and have another id.

The two never agree for page_owner's own allocations (for its stack depot): they have ``register_dummy_stack`` in its dump.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

MAX_FRAMES: Final = 12
CUT_OFF: Final = "..."
"""The last line of a stack that was cut off. It is part of the text, and so of the id."""

PAGE_OWNER_STACK_DEPTH: Final = 16
"""Source: mm/page_owner.c, PAGE_OWNER_STACK_DEPTH (Linux 6.1)."""

# Before the function: ``[<ffffffff81000000>]``, as kernels before 4.10 print it (arch/x86/kernel/dumpstack.c). Behind it: its
# offset and size; the module; the address, by option sym-addr (kernel/trace/trace_output.c, seq_print_ip_sym) or trace-cmd
# (``(ffffffff81000000)``); the file that it is in, as perf prints it; and that it was inlined.
_FRAME = re.compile(
    r"(?:\[<[0-9a-f]+>\]\s+)?([^\s+]+)(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?(?:\s+\[([^\]\s<]+)[^\]]*\])?"
    r"(?:\s+(?:<[0-9a-f]+>|\([^()]*\)))*"
)
_LINKED: Final = re.compile(r"\.llvm\.[0-9]+$")
"""The suffix of a local function that was made global by the linker (LTO): another in every build."""

_TRACING: Final = frozenset(
    {
        "arch_ftrace_ops_list_func",
        "ftrace_call",
        "ftrace_regs_call",
        "kprobe_ftrace_handler",
        "kprobe_trace_func",
        "trace_event_buffer_commit",
        "__ftrace_trace_stack",
        "save_stack",
        "save_stack_trace",
        "stack_trace_save",
        "set_page_owner",
        "__set_page_owner",
        "reset_page_owner",
        "__reset_page_owner",
    }
)
_TRACING_STARTS: Final = ("__traceiter_", "trace_event_raw_event_", "perf_trace_")
# mm/page_alloc.c, Linux 3.19 to 6.16: all functions between __alloc_pages (whatever its name) and page_owner's hook
_ALLOCATOR: Final = frozenset(
    {
        "post_alloc_hook",
        "prep_new_page",
        "get_page_from_freelist",
        "rmqueue",
        "rmqueue_buddy",
        "rmqueue_bulk",
        "rmqueue_pcplist",
        "__rmqueue_pcplist",
        "__rmqueue",
        "__rmqueue_smallest",
        "__rmqueue_fallback",
        "__rmqueue_claim",
        "__rmqueue_steal",
        "steal_suitable_fallback",
        "try_to_claim_block",
        "buffered_rmqueue",
        "__alloc_pages_cpuset_fallback",
        "__alloc_pages_direct_compact",
        "__alloc_pages_direct_reclaim",
        "__alloc_pages_may_oom",
        "__alloc_pages_slowpath",
        "__alloc_pages_nodemask",
        "__alloc_pages",
        "__alloc_pages_noprof",
        "__alloc_frozen_pages_noprof",
    }
)
# the innermost functions of a free, around the tracepoint mm_page_free and the hook of page_owner alike
_FREEING: Final = frozenset(
    {
        "free_pages_prepare",
        "__free_pages_prepare",
        "free_pcp_prepare",
        "free_unref_page_prepare",
    }
)
_PREFIX: Final = _TRACING | _ALLOCATOR | _FREEING
# Where page_owner's stacks end: lib/stackdepot.c calls filter_irq_stacks (kernel/stacktrace.c, Linux 6.1), which keeps
# the entry itself; the names are those between __irqentry_text_start and __irqentry_text_end on x86, and the softirqs'
_INTERRUPT_ENTRIES: Final = frozenset(
    {
        "asm_common_interrupt",
        "asm_spurious_interrupt",
        "__do_softirq",
        "handle_softirqs",
    }
)
_INTERRUPT_STARTS: Final = ("asm_exc_", "asm_sysvec_")
# page_owner's stacks begin within these; those of mm_page_alloc do not
_SEEN_BY_PAGE_OWNER: Final = _TRACING | {"post_alloc_hook", "prep_new_page", "get_page_from_freelist"}


@dataclass(frozen=True, slots=True)
class CanonicalStack:
    """A stack in canonical form: frames innermost first, one a line; the last is ``CUT_OFF`` if there were more."""

    frames: str
    truncated: bool


@lru_cache(maxsize=16_384)
def canonical_stack(raw: str) -> CanonicalStack:
    """Return the canonical form of *raw*: frames joined by newlines, innermost first, as a recording has them.

    A frame is ``func``, ``func+0x43``, ``func+0x1/0x2``, each with `` [module]`` or without, and with an address or file behind
    it, ``<…>`` or ``(…)``, or without. A last line ``...`` means that *raw* was cut off already. A stack of allocator functions
    only keeps them.
    """
    lines = [line.strip() for line in raw.split("\n")]
    frames = [_name(line) for line in lines if line and line != CUT_OFF]
    cut = _prefix_length(frames)
    kept = _own_context(frames[cut:] or frames)
    full_page_owner = len(frames) == PAGE_OWNER_STACK_DEPTH and cut > 0 and _function(frames[0]) in _SEEN_BY_PAGE_OWNER
    cut_by_source = (full_page_owner or CUT_OFF in lines) and len(kept) == len(frames) - cut
    truncated = len(kept) > MAX_FRAMES or cut_by_source
    tail = [CUT_OFF] if truncated else []
    return CanonicalStack("\n".join(kept[:MAX_FRAMES] + tail), truncated)


def stack_id(frames: str) -> int:
    """Return the id of a stack in canonical form: 64 bits of BLAKE2b as a signed int64 (little-endian)."""
    return int.from_bytes(blake2b(frames.encode(), digest_size=8).digest(), "little", signed=True)


def _name(frame: str) -> str:
    match = _FRAME.fullmatch(frame)
    if match is None:
        return frame
    function, module = match.groups()
    function = _LINKED.sub("", function)
    # perf writes [kernel.kallsyms] where the kernel writes no module at all
    return function if module is None or module.startswith("kernel.") else f"{function} [{module}]"


def _function(name: str) -> str:
    """Return the function without the compiler's suffixes (``.constprop.0``, ``.isra.0``)."""
    return name.split(" ", 1)[0].split(".", 1)[0]


def _prefix_length(frames: list[str]) -> int:
    for position, frame in enumerate(frames):
        function = _function(frame)
        if function not in _PREFIX and not function.startswith(_TRACING_STARTS):
            return position
    return len(frames)


def _own_context(frames: list[str]) -> list[str]:
    """Return *frames* up to and including the first entry of an interrupt or exception."""
    for position, frame in enumerate(frames):
        function = _function(frame)
        if function in _INTERRUPT_ENTRIES or function.startswith(_INTERRUPT_STARTS):
            return frames[: position + 1]
    return frames
