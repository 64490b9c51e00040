"""The options of the fold's jit functions: indexes into the int64 array that each of them receives."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.releases import KernelRules, PackedRules

(
    OPT_SPLIT_COVERED,
    OPT_LOSS,
    OPT_ONLINING_START,
    OPT_ONLINING_STOP,
    OPT_FLOOR,
    OPT_MAX_PFN,
    OPT_SKEW,
    OPT_REFILL_COVERED,
    OPT_EVENTS_A_LIVE,
    OPT_CEILING,
) = range(10)
STATE_OPTIONS: Final = 10
"""The first options are state: segments keep them. The others follow from the boot, and are derived from it again."""

(
    OPT_GFP_COMP,
    OPT_GFP_ISOLATED,
    OPT_EARLY_ORDER,
    OPT_EARLY_GFP,
    OPT_EARLY_PID,
    OPT_EARLY_PID_DEFERRED,
    OPT_MIGRATION_WRITES_TAILS,
) = range(STATE_OPTIONS, STATE_OPTIONS + len(PackedRules._fields))
"""The rules of the recording's kernel, in the order of ``PackedRules``."""

OPTIONS: Final = STATE_OPTIONS + len(PackedRules._fields)


def write_rules(options: NDArray[np.int64], rules: KernelRules, boot: Boot | None) -> None:
    """Write *rules* into *options*, with the gfp flags that *boot*'s kernel prints; null: no boot was recorded yet."""
    options[STATE_OPTIONS:] = rules.packed(boot.gfp_flags if boot is not None else {})
