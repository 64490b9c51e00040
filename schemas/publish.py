"""The published schemas: JSON Schema, Arrow schema and a golden frame of every version, in ``schemas/published/``; and the
Arrow schemas of the messages of ``pagetrail publish``, ``NAME-vN.arrow``. ``v5.frame`` has the events of version 4.

``python -m pagetrail.schemas.publish`` lists files that differ from the models; with ``--write`` it writes missing files. A
published version never changes: a file that differs is refused. The exception, before release 1.0, are files of the current
version with ``--replace-current``.

``vN.events.json`` has the events of the golden frame of version N, one or more of every kind, written by hand.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import BaseModel

from pagetrail.schemas.batch import from_arrow
from pagetrail.schemas.columns import SCHEMA_NAME, SCHEMA_VERSION
from pagetrail.schemas.feed import FEED_SCHEMAS
from pagetrail.schemas.frames import FRAME_VERSION, FrameHeader, encode_frame, encode_record_batch
from pagetrail.schemas.upcast import WIRE_SCHEMAS
from pagetrail.schemas.versions import v1, v2, v3, v4

VERSIONS: Final = {module.VERSION: module for module in (v1, v2, v3, v4)}
FIRST_WITH_DETAIL: Final = 3
"""The first version whose rare kinds have fields beyond the columns, in ``detail``."""

_NANOSECONDS: Final = {"trace_ts_usec": 1000, "trace_ts_nsec": 1}


def json_schema(version: int) -> dict[str, Any]:
    """Return the JSON Schema of one event of *version*, made from its models."""
    made = VERSIONS[version].ADAPTER.json_schema(mode="validation")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{SCHEMA_NAME} version {version}",
        "description": f"One event of {SCHEMA_NAME}, schema version {version}.",
        "version": version,
    }
    found: dict[str, Any] = json.loads(json.dumps(head | made))
    return found


def published_schema(version: int) -> dict[str, Any] | None:
    """Return the JSON Schema that was published for *version*; null: none was."""
    content = published(f"v{version}.json")
    return None if content is None else dict(json.loads(content))


def published(name: str) -> bytes | None:
    """Return the content of one published file, or None if there is none of that name."""
    file = resources.files("pagetrail.schemas") / "published" / name
    return file.read_bytes() if file.is_file() else None


def golden_events(version: int) -> list[dict[str, Any]]:
    """Return the events of the golden frame of *version*, in that version's own shape."""
    content = published(f"v{version}.events.json")
    found: list[dict[str, Any]] = [] if content is None else json.loads(content)
    return found


def golden_frame(version: int) -> bytes:
    """Return the golden frame of *version*, encoded again from its events: those of version 4, if it is later."""
    of_events = min(version, SCHEMA_VERSION)
    table = record_batch(of_events, golden_events(of_events))
    first, last = (table.slice(row, 1).to_pylist()[0] for row in (0, table.num_rows - 1))
    (clock,) = _NANOSECONDS.keys() & first.keys()
    header = FrameHeader(
        version=version,
        host="golden",
        boot_id="00000000-0000-4000-8000-000000000000",
        recording=f"golden-v{version}",
        frame=0,
        rows=table.num_rows,
        first_seq=first["seq"],
        last_seq=last["seq"],
        first_ts=first[clock] * _NANOSECONDS[clock],
        last_ts=last[clock] * _NANOSECONDS[clock],
        producer="pagetrail.schemas.publish",
        producer_version="1",
    )
    return encode_record_batch(table, header) if version == of_events else encode_frame(from_arrow(table), header)


def record_batch(version: int, events: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Return *events* of *version* as an Arrow batch of that version's schema; they are checked against its models."""
    module = VERSIONS[version]
    rows = []
    for event in events:
        checked = module.ADAPTER.validate_python(event)
        row = checked.model_dump()
        row["kind"] = module.KINDS[row["kind"]]
        beyond: list[type[BaseModel]] = [
            base for base in type(checked).__bases__ if not issubclass(base, module.Occurrence)
        ]
        for model in beyond if version >= FIRST_WITH_DETAIL else ():
            fields = {name: row.pop(name) for name in model.model_fields}
            row["detail"] = model.model_validate(fields).model_dump_json()
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, schema=WIRE_SCHEMAS[version])


def documents(version: int) -> dict[str, bytes]:
    """Return the files that publish *version*, by name, made from the models."""
    text = json.dumps(json_schema(version), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    frames = range(version, (FRAME_VERSION if version == SCHEMA_VERSION else version) + 1)
    return {
        f"v{version}.json": text.encode(),
        f"v{version}.arrow": VERSIONS[version].ARROW_SCHEMA.serialize().to_pybytes(),
        **{f"v{frame}.frame": golden_frame(frame) for frame in frames},
    }


def feed_documents() -> dict[str, bytes]:
    """Return the files that publish the schemas of ``pagetrail publish``'s messages, by name."""
    return {f"{name}.arrow": schema.serialize().to_pybytes() for name, schema in FEED_SCHEMAS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the published files with the models; with ``--write``, write missing ones. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pagetrail.schemas.publish", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write files that are missing")
    parser.add_argument("--replace-current", action="store_true", help="with --write: replace those of this version")
    parser.add_argument("--directory", type=Path, default=Path(str(resources.files("pagetrail.schemas") / "published")))
    given = parser.parse_args(arguments)
    may_replace = given.replace_current and int(distribution_version("pagetrail").split(".", 1)[0]) < 1
    refused = 0
    current = documents(SCHEMA_VERSION) | feed_documents()
    older = {name: content for version in VERSIONS for name, content in documents(version).items()}
    for name, content in (older | current).items():
        state = _state(given.directory / name, content)
        replace = state == "differs" and may_replace and name in current
        if state == "same":
            continue
        if given.write and (state == "missing" or replace):
            (given.directory / name).write_bytes(content)
            print(f"{name}: written")
            continue
        refused += 1
        print(f"{name}: {state}; a published version never changes", file=sys.stderr)
    return 1 if refused else 0


def _state(path: Path, content: bytes) -> str:
    if not path.exists():
        return "missing"
    return "same" if path.read_bytes() == content else "differs"


if __name__ == "__main__":
    sys.exit(main())
