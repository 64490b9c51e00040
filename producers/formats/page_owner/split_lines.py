"""Lines of a record that were split: a mail or a console wrapped them, a comm has a newline, or another message got into them.

A number that a line's end may have cut is not believed: the pieces are put together, or the field is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from pagetrail.producers.formats.page_owner.lines import MOST_COMM_BYTES, Fields, is_pfn_line, pfn_fields

MOST_WRAPPED: Final = 4
"""A line that was wrapped has at most so many pieces."""

MOST_BETWEEN: Final = 8
"""Its two pieces have at most so many lines of others between them."""

WIDEST_WRAPPED: Final = 80
"""Where all pieces are shorter, blanks were wrapped; a longer one has a newline of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A line as it was before it was split.

    Attributes
    ----------
    fields
        What it says.
    stop
        Place of the line behind its last piece.
    odd
        Places of the lines between its pieces.
    understood
        All of it was.
    """

    fields: Fields
    stop: int
    odd: tuple[int, ...] = ()
    understood: bool = True


def whole_header(header: Callable[[bytes], Fields | None], lines: Sequence[bytes]) -> Found | None:
    """Return the header that begins in the first of *lines*, with as much of it as there is; null: it is damaged."""
    alone = header(lines[0].strip())
    if alone is not None and lines[0].rstrip().endswith(b" ns"):
        return Found(fields=alone, stop=1)
    best, most = None, 0
    if alone is not None:
        best, most = Found(fields=alone, stop=1), _known(alone, lines[0])
    stop = next((place for place, line in enumerate(lines) if place and is_pfn_line(line.strip())), len(lines))
    for text, behind, odd in _headers(lines, stop):
        fields = header(text)
        if fields is not None and _known(fields, text) > most:
            best, most = Found(fields=fields, stop=behind, odd=odd), _known(fields, text)
    return best


def whole_pfn_line(lines: Sequence[bytes], place: int) -> Found | None:
    """Return what the PFN line that begins at *place* says; null where no whole pfn is in it."""
    bare = lines[place].strip()
    alone = pfn_fields(bare)
    if alone is None or not alone[1]:
        for text, behind, odd in _pieces(lines, place, len(lines), (b"", b" ")):
            page = pfn_fields(text)
            if page is not None and page[1]:
                return Found(fields=page[0], stop=behind, odd=odd)
    return None if alone is None else Found(fields=alone[0], stop=place + 1, understood=alone[1])


def _known(fields: Fields, text: bytes) -> int:
    """Return how much a header says: more than one that ends within a number, or before the names of its gfp mask."""
    return 2 * (len(fields.keys() - {"more"}) + (b"(" in text)) + ("more" not in fields)


def _headers(lines: Sequence[bytes], stop: int) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Yield the texts that a header may have been, each with the place behind it and the lines of others within it."""
    narrow = max(map(len, lines[:stop][:MOST_WRAPPED])) <= WIDEST_WRAPPED
    yield from _pieces(lines, 0, stop, (b" ", b"\n", b"") if narrow else (b"\n", b" ", b""))
    for behind in range(MOST_WRAPPED + 1, min(MOST_COMM_BYTES + 1, stop) + 1):
        yield b"\n".join(line.rstrip(b"\r") for line in lines[:behind]).strip(), behind, ()


def _pieces(
    lines: Sequence[bytes], place: int, stop: int, joints: tuple[bytes, ...]
) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Yield the line at *place* with what follows it, put together in every way; then with a later line, without those between."""
    for count in range(2, min(MOST_WRAPPED, stop - place) + 1):
        pieces = [line.rstrip(b"\r") for line in lines[place : place + count]]
        for chosen in product(joints, repeat=count - 1):
            text = pieces[0]
            for joint, piece in zip(chosen, pieces[1:], strict=True):
                text += joint + (piece if joint == b"\n" else piece.strip())
            yield text.strip(), place + count, ()
    for last in range(place + 2, min(place + 2 + MOST_BETWEEN, stop)):
        for joint in (b"", b" "):
            between = tuple(range(place + 1, last))
            yield lines[place].strip() + joint + lines[last].strip(), last + 1, between
