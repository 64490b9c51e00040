"""The names that other releases than 6.1 print for allocation flags, to their bits, on x86_64.

Source: include/trace/events/mmflags.h (Linux 4.9 and later, __def_gfpflag_names), include/trace/events/gfpflags.h (3.18, 4.4),
include/linux/gfp.h (up to 5.10) and include/linux/gfp_types.h (6.12, 7.2), in the order in which the kernel tries them. From 6.12
on, the bits above __GFP_ZEROTAGS depend on the kernel's configuration: only its own format file has them. 3.18 and 4.4 print single
flags without underscores; those with them are the same bits, which rules ask for, and a text of these releases never has.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1

_LOW: Final = {
    "DMA": 0x1, "HIGHMEM": 0x2, "DMA32": 0x4, "MOVABLE": 0x8, "HIGH": 0x20, "IO": 0x40, "FS": 0x80, "NOWARN": 0x200,
    "NOFAIL": 0x800, "NORETRY": 0x1000, "MEMALLOC": 0x2000, "COMP": 0x4000, "ZERO": 0x8000, "NOMEMALLOC": 0x10000,
    "HARDWALL": 0x20000, "THISNODE": 0x40000,
}  # fmt: skip
"""The bits that did not move from 3.18 to 4.19."""

_BITS_3_18: Final = _LOW | {
    "WAIT": 0x10, "COLD": 0x100, "REPEAT": 0x400, "RECLAIMABLE": 0x80000, "NOTRACK": 0x200000, "NO_KSWAPD": 0x400000,
    "OTHER_NODE": 0x800000, "WRITE": 0x1000000,
}  # fmt: skip
_BITS_4_4: Final = _LOW | {
    "RECLAIMABLE": 0x10, "COLD": 0x100, "REPEAT": 0x400, "ATOMIC": 0x80000, "NOTRACK": 0x200000, "DIRECT_RECLAIM": 0x400000,
    "OTHER_NODE": 0x800000, "WRITE": 0x1000000, "KSWAPD_RECLAIM": 0x2000000,
}  # fmt: skip
_BITS_4_9: Final = _BITS_4_4 | {"ACCOUNT": 0x100000}
_BITS_4_14: Final = _LOW | {
    "RECLAIMABLE": 0x10, "COLD": 0x100, "RETRY_MAYFAIL": 0x400, "ATOMIC": 0x80000, "ACCOUNT": 0x100000, "NOTRACK": 0x200000,
    "DIRECT_RECLAIM": 0x400000, "WRITE": 0x800000, "KSWAPD_RECLAIM": 0x1000000,
}  # fmt: skip
_BITS_4_19: Final = _LOW | {
    "RECLAIMABLE": 0x10, "WRITE": 0x100, "RETRY_MAYFAIL": 0x400, "ATOMIC": 0x80000, "ACCOUNT": 0x100000,
    "DIRECT_RECLAIM": 0x200000, "KSWAPD_RECLAIM": 0x400000,
}  # fmt: skip

_SINGLE_3_18: Final = (
    "HIGH", "WAIT", "IO", "COLD", "NOWARN", "REPEAT", "NOFAIL", "NORETRY", "COMP", "ZERO", "NOMEMALLOC", "MEMALLOC", "HARDWALL",
    "THISNODE", "RECLAIMABLE", "MOVABLE", "NOTRACK", "NO_KSWAPD", "OTHER_NODE",
)  # fmt: skip
_SINGLE_4_4: Final = (
    *(name for name in _SINGLE_3_18 if name not in ("WAIT", "NO_KSWAPD", "OTHER_NODE")),
    "DIRECT_RECLAIM", "KSWAPD_RECLAIM", "OTHER_NODE",
)  # fmt: skip
_BEHIND_4_9: Final = (
    "HIGH", "ATOMIC", "IO", "FS", "COLD", "NOWARN", "REPEAT", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "COMP", "ZERO", "NOMEMALLOC",
    "MEMALLOC", "HARDWALL", "THISNODE", "RECLAIMABLE", "MOVABLE", "ACCOUNT", "NOTRACK", "WRITE", "RECLAIM", "DIRECT_RECLAIM",
    "KSWAPD_RECLAIM", "OTHER_NODE",
)  # fmt: skip
"""Those of these names that a release has, it tries in this order."""


def _all_of(bits: Mapping[str, int], names: Sequence[str]) -> int:
    mask = 0
    for name in names:
        mask |= bits[name]
    return mask


def _combined(bits: Mapping[str, int], reclaim: Sequence[str], transhuge: Mapping[str, int]) -> dict[str, int]:
    """Return the combinations of flags that all these releases have, the widest first; *reclaim*: those of GFP_NOIO."""
    noio = _all_of(bits, reclaim)
    nofs = noio | bits["IO"]
    kernel = nofs | bits["FS"]
    user = kernel | bits["HARDWALL"]
    highuser = user | bits["HIGHMEM"]
    account = {"GFP_KERNEL_ACCOUNT": kernel | bits["ACCOUNT"]} if "ACCOUNT" in bits else {}
    temporary = {} if "RETRY_MAYFAIL" in bits else {"GFP_TEMPORARY": kernel | bits["RECLAIMABLE"]}
    movable = highuser | bits["MOVABLE"]
    huge = {name: movable & ~noio | more for name, more in transhuge.items()}
    users = {"GFP_HIGHUSER_MOVABLE": movable, "GFP_HIGHUSER": highuser, "GFP_USER": user}
    return huge | users | temporary | account | {"GFP_KERNEL": kernel, "GFP_NOFS": nofs}


def _table_3_18() -> dict[str, int]:
    bits = _BITS_3_18
    huge = _all_of(bits, ("WAIT", "COMP", "NOMEMALLOC", "NORETRY", "NOWARN", "NO_KSWAPD"))
    table = _combined(bits, ("WAIT",), {"GFP_TRANSHUGE": huge}) | {"GFP_ATOMIC": bits["HIGH"], "GFP_NOIO": bits["WAIT"]}
    return _with_single(table, bits, _SINGLE_3_18)


def _table_4_4() -> dict[str, int]:
    bits = _BITS_4_4
    huge = _all_of(bits, ("DIRECT_RECLAIM", "COMP", "NOMEMALLOC", "NORETRY", "NOWARN"))
    reclaim = ("DIRECT_RECLAIM", "KSWAPD_RECLAIM")
    table = _combined(bits, reclaim, {"GFP_TRANSHUGE": huge})
    table["GFP_ATOMIC"] = _all_of(bits, ("HIGH", "ATOMIC", "KSWAPD_RECLAIM"))
    table["GFP_NOIO"] = _all_of(bits, reclaim)
    return _with_single(table, bits, _SINGLE_4_4)


def _with_single(table: Mapping[str, int], bits: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Add the single flags; a mask of no flag is printed as GFP_NOWAIT."""
    printed = {f"GFP_{name}": bits[name] for name in names}
    return {**table, **printed, "GFP_NOWAIT": 0, **{f"__GFP_{name}": bit for name, bit in bits.items()}}


def _table_since_4_9(bits: Mapping[str, int]) -> dict[str, int]:
    reclaim = _all_of(bits, ("DIRECT_RECLAIM", "KSWAPD_RECLAIM"))
    light = _all_of(bits, ("COMP", "NOMEMALLOC", "NOWARN"))
    huge = {"GFP_TRANSHUGE": light | bits["DIRECT_RECLAIM"], "GFP_TRANSHUGE_LIGHT": light}
    singles = {**bits, "RECLAIM": reclaim}
    return (
        _combined(bits, ("DIRECT_RECLAIM", "KSWAPD_RECLAIM"), huge)
        | {
            "GFP_ATOMIC": _all_of(bits, ("HIGH", "ATOMIC", "KSWAPD_RECLAIM")),
            "GFP_NOIO": reclaim,
            "GFP_NOWAIT": bits["KSWAPD_RECLAIM"],
            "GFP_DMA": bits["DMA"],
            "__GFP_HIGHMEM": bits["HIGHMEM"],
            "GFP_DMA32": bits["DMA32"],
        }
        | {f"__GFP_{name}": singles[name] for name in _BEHIND_4_9 if name in singles}
    )


OLD_GFP_TABLES: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "3.18": MappingProxyType(_table_3_18()),
        "4.4": MappingProxyType(_table_4_4()),
        "4.9": MappingProxyType(_table_since_4_9(_BITS_4_9)),
        "4.14": MappingProxyType(_table_since_4_9(_BITS_4_14)),
        "4.19": MappingProxyType(_table_since_4_9(_BITS_4_19)),
    }
)
"""The releases before 5.0 whose names were read, the oldest first."""

TWICE: Final[Mapping[str, str]] = MappingProxyType({"4.4": "GFP_ATOMIC"})
"""A name that a release prints for two masks: 4.4 calls __GFP_ATOMIC alone GFP_ATOMIC as well. It is read as the usual one."""

GFP_FLAGS_5_10: Final[Mapping[str, int]] = MappingProxyType(
    {name: bits for name, bits in GFP_FLAGS_6_1.items() if name != "__GFP_ZEROTAGS"}
)

GFP_FLAGS_6_12: Final[Mapping[str, int]] = MappingProxyType(
    {
        **{name: bits for name, bits in GFP_FLAGS_6_1.items() if name != "__GFP_ATOMIC"},
        "GFP_ATOMIC": GFP_FLAGS_6_1["__GFP_HIGH"] | GFP_FLAGS_6_1["__GFP_KSWAPD_RECLAIM"],
        "GFP_NOWAIT": GFP_FLAGS_6_1["__GFP_KSWAPD_RECLAIM"] | GFP_FLAGS_6_1["__GFP_NOWARN"],
    }
)
"""__GFP_ATOMIC is gone, and GFP_NOWAIT does not warn."""

_FIRST_7_2: Final = (
    "GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT", "GFP_HIGHUSER_MOVABLE", "GFP_HIGHUSER", "GFP_USER", "GFP_KERNEL_ACCOUNT",
    "GFP_KERNEL", "GFP_NOFS", "GFP_ATOMIC", "GFP_NOIO", "GFP_NOWAIT", "GFP_DMA", "GFP_DMA32", "__GFP_RECLAIM",
)  # fmt: skip
_SINGLE_7_2: Final = (
    "__GFP_HIGHMEM", "__GFP_DMA32", "__GFP_MOVABLE", "__GFP_RECLAIMABLE", "__GFP_HIGH", "__GFP_IO", "__GFP_FS", "__GFP_ZERO",
    "__GFP_DIRECT_RECLAIM", "__GFP_KSWAPD_RECLAIM", "__GFP_WRITE", "__GFP_NOWARN", "__GFP_RETRY_MAYFAIL", "__GFP_NOFAIL",
    "__GFP_NORETRY", "__GFP_MEMALLOC", "__GFP_COMP", "__GFP_NOMEMALLOC", "__GFP_HARDWALL", "__GFP_THISNODE", "__GFP_ACCOUNT",
    "__GFP_ZEROTAGS",
)  # fmt: skip

GFP_FLAGS_7_2: Final[Mapping[str, int]] = MappingProxyType(
    {name: GFP_FLAGS_6_12[name] for name in _FIRST_7_2}
    | {"__GFP_DMA": GFP_FLAGS_6_12["GFP_DMA"]}
    | {name: GFP_FLAGS_6_12[name.replace("__GFP_DMA32", "GFP_DMA32")] for name in _SINGLE_7_2}
)
"""The same bits as in 6.12; the single flags are tried in the order of their bits."""

GFP_TABLES: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        **OLD_GFP_TABLES,
        "5.4": GFP_FLAGS_5_10,
        "5.10": GFP_FLAGS_5_10,
        "6.1": GFP_FLAGS_6_1,
        "6.12": GFP_FLAGS_6_12,
        "7.2": GFP_FLAGS_7_2,
    }
)
"""The releases whose names were read, the oldest first."""
