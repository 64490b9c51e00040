"""The sum over packed spans in a state digest: see ``state_digest``.

The hash of a row is a sum over its fields. So what an act, an owner or a detail adds is hashed once, however many rows have it.
"""

import numpy as np

from pagetrail.schemas.jit import READ_AHEAD, inner, jit, prefetch
from pagetrail.schemas.owner import ABSENT64

OF_EVENT_DTYPE = np.dtype([("hash", np.uint64), ("block", np.int64), ("seq", np.int64)], align=True)
"""What a span has of the event that began it: what that adds to its hash, without its block; that block, or -1 less its order."""

_ABSENT = np.uint64(0x9E3779B97F4A7C15)
_INVERSE_OF_3 = np.uint64(pow(3, -1, 1 << 64))


@inner
def mixed(x):
    """Apply the finalizer of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inner
def of_field(value, name):
    """Return what a number adds to the hash of its row; *name* is the hash of the field's name."""
    x = _ABSENT if value == ABSENT64 else np.uint64(value)
    return mixed(x ^ name)


@jit
def hash_events(e, start, of_acts, of_owners, of_details, orders, blocks, evidence, names, found):
    """Write into *found* (n,) OF_EVENT_DTYPE what events (EventColumns) from *start* on add to the hashes of spans that they begin.

    *orders* (a,) are those of acts; *blocks* and *evidence* (d,) those of details, ABSENT64: they follow from others. *of_details*
    has what no detail adds at its end. *names* are the hashes of begin_seq, begin_ts, alloc_ts and evidence_ts.
    """
    for i in range(start, start + found.size):
        at = e.ts[i]
        since = at
        detail = e.detail[i]
        block = np.int64(-1) - max(orders[e.act[i]], 0)
        if detail >= 0:
            if blocks[detail] != ABSENT64:
                block = blocks[detail]
            if evidence[detail] != ABSENT64:
                since = evidence[detail]
        born = ABSENT64 if e.age[i] == ABSENT64 else at - e.age[i]
        x = of_field(e.seq[i], names[0]) + of_field(at, names[1]) + of_field(born, names[2]) + of_field(since, names[3])
        if e.owner[i] >= 0:
            x += of_owners[e.owner[i]]
        of_event = found[i - start]
        of_event["hash"] = x + of_acts[e.act[i]] + of_details[detail]
        of_event["block"] = block
        of_event["seq"] = e.seq[i]


@jit
def add_runs(runs, e, start, of_event, hows, names, lanes, found):
    """Add to *found* (2,) the sums over *runs* (ENDED_RUN_DTYPE), without those that cover no instant.

    *of_event* (n,) OF_EVENT_DTYPE is of the events from *start* on: runs that others began are left out. *hows* (a,) are those of
    acts. *names* are the hashes of block_pfn, end_seq, end_ts, generation, end_how and kernel_view, *lanes* (6,) those of the
    coefficients of both halves.
    """
    open_end = np.int64(0x7FFFFFFFFFFFFFFF)
    one, two = np.uint64(1), np.uint64(2)
    for i in range(runs.size):
        if i + READ_AHEAD < runs.size:
            ahead = runs[i + READ_AHEAD]["begin_event"] - start
            if 0 <= ahead < of_event.size:
                prefetch(of_event, ahead)
        run = runs[i]
        begin = run["begin_event"] - start
        if not 0 <= begin < of_event.size:
            continue
        begun = of_event[begin]
        end, end_seq, end_ts, end_how = run["end_event"], open_end, open_end, np.int64(0)
        if end >= 0:
            end_seq, end_ts, end_how = e.seq[end], e.ts[end], hows[e.act[end]]
            if end_seq == begun["seq"]:
                continue
        pfn, block = run["pfn"], begun["block"]
        if block < 0:
            order = np.int64(-1) - block
            block = (pfn >> order) << order
        x = begun["hash"] + of_field(block, names[0]) + of_field(end_seq, names[1]) + of_field(end_ts, names[2])
        x += of_field(np.int64(run["generation"]), names[3]) + of_field(end_how, names[4])
        x += of_field(np.int64(run["kernel_view"]), names[5])
        first, count = np.uint64(pfn), np.uint64(run["nr_pages"])
        before = count - one
        pairs = (count // two) * before if count % two == 0 else count * (before // two)
        squares = pairs * (count + before) * _INVERSE_OF_3
        linear = count * first + pairs
        quadratic = count * first * first + two * first * pairs + squares
        for half in range(2):
            a, c, d = mixed(x + lanes[3 * half]), mixed(x + lanes[3 * half + 1]), mixed(x + lanes[3 * half + 2])
            found[half] += a * count + c * linear + d * quadratic
