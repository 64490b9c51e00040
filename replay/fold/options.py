"""The options of the fold's kernels: indexes into the int64 array that each of them is given."""

(
    OPT_SPLIT_COVERED,
    OPT_LOSS,
    OPT_ONLINING_START,
    OPT_ONLINING_STOP,
    OPT_FLOOR,
    OPT_MAX_PFN,
    OPT_SKEW,
    OPT_REFILL_COVERED,
) = range(8)
OPTIONS = 8
