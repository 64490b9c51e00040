"""Tables of (pfn, time) pairs, of one stream or several, and the table that answers them row by row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagetrail.queries.core.instant import Instants
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.pairs.given import instants_of, pfns_of
from pagetrail.schemas.errors import BadArgument, NotFound

ERROR: Final = pa.field("error", pa.utf8(), metadata={"doc": "why the row is not answered; null: it is"})
"""The last column of an answer to a table."""

GIVEN: Final = "given_"
"""What comes before the name of a column that was given, where the answer has a column of that name."""

_STREAMS: Final = ("stream", "host")

Ask = Callable[[Stream, NDArray[np.int64], Instants], pa.Table]


def answered_table(
    pairs: pa.Table,
    choose: Callable[[str | None], Stream],
    ask: Ask,
    answer: pa.Schema,
    refused: Mapping[int, str],
) -> pa.Table:
    """Return *pairs* with the columns of *answer* and ``ERROR`` behind their own: a row a pair, in their order.

    Parameters
    ----------
    pairs
        ``pfn`` and ``time``, see ``given``; maybe ``stream`` or ``host`` (HOST[/BOOT_ID]); other columns are kept.
    choose
        Return the stream of a name; null: the one that is asked where no name is given.
    ask
        Return the answer to pairs of one stream.
    refused
        Why some rows, by their index, are not asked.

    Raises
    ------
    BadArgument
        It has no such columns, or two of one name.
    """
    given = _given(pairs, answer)
    errors = dict(refused)
    pfns, wrong = pfns_of(pairs["pfn"])
    errors = wrong | errors
    found, order = [answer.empty_table()], [np.zeros(0, np.int64)]
    for name, rows in _by_stream(pairs):
        rows = rows[~np.isin(rows, list(errors))]
        try:
            stream = choose(name)
        except NotFound as error:
            errors |= dict.fromkeys(rows.tolist(), str(error))
            continue
        at, wrong = instants_of(stream, pairs["time"].take(pa.array(rows)))
        errors |= {int(rows[row]): text for row, text in wrong.items()}
        asked = np.setdiff1d(np.arange(rows.size), list(wrong))
        found.append(ask(stream, pfns[rows[asked]], at.take(asked)))
        order.append(rows[asked])
    place = np.full(pairs.num_rows, -1)
    place[np.concatenate(order)] = np.arange(sum(map(len, order)))
    answers = pa.concat_tables(found)
    if not np.array_equal(place, np.arange(answers.num_rows)):
        answers = answers.take(pa.array(place, mask=place < 0))
    texts = pa.nulls(pairs.num_rows, pa.utf8())
    if errors:
        texts = pa.array([errors.get(row) for row in range(pairs.num_rows)], pa.utf8())
    return pa.table([*given.columns, *answers.columns, texts], schema=pa.schema([*given.schema, *answer, ERROR]))


def _given(pairs: pa.Table, answer: pa.Schema) -> pa.Table:
    """Return the columns that were given, with names that the answer does not have."""
    names = pairs.column_names
    missing = [name for name in ("pfn", "time") if name not in names]
    if missing:
        raise BadArgument(f"expected columns pfn and time, found {', '.join(names) or 'none'}; {missing[0]} is missing")
    taken = {*answer.names, ERROR.name}
    renamed = [GIVEN + name if name in taken else name for name in names]
    twice = sorted({name for name in renamed if renamed.count(name) > 1})
    if twice:
        raise BadArgument(f"expected columns of different names, found {twice[0]} twice")
    return pairs.rename_columns(renamed)


def _by_stream(pairs: pa.Table) -> list[tuple[str | None, NDArray[np.int64]]]:
    """Return the rows of each stream that is named; null: no name is given."""
    names: Sequence[str] = [name for name in _STREAMS if name in pairs.column_names]
    if not names:
        return [(None, np.arange(pairs.num_rows))]
    if len(names) > 1:
        raise BadArgument("expected a column stream or a column host, found both")
    column = pc.cast(pairs[names[0]], pa.utf8()).combine_chunks()
    encoded = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.utf8()), column).dictionary_encode("encode")
    codes = encoded.indices.to_numpy()
    return [(name, np.flatnonzero(codes == code)) for code, name in enumerate(encoded.dictionary.to_pylist())]
