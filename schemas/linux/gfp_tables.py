"""The names that other releases than 6.1 print for allocation flags, to their bits, on x86_64.

Source: include/trace/events/mmflags.h (__def_gfpflag_names), include/linux/gfp.h (Linux 5.10) and include/linux/gfp_types.h (Linux
6.12, 7.2). From 6.12 on, the bits above __GFP_ZEROTAGS depend on the kernel's configuration: only its own format file has them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1

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
    {"5.10": GFP_FLAGS_5_10, "6.1": GFP_FLAGS_6_1, "6.12": GFP_FLAGS_6_12, "7.2": GFP_FLAGS_7_2}
)
"""The releases whose names were read, the oldest first."""
