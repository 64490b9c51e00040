"""The sum over packed spans in a state digest: see ``state_digest``.

The hash of a row is a sum over its fields. So what an act, an owner or a detail adds is hashed once, however many rows have it.
"""

import numpy as np

from pagetrail.schemas.jit import inner, jit
from pagetrail.schemas.owner import ABSENT64

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
def event_hashes(seq, ts, age, act, owner, detail, of_acts, of_owners, of_details, evidence, names, found):
    """Write into *found* (e,) what each event adds to the hash of a span that it begins, without its block.

    *evidence* (d,) are the times of details, ABSENT64: the event's own. *of_details* has what no detail adds at its end. *names*
    are the hashes of begin_seq, begin_ts, alloc_ts and evidence_ts.
    """
    for i in range(seq.size):
        at = ts[i]
        since = at
        if detail[i] >= 0 and evidence[detail[i]] != ABSENT64:
            since = evidence[detail[i]]
        born = ABSENT64 if age[i] == ABSENT64 else at - age[i]
        x = of_field(seq[i], names[0]) + of_field(at, names[1]) + of_field(born, names[2]) + of_field(since, names[3])
        if owner[i] >= 0:
            x += of_owners[owner[i]]
        found[i] = x + of_acts[act[i]] + of_details[detail[i]]


@inner
def _block_of(pfn, order, block):
    if block != ABSENT64:
        return block
    return (pfn >> order) << order if order > 0 else pfn


@jit
def rows_sum(
    pfn,
    nr_pages,
    begin,
    end,
    generation,
    kernel_view,
    seq,
    ts,
    act,
    detail,
    hashes,
    orders,
    blocks,
    hows,
    names,
    lanes,
    found,
):
    """Add to *found* (2,) the sums over runs; *end* is -1 where they are open.

    *orders* and *hows* (a,) are those of acts, *blocks* (d,) those of details. *names* are those of block_pfn, end_seq, end_ts,
    generation, end_how and kernel_view, *lanes* (6,) those of the coefficients of both halves.
    """
    open_end = np.int64(0x7FFFFFFFFFFFFFFF)
    for i in range(pfn.size):
        b = begin[i]
        end_seq, end_ts, end_how = open_end, open_end, np.int64(0)
        if end[i] >= 0:
            end_seq, end_ts, end_how = seq[end[i]], ts[end[i]], hows[act[end[i]]]
            if end_seq == seq[b]:
                continue
        block = blocks[detail[b]] if detail[b] >= 0 else ABSENT64
        x = hashes[b] + of_field(_block_of(pfn[i], orders[act[b]], block), names[0])
        x += of_field(end_seq, names[1]) + of_field(end_ts, names[2]) + of_field(np.int64(generation[i]), names[3])
        x += of_field(end_how, names[4]) + of_field(np.int64(kernel_view[i]), names[5])
        first, count = np.uint64(pfn[i]), np.uint64(nr_pages[i])
        one, two = np.uint64(1), np.uint64(2)
        before = count - one
        pairs = (count // two) * before if count % two == 0 else count * (before // two)
        squares = pairs * (count + before) * _INVERSE_OF_3
        linear = count * first + pairs
        quadratic = count * first * first + two * first * pairs + squares
        for half in range(2):
            a, c, d = mixed(x + lanes[3 * half]), mixed(x + lanes[3 * half + 1]), mixed(x + lanes[3 * half + 2])
            found[half] += a * count + c * linear + d * quadratic
