"""(pfn, time) pairs as a user gives them, in columns: numbers or text. What cannot be read is an error of its own row."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.instant import FORMS, Instants
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.linux.mmzone import PFN_LIMIT, parse_pfn
from pagetrail.schemas.owner import OPEN_END

Errors = dict[int, str]
"""What is wrong with a row, by its index."""

_DIGITS: Final = "^[0-9]{1,18}$"
_HEX: Final = "^0[xX][0-9a-fA-F]{1,15}$"
_SECONDS: Final = r"^(?P<whole>[0-9]{1,9})(?:\.(?P<part>[0-9]{1,9})s?|s)$"


def pfns_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Errors]:
    """Return the page frame numbers of a column, integers or text (decimal, 0x hex); 0 where there is an error.

    Raises
    ------
    BadArgument
        The column holds something else.
    """

    def ask(text: str | None) -> tuple[int, int]:
        return parse_pfn("nothing" if text is None else text.strip()), 0

    column = _plain(column, "pfn")
    values, rest = _whole_numbers(column)
    if pa.types.is_string(column.type):
        there = pc.fill_null(pc.match_substring_regex(column, _HEX), False)
        values[there.to_numpy()] = [int(text, 16) for text in column.filter(there).to_pylist()]
        rest &= ~there.to_numpy()
    which = np.flatnonzero(rest | (values < 0) | (values >= PFN_LIMIT))
    found, errors = _asked(column, which, ask)
    values[which] = found[:, 0]
    return values, errors


def instants_of(stream: Stream, column: pa.ChunkedArray) -> tuple[Instants, Errors]:
    """Return the instants of a column, integers (ns of the trace clock) or text (TIME); 0 where there is an error.

    Raises
    ------
    BadArgument
        The column holds something else.
    """

    def ask(text: str | None) -> tuple[int, int]:
        if text is None:
            raise BadArgument(f"expected a TIME, found nothing: {FORMS}")
        at = stream.instant(text)
        return at.ts, OPEN_END if at.seq is None else at.seq

    column = _plain(column, "time")
    values, rest = _whole_numbers(column)
    if stream.facts.counting_clock is None and pa.types.is_string(column.type):
        seconds = pc.extract_regex(column, _SECONDS)
        there = pc.is_valid(seconds)
        values[there.to_numpy()] = _nanoseconds(pc.filter(seconds, there))
        rest &= ~there.to_numpy()
    last = stream.horizon if stream.believed is None else min(stream.horizon, stream.believed.ts - 1)
    which = np.flatnonzero(rest | (values < 0) | (values > last))
    found, errors = _asked(column, which, ask)
    seq = np.full(values.size, OPEN_END)
    values[which], seq[which] = found.T
    return Instants(ts=values, seq=seq), errors


def _plain(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind):
        return pc.cast(column, kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(column, pa.utf8())
    if pa.types.is_null(kind):
        return pc.cast(column, pa.utf8())
    raise BadArgument(f"column {name}: expected integers or text, found {column.type}")


def _whole_numbers(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the numbers of a column, and of which rows they have to be found in another way."""
    if column.type == pa.uint64():
        fits = pc.less_equal(column, pa.scalar((1 << 63) - 1, pa.uint64()))
    elif pa.types.is_integer(column.type):
        fits = pc.is_valid(column)
    else:
        fits = pc.match_substring_regex(column, _DIGITS)
    fits = pc.fill_null(fits, False)
    there = np.asarray(fits.to_numpy())
    values = np.zeros(len(column), np.int64)
    values[there] = pc.cast(column.filter(fits), pa.int64()).to_numpy()
    return values, ~there


def _nanoseconds(seconds: pa.ChunkedArray) -> NDArray[np.int64]:
    whole, part = (pc.struct_field(seconds, name) for name in ("whole", "part"))
    fraction = pc.cast(pc.utf8_rpad(part, 9, "0"), pa.int64())
    return np.asarray(pc.cast(whole, pa.int64()).to_numpy() * 1_000_000_000 + fraction.to_numpy())


def _asked(
    column: pa.ChunkedArray, which: NDArray[np.int64], ask: Callable[[str | None], tuple[int, int]]
) -> tuple[NDArray[np.int64], Errors]:
    """Return what *ask* says of the texts of rows *which*, (m, 2), and its errors; equal texts are asked for once."""
    if not which.size:
        return np.zeros((0, 2), np.int64), {}
    texts = pc.cast(column.take(pa.array(which)), pa.utf8()).combine_chunks().dictionary_encode("encode")
    found: list[tuple[int, int]] = []
    wrong: dict[int, str] = {}
    for number, text in enumerate(texts.dictionary.to_pylist()):
        try:
            found.append(ask(text))
        except (BadArgument, NotFound) as error:
            wrong[number] = str(error)
            found.append((0, OPEN_END))
    codes = texts.indices.to_numpy()
    bad = np.flatnonzero(np.isin(codes, list(wrong)))
    return np.array(found, np.int64)[codes], {int(which[row]): wrong[int(codes[row])] for row in bad}
