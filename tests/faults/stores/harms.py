"""Ways to harm the store of a trail, seeded: bytes, files, links, cuts, rows and tables."""

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb

from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.reading.lies import LIES
from pagetrail.replay.store.reading.recount import recount
from pagetrail.schemas.store.names import CUTS
from pagetrail.schemas.store.tables import STORED, TABLES_DIGEST

VICTIM: Final = "victim"
"""The host whose files are harmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The store that is harmed.

    Attributes
    ----------
    trail
        The trail.
    files
        The files of the victim, in order; the last one is a tip.
    others
        Those of another host, in order.
    """

    trail: Path
    files: list[Path]
    others: list[Path]


Harm = Callable[[Target, random.Random], str]
"""Harms a store; returns what it did, for messages."""


def target_of(trail: Path) -> Target:
    """Return the store of a trail of two hosts, the victim and another."""
    root = store_of(trail).root / "hosts"
    found = {host: sorted((root / host).rglob("*.duckdb")) for host in (VICTIM, "other")}
    return Target(trail=trail, files=found[VICTIM], others=found["other"])


# -- bytes ---------------------------------------------------------------------------------------------------------------


def flip(t: Target, rng: random.Random) -> str:
    """Change some bits of a file."""
    file = rng.choice(t.files)
    content = bytearray(file.read_bytes())
    places = [rng.randrange(len(content)) for _ in range(rng.choice((1, 1, 2, 8)))]
    for place in places:
        content[place] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return f"{file.name}: bits at {places}"


def blot(t: Target, rng: random.Random) -> str:
    """Lose a block of a file, as a file system does: zeros, or another block, are in its place."""
    file, size = rng.choice(t.files), rng.choice((512, 4096, 16_384))
    content = bytearray(file.read_bytes())
    start = rng.randrange(len(content) // size) * size
    source = rng.randrange(len(content) // size) * size
    content[start : start + size] = bytes(size) if rng.random() < 0.5 else content[source : source + size]
    file.write_bytes(content)
    return f"{file.name}: {size} bytes at {start}"


def cut_short(t: Target, rng: random.Random) -> str:
    """Cut a file, or write more behind its end."""
    file = rng.choice(t.files)
    content = file.read_bytes()
    at = rng.choice((0, rng.randrange(len(content)), len(content) - 1, len(content) // 4096 // 2 * 4096))
    file.write_bytes(content[:at] if rng.random() < 0.8 else content + rng.randbytes(at))
    return f"{file.name}: {at} of {len(content)} bytes"


# -- files ---------------------------------------------------------------------------------------------------------------


def remove(t: Target, rng: random.Random) -> str:
    """Remove some files."""
    gone = rng.sample(t.files, rng.choice((1, 1, 1, 2, 3)))
    for file in gone:
        file.unlink()
    return f"without {sorted(file.name for file in gone)}"


def swap(t: Target, rng: random.Random) -> str:
    """Exchange two files."""
    one, other = rng.sample(t.files, 2)
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)
    return f"{one.name} and {other.name} swapped"


def copy_over(t: Target, rng: random.Random) -> str:
    """Copy one file over another one: an older one, or one of another host."""
    there = rng.choice(t.files)
    source = rng.choice([file for file in (*t.files, *t.others) if file != there])
    shutil.copy(source, there)
    return f"{source.parent.parent.parent.name}/{source.name} over {there.name}"


def rename(t: Target, rng: random.Random) -> str:
    """Give a file another name: of other events, as a tip, or none that a store knows."""
    file = rng.choice(t.files)
    first, last = rng.randrange(500), rng.randrange(500, 10**18)
    name = rng.choice((
        f"TIP-{last:019d}.duckdb", f"{first:019d}-{last:019d}.duckdb", f"{last:019d}-{first:019d}.duckdb", "TIP-1.duckdb",
        f"{file.name}.old", f".{file.name}", f"{file.stem}.DUCKDB",
    ))  # fmt: skip
    file.rename(file.with_name(name))
    return f"{file.name} renamed to {name}"


def add(t: Target, rng: random.Random) -> str:
    """Add a file that is a copy of one, under another name."""
    file = rng.choice((*t.files, *t.others))
    first, last = rng.randrange(500), rng.randrange(500, 10**18)
    name = rng.choice((f"TIP-{last:019d}.duckdb", f"{first:019d}-{last:019d}.duckdb", f"{file.stem}-2.duckdb"))
    shutil.copy(file, t.files[0].with_name(name))
    return f"{file.name} also as {name}"


def no_file(t: Target, rng: random.Random) -> str:
    """Put something in the place of a file that is none, or none of the trail."""
    file = rng.choice(t.files)
    kind = rng.choice(
        (
            "link",
            "link to another",
            "link to itself",
            "link to nothing",
            "link to a device",
            "fifo",
            "folder",
            "sqlite",
            "text",
        )
    )
    aside = file.rename(t.trail / f"aside {file.name}")
    if kind == "link":
        file.symlink_to(aside)
    elif kind == "link to another":
        file.symlink_to(rng.choice([other for other in (*t.files, *t.others) if other != file]))
    elif kind == "link to itself":
        file.symlink_to(file)
    elif kind == "link to nothing":
        file.symlink_to(t.trail / "nothing")
    elif kind == "link to a device":
        file.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
        shutil.copy(aside, file / file.name)
    elif kind == "sqlite":
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        db.close()
    else:
        file.write_text("key,value\nformat,8\n")
    return f"{file.name}: {kind}"


def no_folder(t: Target, rng: random.Random) -> str:
    """Put something in the place of a folder of the victim."""
    folder = rng.choice([t.files[0].parent, *t.files[0].parents[1:3]])
    aside = folder.rename(t.trail / "aside")
    kind = rng.choice(("link", "link to itself", "file", "nothing"))
    if kind == "link":
        folder.symlink_to(aside)
    elif kind == "link to itself":
        folder.symlink_to(folder)
    elif kind == "file":
        folder.write_text("no folder")
    return f"{folder.name}: {kind}"


# -- cuts ----------------------------------------------------------------------------------------------------------------

ODD_JSON: Final = (
    "", "{", "[]", "null", "1", '"text"', "{}", "NaN", "[" * 100_000, '{"a":' * 5_000, '{"offset": Infinity}', '{"offset": -1}',
    '{"offset": 1e400, "streams": []}', '{"offset": ' + "9" * 5_000 + "}", '{"first_seq": Infinity}', '{"first_seq": NaN}',
    '{"first_seq": [1]}', '{"first_seq": "x"}', '{"offset": 1000000000000000000000, "streams": [], "refused": []}', "\0" * 4096,
)  # fmt: skip
_ODD: Final = (None, -1, 2**63, 2**70, 1e308, "x", [], {}, [[]], True, "\ud800", [["victim", "boot", "x"]])


def cuts(t: Target, rng: random.Random) -> str:
    """Change what says how far a fold has come, or where a chain begins."""
    root = store_of(t.trail).root / CUTS
    files = sorted(root.rglob("*.cut.json"))
    file = rng.choice([*files, t.files[0].with_name("begins.json")])
    if rng.random() < 0.3:
        file.unlink(missing_ok=True)
        if rng.random() < 0.5:
            file.mkdir()
        return f"{file.name} is gone"
    text = rng.choice(ODD_JSON)
    if file in files and rng.random() < 0.6:
        saved = json.loads(file.read_bytes())
        name = rng.choice(sorted(saved))
        saved[name] = rng.choice(_ODD)
        text = json.dumps(saved)
    elif file not in files and rng.random() < 0.6:
        first = [0, -1, 2**63, *(int(one.stem.split("-")[0]) for one in t.files[:-1])]
        text = json.dumps({"first_seq": rng.choice(first)})
    file.write_text(text)
    return f"{file.name}: {text[:200]}"


# -- rows ----------------------------------------------------------------------------------------------------------------

_VALUES: Final = {
    "BIGINT": (0, 1, -1, 7, 64, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63), None),
    "INTEGER": (0, 1, -1, 7, 64, 2**31 - 1, -(2**31), None),
    "SMALLINT": (0, 1, -1, 7, 2**15 - 1, -(2**15), None),
    "TINYINT": (0, 1, -1, 7, 127, -128, None),
    "BOOLEAN": (True, False, None),
    "VARCHAR": ("", "x", "0", "-1", "9" * 5_000, "1e400", "[]", "{}", "null", "[" * 100_000, "\u2028", None),
}


def edited(file: Path, rng: random.Random, table: str | None = None) -> str:
    """Change, remove or add rows of a table of a file."""
    with duckdb.connect(str(file), config={"autoload_known_extensions": False}) as db:
        sizes = {name: db.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in STORED}
        name = table or rng.choice(sorted(name for name in STORED if sizes[name]))
        columns = db.execute(f"SELECT name, type FROM pragma_table_info('{name}')").fetchall()
        column, kind = rng.choice(columns)
        act = rng.choice(
            ("update", "update", "update", "update all", "delete", "delete all", "insert", "twice", "order")
        )
        row = rng.randrange(max(sizes[name], 1))
        before = db.execute(f"SELECT * FROM {name}").fetchall()
        if act.startswith("update"):
            where = "" if act == "update all" else f" WHERE rowid = {row}"
            value = rng.choice(_VALUES[kind])
            db.execute(f'UPDATE {name} SET "{column}" = $1{where}', [value])
            done = f'{act} {name} row {row} "{column}" = {str(value)[:40]}'
        elif act.startswith("delete"):
            db.execute(f"DELETE FROM {name}" + ("" if act == "delete all" else f" WHERE rowid = {row}"))
            done = f"{act} {name} row {row}"
        elif act == "insert":
            values = [rng.choice(_VALUES[of]) for _, of in columns]
            db.execute(f"INSERT INTO {name} VALUES ({', '.join(f'${i + 1}' for i in range(len(values)))})", values)
            done = f"insert into {name} {str(values)[:200]}"
        elif act == "twice":
            db.execute(f"INSERT INTO {name} SELECT * FROM {name}")
            done = f"{name} twice"
        else:
            db.execute(f"CREATE TEMP TABLE other AS SELECT * FROM {name} ORDER BY hash(rowid, {rng.randrange(1000)})")
            db.execute(f"DELETE FROM {name}")
            db.execute(f"INSERT INTO {name} SELECT * FROM other")
            done = f"{name} in another order"
        if db.execute(f"SELECT * FROM {name}").fetchall() == before:
            done = f"nothing: {done}"
        db.execute("CHECKPOINT")
    return done


def rows(t: Target, rng: random.Random) -> str:
    """Change rows of a file."""
    file = rng.choice(t.files)
    return f"{file.name}: {edited(file, rng)}"


def meta(t: Target, rng: random.Random) -> str:
    """Change what a file says of itself."""
    file = rng.choice(t.files)
    with duckdb.connect(str(file)) as db:
        keys = [key for (key,) in db.execute("SELECT key FROM meta ORDER BY key").fetchall()]
        key = rng.choice(keys)
        value = rng.choice((
            "", "0", "1", "-1", "x", "9" * 30, "9" * 5_000, "1e5", "[]", "{}", "NaN", None, str(2**63), "0" * 64, VICTIM, "other",
        ))  # fmt: skip
        before = db.execute("SELECT value FROM meta WHERE key = $1", [key]).fetchall()
        db.execute("UPDATE meta SET value = $1 WHERE key = $2", [value, key])
        db.execute("CHECKPOINT")
    return f"{'nothing: ' if before == [(value,)] else ''}{file.name}: meta {key} = {str(value)[:40]}"


def state(t: Target, rng: random.Random) -> str:
    """Change a value somewhere in the JSON of the table state."""
    file = rng.choice(t.files)
    with duckdb.connect(str(file)) as db:
        found = dict(db.execute("SELECT name, value FROM state").fetchall())
        name = rng.choice(("facts", "facts", "facts", *sorted(found)))
        value = json.loads(found[name])
        path, new = _odd_within(value, rng)
        text = json.dumps(new)
        db.execute("UPDATE state SET value = $1 WHERE name = $2", [text, name])
        db.execute("CHECKPOINT")
    return f"{'nothing: ' if text == found[name] else ''}{file.name}: state {name} {path}"


def _odd_within(value: object, rng: random.Random) -> tuple[str, object]:
    """Return *value* with one part of it replaced, and which."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value) if isinstance(value, dict) else range(len(value)))
        path, new = _odd_within(value[key], rng)  # type: ignore[index]
        copy = dict(value) if isinstance(value, dict) else list(value)
        if path.startswith("gone") and rng.random() < 0.5:
            del copy[key]  # type: ignore[arg-type]
            return f".{key} deleted", copy
        copy[key] = new  # type: ignore[index,call-overload]
        return f".{key}{path}", copy
    odd = rng.choice((*_ODD, 0, 10**12, -(10**12), "9" * 5_000, value if not isinstance(value, int) else value + 1))
    return f"gone = {str(odd)[:40]}", odd


# -- tables --------------------------------------------------------------------------------------------------------------

_INFINITE = "WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r"


def tables(t: Target, rng: random.Random) -> str:
    """Give a file other tables, views, or what runs when it is asked."""
    file, secret = rng.choice(t.files), t.trail / "secret.txt"
    secret.write_text("not for answers")
    name = rng.choice(STORED)
    statements = rng.choice((
        [f"DROP TABLE {name}"],
        [f"DROP TABLE {name}", f"CREATE VIEW {name} AS SELECT content, filename FROM read_text('{secret}')"],
        ["DROP TABLE comms", f"CREATE VIEW comms AS SELECT 0 AS id, content AS comm FROM read_text('{secret}')"],
        ["DROP TABLE meta", "CREATE VIEW meta AS SELECT file AS key, file AS value FROM glob('/etc/*')"],
        ["DROP TABLE meta", f"CREATE VIEW meta AS SELECT n::VARCHAR AS key, n::VARCHAR AS value FROM ({_INFINITE})"],
        ["DROP TABLE meta", "CREATE VIEW meta AS SELECT range::VARCHAR AS key, '' AS value FROM range(1000000000000)"],
        [f"CREATE VIEW more AS {_INFINITE}"],
        ["DROP VIEW live", f"CREATE VIEW live AS {_INFINITE}"],
        [f"ALTER TABLE {name} ADD COLUMN more INTEGER"],
        [f"ALTER TABLE {name} ADD COLUMN more INTEGER DEFAULT 5"],
        ["DROP TABLE markers", "CREATE TABLE markers (seq BIGINT, ts BIGINT, text VARCHAR GENERATED ALWAYS AS ('x'))"],
        ["ALTER TABLE stacks ALTER truncated TYPE INTEGER"],
        ["CREATE SCHEMA other", "CREATE TABLE other.meta (key VARCHAR, value VARCHAR)"],
        ["CREATE MACRO count(x) AS 42", "CREATE MACRO max(x) AS 42", "CREATE MACRO meta() AS TABLE SELECT 1"],
        [f"CREATE MACRO coalesce(x) AS (SELECT content FROM read_text('{secret}'))"],
        ["CREATE TYPE mood AS ENUM ('a')", "CREATE TABLE more (m mood)"],
        ["CREATE SEQUENCE numbers", "ALTER TABLE gaps ALTER seq SET DEFAULT nextval('numbers')"],
        ["CREATE INDEX of_pages ON open_runs (pfn)"],
        ["CREATE UNIQUE INDEX of_meta ON meta (key)"],
        ["CREATE TYPE odd AS STRUCT(a INTEGER)"],
    ))  # fmt: skip
    with duckdb.connect(str(file)) as db:
        for statement in statements:
            db.execute(statement)
        db.execute("CHECKPOINT")
    return f"{file.name}: {'; '.join(statements)[:200]}"


_HEADERS: Final = 3 * 4096
"""Bytes of a database file before its blocks."""


def forged(t: Target, rng: random.Random) -> str:
    """Change rows, or values of the JSON, of the last file, and its digests with them, as far as they can be made of such rows."""
    file = t.files[-1]
    done = edited(file, rng) if rng.random() < 0.3 else state(replace(t, files=[file]), rng)
    with suppress(*LIES, duckdb.Error):
        make_digests(file)
    return f"forged: {done}"


def make_digests(file: Path) -> None:
    """Give a file the digests of the rows that it has now."""
    with duckdb.connect(str(file)) as db:
        for key in ("digest", TABLES_DIGEST):  # the second covers the first
            found = recount(db, dict(db.execute("SELECT key, value FROM meta").fetchall()))
            made = found.chain if key == "digest" else found.tables
            db.execute("UPDATE meta SET value = $1 WHERE key = $2", [made, key])
            db.execute("CHECKPOINT")
    with duckdb.connect(str(file), read_only=True) as db:
        blocks, size = db.execute("SELECT total_blocks, block_size FROM pragma_database_size()").fetchall()[0]
    os.truncate(file, max(file.stat().st_size, blocks * size + _HEADERS))  # DuckDB cuts free blocks off that it counts


SEEN: Final[dict[str, Harm]] = {
    "bytes": flip, "blocks": blot, "lengths": cut_short, "files removed": remove, "files swapped": swap,
    "files copied over others": copy_over, "files renamed": rename, "files added": add, "no files": no_file,
    "no folders": no_folder, "cuts": cuts, "tables": tables,
}  # fmt: skip
"""Harm that can be seen when a file is opened or read: no answer is certain and another than before."""

EDITED: Final[dict[str, Harm]] = {"rows": rows, "what files say of themselves": meta, "state": state}
"""Harm that only the digest of a file shows."""

FORGED: Final[dict[str, Harm]] = {"forged": forged}
"""Harm that no digest shows: others answer, and nothing fails with an error that is none of ours."""
