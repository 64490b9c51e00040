"""What clients of page_ext other than owner held of pages, each at an instant of its own: poison and guard flags."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pagetrail.queries.core.row_columns import EVIDENCE_WORDS, words
from pagetrail.queries.core.stream import Stream
from pagetrail.queries.pairs.asked import NO_EXTENSION, Pairs, generations_at
from pagetrail.queries.pairs.stored import page_values_of_pairs
from pagetrail.schemas.owner import Evidence

PAGE_EXT: Final = pa.list_(
    pa.struct(
        [
            pa.field("client", pa.utf8(), metadata={"doc": "client of page_ext: debug, ..."}),
            pa.field("field", pa.utf8(), metadata={"doc": "what it holds: poison, guard, ..."}),
            pa.field("value", pa.int64(), metadata={"doc": "1 the flag is set, 0 it is not; null: not known"}),
            pa.field("evidence", pa.utf8(), metadata={"doc": "observed, inferred, or none"}),
            pa.field("begin_ts", pa.int64(), metadata={"doc": "ns, trace clock: the last event that told of it"}),
            pa.field("begin_seq", pa.int64(), metadata={"doc": "that event (stream_seq)"}),
            pa.field("certain", pa.bool_(), metadata={"doc": "never: it is advisory"}),
        ]
    )
)
"""What clients held of one page; an empty list if owner was the only client, or the page is absent.

It is advisory, as comm is: schema version 3 has no way to declare that a recording has every such event.
"""


def page_values_of(stream: Stream, pairs: Pairs) -> pa.Array:
    """Return what clients held of the page of each pair at its instant: ``PAGE_EXT``."""
    fields, size = stream.facts.fields, pairs.pfns.size
    if not fields or not size:
        return pa.ListArray.from_arrays(np.zeros(size + 1, np.int32), pa.array([], PAGE_EXT.value_type), type=PAGE_EXT)
    pages = stream.facts.pages_per_section
    there = generations_at(pairs.facts(stream), pairs.pfns // pages, pairs.at) != NO_EXTENSION
    first = np.concatenate([[0], np.cumsum(there * len(fields))])
    row = np.full(first[-1], -1, np.int64)
    found = _found(stream, pairs)
    pair, names = found["pair"].to_numpy(), pc.binary_join_element_wise(found["client"], found["field"], ".")
    which = pc.fill_null(pc.index_in(names, pa.array(fields, pa.utf8())), -1).to_numpy()
    held = np.flatnonzero(there[pair] & (which >= 0))
    row[first[pair[held]] + which[held]] = held
    rows = found.take(pa.array(row, mask=row < 0))
    client, field = (
        pa.array([name.split(".", 1)[part] for name in fields], pa.utf8()).take(
            pa.array(np.tile(np.arange(len(fields)), int(there.sum())))
        )
        for part in (0, 1)
    )
    evidence = pc.fill_null(rows["evidence"], int(Evidence.NONE)).to_numpy()
    columns = [
        client, field, rows["value"], words(evidence, EVIDENCE_WORDS), rows["begin_ts"], rows["begin_seq"],
        pa.array(np.zeros(row.size, np.bool_)),
    ]  # fmt: skip
    values = pa.table(columns, schema=pa.schema(list(PAGE_EXT.value_type))).to_struct_array().combine_chunks()
    return pa.ListArray.from_arrays(first.astype(np.int32), values, type=PAGE_EXT)


def _found(stream: Stream, pairs: Pairs) -> pa.Table:
    """Return the values that the store has, and the pair of each."""
    parts = []
    for number in np.unique(pairs.files).tolist():
        which = np.flatnonzero(pairs.files == number)
        found = page_values_of_pairs(stream, stream.files[number], pairs.pfns[which], pairs.at.take(which))
        place = found.column_names.index("pair")
        parts.append(found.set_column(place, "pair", pa.array(which[found["pair"].to_numpy()])))
    return pa.concat_tables(parts).combine_chunks()
