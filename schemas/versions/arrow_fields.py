"""What the columns of events are made of, in every version."""

from typing import Final

import pyarrow as pa

TEXT: Final = pa.dictionary(pa.int32(), pa.utf8())
"""Arrow type of texts that repeat."""


def field(name: str, kind: pa.DataType, nullable: bool, doc: str) -> pa.Field:
    """Return one column of an Arrow schema, with its doc."""
    return pa.field(name, kind, nullable, metadata={"doc": doc})
