"""Bits of /proc/kpageflags.

Source: include/uapi/linux/kernel-page-flags.h (Linux 6.1).
"""

from typing import Final

KPF_BUDDY: Final = 1 << 10
KPF_HWPOISON: Final = 1 << 19
KPF_NOPAGE: Final = 1 << 20
KPF_OFFLINE: Final = 1 << 23
