"""pagetrail schema: the published schemas of events, and whether one may replace another."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pagetrail import api
from pagetrail.commands.options import JsonOption, out
from pagetrail.schemas.errors import BadArgument
from pagetrail.text.json_text import json_text
from pagetrail.text.tables import table_text

schema = typer.Typer(no_args_is_help=True, help="The published schemas of events.")


@schema.command("list")
def list_() -> None:
    """List the published versions."""
    from pagetrail.schemas.columns import SCHEMA_NAME, SCHEMA_VERSION  # here: help needs no columns of events

    rows = [
        (SCHEMA_NAME, version, "current" if version == SCHEMA_VERSION else "read, and converted to the current version")
        for version in range(1, SCHEMA_VERSION + 1)
    ]
    out(table_text(("schema", "version", ""), rows))


@schema.command()
def show(
    version: Annotated[int | None, typer.Argument(help="Version of the schema (default: the current one).")] = None,
    columns: Annotated[
        bool, typer.Option("--columns", help="Show the columns of a batch instead, with units (current version).")
    ] = False,
) -> None:
    """Write a published JSON Schema."""
    from pagetrail.schemas.columns import COLUMNS, SCHEMA_VERSION

    if columns:
        rows = [
            (column.name, column.type, "may be absent" if column.nullable else "", column.doc) for column in COLUMNS
        ]
        out(table_text(("column", "type", "", "meaning"), rows))
        return
    found = api.published_schema(SCHEMA_VERSION if version is None else version)
    if found is None:
        raise BadArgument(f"schema version {version}: expected one of 1 to {SCHEMA_VERSION}")
    out(json_text(found))


@schema.command("check")
def check_(
    old: Annotated[str | None, typer.Argument(help="JSON Schema file, or a published version: v1 to v4.")] = None,
    new: Annotated[str | None, typer.Argument(help="The schema that is to replace it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether consumers of NEW can read every event of OLD; with no arguments, check this version's models.

    Without arguments, the models of this version are checked against every published version. Exit code 0: compatible
    (BACKWARD_TRANSITIVE); 2: not compatible.
    """
    if (old is None) != (new is None):
        raise BadArgument("schema check: expected OLD and NEW, or neither")
    if old is None or new is None:
        found = api.check_published_schemas()
    else:
        found = api.check_schema(_schema(old), _schema(new))
    if as_json:
        out(json_text([{"path": broken.path, "reason": broken.reason} for broken in found]))
    else:
        out("".join(f"{broken}\n" for broken in found) or "compatible\n")
    if found:
        raise typer.Exit(2)


def _schema(name: str) -> dict[str, Any]:
    from pagetrail.schemas.columns import SCHEMA_VERSION

    if name in {f"v{version}" for version in range(1, SCHEMA_VERSION + 1)}:
        found = api.published_schema(int(name[1:]))
        assert found is not None
        return found
    try:
        loaded = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise BadArgument(f"{name}: expected a JSON Schema file, or v1 to v{SCHEMA_VERSION} ({error})") from error
    if not isinstance(loaded, dict):
        raise BadArgument(f"{name}: expected a JSON object, found {type(loaded).__name__}")
    return loaded
