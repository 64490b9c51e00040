"""pagetrail schema: the published schemas of events, and whether one may replace another."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pagetrail.commands.options import JsonOption, out
from pagetrail.schemas.columns import COLUMNS, SCHEMA_NAME, SCHEMA_VERSION
from pagetrail.schemas.compat import check, check_published
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.publish import published_json_schema
from pagetrail.text.render import json_text, table_text

schema_app = typer.Typer(no_args_is_help=True, help="The published schemas of events.")


@schema_app.command("list")
def list_() -> None:
    """List the published versions."""
    rows = [
        (SCHEMA_NAME, version, "current" if version == SCHEMA_VERSION else "read, lifted to the current one")
        for version in range(1, SCHEMA_VERSION + 1)
    ]
    out(table_text(("schema", "version", ""), rows))


@schema_app.command()
def show(
    version: Annotated[int, typer.Argument(help="Version of the schema.")] = SCHEMA_VERSION,
    columns: Annotated[
        bool, typer.Option("--columns", help="The columns of a batch, with units (current version).")
    ] = False,
) -> None:
    """Write a published JSON Schema."""
    if columns:
        rows = [
            (column.name, column.type, "may be absent" if column.nullable else "", column.doc) for column in COLUMNS
        ]
        out(table_text(("column", "type", "", "meaning"), rows))
        return
    found = published_json_schema(version)
    if found is None:
        raise BadArgument(f"schema version {version}: expected one of 1 to {SCHEMA_VERSION}")
    out(json_text(found))


@schema_app.command("check")
def check_(
    old: Annotated[str | None, typer.Argument(help="JSON Schema file, or a published version: v1, v2, v3.")] = None,
    new: Annotated[str | None, typer.Argument(help="The one that is to replace it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether consumers of NEW can read every event of OLD; with no arguments, check this version's own against all published.

    Exit code 0: compatible (BACKWARD_TRANSITIVE); 2: not.
    """
    if (old is None) != (new is None):
        raise BadArgument("schema check: expected OLD and NEW, or neither")
    found = check_published() if old is None or new is None else check(_schema(old), _schema(new))
    if as_json:
        out(json_text([{"path": broken.path, "reason": broken.reason} for broken in found]))
    else:
        for broken in found:
            out(f"{broken}\n")
        if not found:
            out("compatible\n")
    if found:
        raise typer.Exit(2)


def _schema(name: str) -> dict[str, Any]:
    if name in {f"v{version}" for version in range(1, SCHEMA_VERSION + 1)}:
        found = published_json_schema(int(name[1:]))
        assert found is not None
        return found
    try:
        loaded = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise BadArgument(f"{name}: expected a JSON Schema file, or v1 to v{SCHEMA_VERSION} ({error})") from error
    if not isinstance(loaded, dict):
        raise BadArgument(f"{name}: expected a JSON object, found {type(loaded).__name__}")
    return loaded
