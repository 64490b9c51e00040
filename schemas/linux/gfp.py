"""gfp_t: allocation flags, the names that kernels print for them, and the migratetype that they request.

Source: include/linux/gfp_types.h and include/linux/gfp.h.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.errors import BadArgument

GFP_LIMIT: Final = 1 << 32
"""A mask is below it. Source: include/linux/types.h, gfp_t is an unsigned int (Linux 6.1)."""

# Bits. Source: include/linux/gfp_types.h (Linux 6.1), ___GFP_*.
_BITS: Final = {
    "__GFP_DMA": 0x1,
    "__GFP_HIGHMEM": 0x2,
    "__GFP_DMA32": 0x4,
    "__GFP_MOVABLE": 0x8,
    "__GFP_RECLAIMABLE": 0x10,
    "__GFP_HIGH": 0x20,
    "__GFP_IO": 0x40,
    "__GFP_FS": 0x80,
    "__GFP_ZERO": 0x100,
    "__GFP_ATOMIC": 0x200,
    "__GFP_DIRECT_RECLAIM": 0x400,
    "__GFP_KSWAPD_RECLAIM": 0x800,
    "__GFP_WRITE": 0x1000,
    "__GFP_NOWARN": 0x2000,
    "__GFP_RETRY_MAYFAIL": 0x4000,
    "__GFP_NOFAIL": 0x8000,
    "__GFP_NORETRY": 0x10000,
    "__GFP_MEMALLOC": 0x20000,
    "__GFP_COMP": 0x40000,
    "__GFP_NOMEMALLOC": 0x80000,
    "__GFP_HARDWALL": 0x100000,
    "__GFP_THISNODE": 0x200000,
    "__GFP_ACCOUNT": 0x400000,
    "__GFP_ZEROTAGS": 0x800000,
}


def _all_of(*names: str) -> int:
    mask = 0
    for name in names:
        mask |= _BITS[name]
    return mask


# Combinations. Source: include/linux/gfp_types.h (Linux 6.1), GFP_*; the KASAN bits in GFP_HIGHUSER_MOVABLE are zero
# unless the kernel has CONFIG_KASAN_HW_TAGS (arm64 only): give such a kernel's own table to the parser.
_RECLAIM: Final = _all_of("__GFP_DIRECT_RECLAIM", "__GFP_KSWAPD_RECLAIM")
_NOFS: Final = _RECLAIM | _BITS["__GFP_IO"]
_KERNEL: Final = _NOFS | _BITS["__GFP_FS"]
_USER: Final = _KERNEL | _BITS["__GFP_HARDWALL"]
_HIGHUSER: Final = _USER | _BITS["__GFP_HIGHMEM"]
_HIGHUSER_MOVABLE: Final = _HIGHUSER | _BITS["__GFP_MOVABLE"]
_TRANSHUGE_LIGHT: Final = (_HIGHUSER_MOVABLE | _all_of("__GFP_COMP", "__GFP_NOMEMALLOC", "__GFP_NOWARN")) & ~_RECLAIM

# In the order in which the kernel tries them, the widest first.
# Source: include/trace/events/mmflags.h (Linux 6.1), __def_gfpflag_names.
GFP_FLAGS_6_1: Final[Mapping[str, int]] = MappingProxyType(
    {
        "GFP_TRANSHUGE": _TRANSHUGE_LIGHT | _BITS["__GFP_DIRECT_RECLAIM"],
        "GFP_TRANSHUGE_LIGHT": _TRANSHUGE_LIGHT,
        "GFP_HIGHUSER_MOVABLE": _HIGHUSER_MOVABLE,
        "GFP_HIGHUSER": _HIGHUSER,
        "GFP_USER": _USER,
        "GFP_KERNEL_ACCOUNT": _KERNEL | _BITS["__GFP_ACCOUNT"],
        "GFP_KERNEL": _KERNEL,
        "GFP_NOFS": _NOFS,
        "GFP_ATOMIC": _all_of("__GFP_HIGH", "__GFP_ATOMIC", "__GFP_KSWAPD_RECLAIM"),
        "GFP_NOIO": _RECLAIM,
        "GFP_NOWAIT": _BITS["__GFP_KSWAPD_RECLAIM"],
        "GFP_DMA": _BITS["__GFP_DMA"],
        "__GFP_HIGHMEM": _BITS["__GFP_HIGHMEM"],
        "GFP_DMA32": _BITS["__GFP_DMA32"],
        "__GFP_HIGH": _BITS["__GFP_HIGH"],
        "__GFP_ATOMIC": _BITS["__GFP_ATOMIC"],
        "__GFP_IO": _BITS["__GFP_IO"],
        "__GFP_FS": _BITS["__GFP_FS"],
        "__GFP_NOWARN": _BITS["__GFP_NOWARN"],
        "__GFP_RETRY_MAYFAIL": _BITS["__GFP_RETRY_MAYFAIL"],
        "__GFP_NOFAIL": _BITS["__GFP_NOFAIL"],
        "__GFP_NORETRY": _BITS["__GFP_NORETRY"],
        "__GFP_COMP": _BITS["__GFP_COMP"],
        "__GFP_ZERO": _BITS["__GFP_ZERO"],
        "__GFP_NOMEMALLOC": _BITS["__GFP_NOMEMALLOC"],
        "__GFP_MEMALLOC": _BITS["__GFP_MEMALLOC"],
        "__GFP_HARDWALL": _BITS["__GFP_HARDWALL"],
        "__GFP_THISNODE": _BITS["__GFP_THISNODE"],
        "__GFP_RECLAIMABLE": _BITS["__GFP_RECLAIMABLE"],
        "__GFP_MOVABLE": _BITS["__GFP_MOVABLE"],
        "__GFP_ACCOUNT": _BITS["__GFP_ACCOUNT"],
        "__GFP_WRITE": _BITS["__GFP_WRITE"],
        "__GFP_RECLAIM": _RECLAIM,
        "__GFP_DIRECT_RECLAIM": _BITS["__GFP_DIRECT_RECLAIM"],
        "__GFP_KSWAPD_RECLAIM": _BITS["__GFP_KSWAPD_RECLAIM"],
        "__GFP_ZEROTAGS": _BITS["__GFP_ZEROTAGS"],
    }
)
"""The names that Linux 6.1 on x86_64 prints. The order matters: ``format_gfp`` takes names greedily from the front."""

GFP_MOVABLE: Final = _BITS["__GFP_MOVABLE"]
"""__GFP_MOVABLE: the same bit since Linux 2.6.23."""

GFP_COMP: Final = _BITS["__GFP_COMP"]
"""__GFP_COMP of Linux 6.1."""

GFP_MOVABLE_MASK: Final = _all_of("__GFP_RECLAIMABLE", "__GFP_MOVABLE")
GFP_MOVABLE_SHIFT: Final = 3
"""Source: include/linux/gfp_types.h and include/linux/gfp.h (Linux 6.1)."""


def gfp_migratetype(mask: int) -> int:
    """Return the migratetype (MIGRATE_*) that an allocation with *mask* requests, where pages are grouped by mobility.

    Source: include/linux/gfp.h, gfp_migratetype (Linux 6.1).
    """
    return (mask & GFP_MOVABLE_MASK) >> GFP_MOVABLE_SHIFT


def parse_gfp(text: str, table: Mapping[str, int]) -> int:
    """Return the mask of a text such as ``GFP_KERNEL|__GFP_ZERO|0x80000``; ``none`` and the empty text are 0.

    Raises
    ------
    BadArgument
        A word is neither a name of *table* nor a hexadecimal number of at most 32 bits.
    """
    if text in ("", "none"):
        return 0
    mask = 0
    for word in text.split("|"):
        bits = table.get(word)
        if bits is None:
            bits = _left_over(word)
        if bits is None:
            raise BadArgument(
                f"gfp flags {text!r}: expected names such as GFP_KERNEL or bits such as 0x80000, found {word!r}; "
                "give the names of the recorded kernel: ingest --kernel-release RELEASE, or --gfp-table FILE"
            )
        mask |= bits
    return mask


def parse_gfp_table(text: str) -> dict[str, int]:
    """Return a table that somebody wrote, a line ``NAME=HEX`` each; empty lines, and those that begin with #, are skipped.

    Raises
    ------
    BadArgument
        A line is neither, or there is none.
    """
    table = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, bits = (word.strip() for word in line.partition("="))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        mask = _left_over(bits if bits.startswith("0x") else f"0x{bits}")
        if not equals or not name or mask is None:
            raise BadArgument(f"line {number}: expected NAME=HEX, such as GFP_ATOMIC=0x820; found {line.strip()!r}")
        table[name] = mask
    if not table:
        raise BadArgument("expected lines NAME=HEX, such as GFP_ATOMIC=0x820; found none")
    return table


def _left_over(word: str) -> int | None:
    """Return the bits of a word without names in the kernel, which prints them as one hexadecimal number; null: not such a word."""
    digits = word[2:]
    if word[:2] != "0x" or not 1 <= len(digits) <= 8 or any(c not in "0123456789abcdef" for c in digits):
        return None
    return int(digits, 16)


def format_gfp(mask: int, table: Mapping[str, int]) -> str:
    """Return *mask* as the kernel's ``%pGg`` prints it: names, then bits without a name in hexadecimal; 0 is the empty text.

    Source: lib/vsprintf.c, format_flags (Linux 6.1). Tracepoints print 0 as ``none`` instead.
    """
    words = []
    for name, bits in table.items():
        if bits and mask & bits == bits:
            words.append(name)
            mask &= ~bits
    if mask:
        words.append(f"{mask:#x}")
    return "|".join(words)
