"""Verifying a trail: every row of its store against its digests, and every frame of its own log."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pyarrow as pa

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.store.local import LocalStore, store_of
from pagetrail.replay.store.place import StreamPlace
from pagetrail.replay.store.reading.verify import Checked, verified_cuts, verified_stream
from pagetrail.schemas.errors import FrameDamaged, NotFound, OffsetGap, SchemaTooNew, TrailMissing
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.log.contract import EMBEDDED_PARTITION, LogRecord, log_directory
from pagetrail.schemas.store.names import HOSTS, is_called, no_folders, streams_among

VERIFIED_SCHEMA: Final = pa.schema([("kind", pa.utf8()), ("path", pa.utf8()), ("found", pa.utf8())])
"""A row a file or frame: ``found`` is what is wrong with it, or null."""


def verify(trail: str | Path, stream: str | None = None) -> pa.Table:
    """Return every file of a trail's store, of all streams and folds, and every frame of its log: ``VERIFIED_SCHEMA``.

    Every row is read, and compared with the digests of its file; every file with the one before it. Of one *stream*
    (HOST[/BOOT_ID]), only its files and frames.

    Raises
    ------
    TrailMissing, NotFound
        There is no trail there, or no such stream.
    """
    folder = Path(trail)
    store = store_of(folder)
    if not store.is_there() and not log_directory(folder).is_dir():
        raise TrailMissing(path=str(trail))
    names = [name for name in streams_among(store.list(f"{HOSTS}/")) if stream is None or is_called(name, stream)]
    found = [one for name in names for one in verified_stream(StreamPlace(store, name))]
    found += [*verified_cuts(store), *_no_files(store)] if stream is None else []
    frames = [*_verified_log(folder, stream)] if log_directory(folder).is_dir() else []
    if stream is not None and not names and not frames:
        raise NotFound(f"no stream is called {stream}; 'pagetrail streams' lists those that there are")
    return pa.Table.from_pylist([asdict(one) for one in (*found, *frames)], schema=VERIFIED_SCHEMA)


def _no_files(store: LocalStore) -> Iterator[Checked]:
    """Yield what is in a store and is neither a file nor a folder of one: nothing of it is ever read."""
    no_folder = {Path(store.where(name)) for name in no_folders(store.list(f"{HOSTS}/"))}
    for path in sorted(store.root.rglob("*")):
        if path.is_symlink():
            yield Checked(kind="other", path=str(path), found="a symbolic link")
        elif path.is_dir():
            if path.suffix in (".duckdb", ".json"):
                yield Checked(kind="other", path=str(path), found="a directory in the place of a file")
        elif not path.is_file():
            yield Checked(kind="other", path=str(path), found="no file")
        elif path in no_folder:
            yield Checked(kind="other", path=str(path), found="a file where only folders are")


def _verified_log(trail: Path, stream: str | None) -> Iterator[Checked]:
    with SqliteLogReader(trail) as reader:
        order = _Order()
        offset, end = reader.low_watermark(EMBEDDED_PARTITION), reader.high_watermark(EMBEDDED_PARTITION)
        while offset < end:
            where = f"{log_directory(trail)}, offset {offset}"
            try:
                records = reader.read(EMBEDDED_PARTITION, offset)
            except FrameDamaged as error:
                if stream is None or error.stream is None or _is(stream, *error.stream):
                    yield Checked(kind="frame", path=where, found=error.reason)
                offset += 1
                continue
            except OffsetGap as error:
                yield Checked(kind="frame", path=where, found=f"offset {error.found}: those before it are missing")
                offset = max(error.found, offset + 1)
                continue
            if not records:
                return
            for record in records:
                if stream is None or _is(stream, record.header.host, record.header.boot_id):
                    where = f"{log_directory(trail)}, offset {record.offset}"
                    yield Checked(kind="frame", path=where, found=_found(record, where) or order.found(record))
            offset = records[-1].offset + 1


def _is(stream: str, host: str, boot_id: str) -> bool:
    return stream in (host, f"{host}/{boot_id}")


def _found(record: LogRecord, where: str) -> str | None:
    """Return what is wrong with a frame by itself."""
    try:
        header, batch = decode_frame(record.payload, where)
    except FrameDamaged as error:
        return error.reason
    except SchemaTooNew as error:
        return str(error)
    if header.last_seq - header.first_seq + 1 != len(batch):
        return f"{len(batch)} events, and its header has {header.first_seq} to {header.last_seq}"
    return None


class _Order:
    """Whether the frames of each recording are in their order; one that is stored twice is no damage."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str, str], tuple[int, int]] = {}

    def found(self, record: LogRecord) -> str | None:
        """Return what is wrong with the place of a frame."""
        header = record.header
        seq, ts = self._next.get(header.recording_key, (0, header.first_ts))
        self._next[header.recording_key] = max(seq, header.last_seq + 1), max(ts, header.last_ts)
        if header.first_seq > seq:
            return f"events from {header.first_seq} on of recording {header.recording}: those from {seq} on are missing"
        if header.first_seq == seq and header.first_ts < ts:
            return f"a time ({header.first_ts} ns) before the end of the frame before it ({ts} ns)"
        return None
