"""How struct page pointers follow from pfns in one text, worked out from all its pairs."""

import itertools
import re
from collections import Counter

PAIR = re.compile(rb"\bpage=(?:0x)?([0-9a-f]{1,16}) pfn=(0x[0-9a-f]{1,15}|[0-9]{1,18})(?![^ \r\n])")


def unsigned(text: bytes) -> int:
    return int(text, 16 if text.startswith(b"0x") else 10)


def size_and_base(head: bytes) -> tuple[int, int, range] | None:
    """Return size and base of how most pages of a text follow from their pfns, and of which pfns that is known, in whole sections;
    None where it does not show that.
    """
    pairs = {(int(page, 16), unsigned(number)) for page, number in PAIR.findall(head)} - {(0, 0)}
    by_pfn = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    steps = Counter(
        (b[0] - a[0]) // (b[1] - a[1])
        for a, b in itertools.pairwise(by_pfn)
        if b[1] > a[1] and (b[0] - a[0]) % (b[1] - a[1]) == 0 and 0 < b[0] - a[0] <= 1024 * (b[1] - a[1])
    )
    size = steps.most_common(1)[0][0] if steps else 1
    bases = Counter((page - number * size) % (1 << 64) for page, number in pairs)
    base, agree = bases.most_common(1)[0] if bases else (0, 0)
    firm = agree >= 8 and agree * 4 >= 3 * len(pairs) and len({number for _, number in pairs}) >= 8
    if not firm or not ((size, base) == (1, 0) or (size > 1 and base >= 1 << 63)):
        return None
    shown = {number >> 15 for page, number in pairs if (page - number * size) % (1 << 64) == base}
    return size, base, range(1 << 52) if size == 1 else range(min(shown) << 15, max(shown) + 1 << 15)
