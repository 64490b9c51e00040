"""What somebody else may write into a log under the name of a host of his own: every kind of it, and any number at random.

A kind makes rows of the embedded log. It is written by SQL, as the writing end would refuse most of it.
"""

import dataclasses
import json
import random
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pagetrail.schemas.batch import EventBatch, to_wire
from pagetrail.schemas.columns import NUMPY_DTYPES, Kind
from pagetrail.schemas.details import Boot, RecordingBegin
from pagetrail.schemas.frames import Frame, FrameHeader, FrameOrigin, decode_frame, frame_digest, make_frame
from pagetrail.schemas.log.contract import log_directory, log_files
from tests.replay.strategies import history, to_frames

HUGE: Final = 2**70
"""More than 64 bits hold."""

NUMBERS: Final = (0, 1, -1, -3, 63, 2**31, 2**40, 2**52, 2**60, 2**62, 2**63 - 1, -(2**63), 2**63, HUGE, -HUGE)
NAMES: Final = (
    "h" * 255, "h" * 256, "h" * 1_024, "h" * 1_025, "h" * 5_000, "", ".", "..", "a/b", "../../x", "/etc/passwd", "a\0b", "a\nb",
    "a\u2028b", "a 28b", "a\x1b[31m", "a\u202eb", "fold9.lock", "fold9.cut.json", "segments", "hosts", ".locks", "%",
    "~" + "a" * 40, " ", "\U0001f600" * 60, "é" * 127,
)  # fmt: skip
"""Of hosts, boots and recordings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the log: its host and boot as columns, and what is in place of a frame and of its digest."""

    host: Any = "bad"
    boot_id: Any = "boot"
    payload: Any = b""
    digest: Any = None


def write_rows(trail: Path, rows: Iterable[Row]) -> None:
    """Write rows behind the last one of the log of a trail."""
    file = log_files(log_directory(trail).iterdir())[-1]
    with sqlite3.connect(file.path, isolation_level=None) as log:
        log.execute("BEGIN")
        offset = log.execute("SELECT ifnull(max(offset) + 1, 0) FROM frames").fetchone()[0]
        for at, row in enumerate(rows, offset):
            digest = frame_digest(row.payload) if row.digest is None else row.digest
            values = (at, f"row {at}", 0, row.host, row.boot_id, 0, 1, 0, 1, 2, 5, digest, row.payload)
            log.execute("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        log.execute("COMMIT")
    log.close()


def of_host(host: str, seed: int, size: int = 9) -> list[Frame]:
    """Return the frames of a host that does nothing wrong, and whose recordings are no other's."""
    told = history(random.Random(seed).randbytes(200))
    return [renamed(frame, host) for frame in to_frames(told.recordings, [size], host=host, boot_id=f"boot of {host}")]


def renamed(frame: Frame, host: str) -> Frame:
    """Return the frame as one of *host*."""
    header, batch = decode_frame(frame.payload)
    recording = f"{header.recording} of {host[:40]}"
    origin = FrameOrigin(host=host, boot_id=header.boot_id, recording=recording, producer="test", producer_version="0")
    return make_frame(batch, origin, header.frame)


def row_of(frame: Frame) -> Row:
    """Return a frame as it stands in the log."""
    return Row(host=frame.header.host, boot_id=frame.header.boot_id, payload=frame.payload)


def lying(
    frame: Frame, change: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda table: table, /, **header: object
) -> bytes:
    """Return the bytes of a frame with other columns, and a header in which other fields are said; its checksum is right."""
    found, batch = decode_frame(frame.payload)
    said = {f"pagetrail.{name}": str(value) for name, value in (dataclasses.asdict(found) | header).items()}
    table = change(to_wire(batch))
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata({"pagetrail.schema": "pagetrail.events"} | said)
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(table.columns, schema=schema))
    return _checked(bytes(sink.getvalue()))


def _checked(stream: bytes) -> bytes:
    return stream + zlib.crc32(stream).to_bytes(4, "little")


def events(host: str, *told: Mapping[str, Any], size: int = 1 << 16) -> list[Frame]:
    """Return a recording of *host* with these events, as frames of *size* events."""
    begin = {"kind": int(Kind.RECORDING_BEGIN), "detail": RecordingBegin(source="x", format="f").model_dump_json()}
    last = {"kind": int(Kind.ALLOC), "pfn": 1, "order": 0, "gfp_mask": 0}
    rows = [{"trace_ts_nsec": 7, **event, "seq": seq} for seq, event in enumerate((begin, *told, last))]
    return [renamed(frame, host) for frame in to_frames([rows], [size], host=host, boot_id="boot")]


def _detail(kind: Kind, columns: Mapping[str, int] | None = None, **detail: object) -> dict[str, Any]:
    return {"kind": int(kind), "detail": json.dumps(detail), **(columns or {})}


def _boot(**change: object) -> dict[str, Any]:
    said = json.loads(Boot(section_size_bits=27, max_order=11, present=((0, 65_536),)).model_dump_json())
    return {"kind": int(Kind.BOOT), "detail": json.dumps(said | change)}


# -- the kinds -----------------------------------------------------------------------------------------------------------


def _one_event() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield events of which one is impossible, by what is wrong."""
    for number in NUMBERS:
        yield f"boot present {number}", [_boot(present=[[0, number]])]
        yield f"boot section_size_bits {number}", [_boot(section_size_bits=number)]
        yield f"boot page_shift {number}", [_boot(page_shift=number)]
        yield f"boot max_order {number}", [_boot(max_order=number)]
        yield f"boot flat {number}", [_boot(memory_model="FLATMEM", present=[[0, number]])]
        yield f"boot zone {number}", [_boot(zones=[{"node": 0, "name": "N", "start_pfn": 0, "stop_pfn": number}])]
        for name in ("realtime", "ts_nsec", "monotonic", "valid_from"):
            yield f"clock {name} {number}", [_detail(Kind.CLOCK, **{name: number})]
        yield f"gap {number}", [_detail(Kind.GAP, t_lo=0, t_hi=number, reason="x", lost=number)]
        yield f"coverage {number}", [_detail(Kind.COVERAGE, kinds=["alloc"], cpus=[number], declared_by="x")]
        yield (
            f"skew {number}",
            [_detail(Kind.RECORDING_BEGIN, source="x", format="f", options={"clock_skew_nsec": str(number)})],
        )
        yield (
            f"dump {number}",
            [_detail(Kind.BASELINE_BEGIN, name="d", window_begin=0, window_end=number, entries=number)],
        )
        yield f"end {number}", [_detail(Kind.RECORDING_END, events={"x": number}, clamped=number)]
        if number >= 2**63 or number <= -(2**63):
            continue
        span = {"pfn": number, "nr_pages": number, "pid": 1}
        yield (
            f"gap of pages {number}",
            [_detail(Kind.GAP, {"pfn": 1, "order": number & 127}, t_lo=0, t_hi=5, reason="x")],
        )
        for call in ("online_pages", "offline_pages"):
            yield f"{call} {number}", [_detail(Kind.HOTPLUG, span, call=call, phase="entry")]
        yield f"range {number}", [_detail(Kind.CONTIG_RANGE, span, call="alloc_contig_range", phase="entry")]
        yield f"split {number}", [{"kind": int(Kind.SPLIT), "pfn": 0, "nr_pages": number, "order": 0}]
        yield f"poison {number}", [{"kind": int(Kind.POISON), "pfn": 0, "nr_pages": number}]
    for name, text in {"deep": "[" * 50_000, "digits": "9" * 5_000, "not a number": "NaN", "infinite": "1e999"}.items():
        yield name, [{"kind": int(Kind.CLOCK), "detail": f'{{"realtime": {text}}}'}]
    yield "half a character", [{"kind": int(Kind.MARKER), "detail": '{"text": "\\ud800"}'}]
    yield (
        "digits of a skew",
        [_detail(Kind.RECORDING_BEGIN, source="x", format="f", options={"clock_skew_nsec": "9" * 5_000})],
    )
    yield (
        "texts",
        [{"kind": int(Kind.ALLOC), "pfn": 3, "order": 0, "comm": "a\0b\x1b", "stack": "\0\n\0", "gfp_mask": 0}],
    )
    yield "far sections", [{"kind": int(Kind.ALLOC), "pfn": i * 32_768 * 7, "order": 0} for i in range(600)]


def _headers(frame: Frame) -> Iterator[tuple[str, bytes]]:
    for name in ("rows", "first_seq", "last_seq", "first_ts", "last_ts", "frame", "version"):
        for value in (*NUMBERS, "9" * 5_000, "²", "2_0", "", " 2"):
            if value != getattr(frame.header, name):
                yield f"header {name} {str(value)[:22]}", lying(frame, **{name: value})


def _columns(frame: Frame) -> Iterator[tuple[str, bytes]]:
    def with_columns(change: Callable[[list[Any], list[Any]], None]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        def changed(table: pa.RecordBatch) -> pa.RecordBatch:
            fields, arrays = list(table.schema), list(table.columns)
            change(fields, arrays)
            fields = [pa.field(f.name, a.type, f.nullable) for f, a in zip(fields, arrays, strict=True)]
            return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

        return changed

    def more(fields: list[Any], arrays: list[Any]) -> None:
        fields.append(pa.field("more", pa.int64()))
        arrays.append(pa.array([1] * len(arrays[0])))

    def less(fields: list[Any], arrays: list[Any]) -> None:
        del fields[0], arrays[0]

    def twice(fields: list[Any], arrays: list[Any]) -> None:
        fields += fields
        arrays += arrays

    def texts(_: list[Any], arrays: list[Any]) -> None:
        arrays[:] = [pa.array(["x"] * len(array)) for array in arrays]

    def nulls(fields: list[Any], arrays: list[Any]) -> None:
        fields[:] = [field.with_nullable(True) for field in fields]
        arrays[:] = [pa.nulls(len(array), array.type) for array in arrays]

    for change in (more, less, twice, texts, nulls):
        yield f"columns {change.__name__}", lying(frame, with_columns(change))
    yield "no schema of ours", _checked(bytes(pa.schema([]).serialize()))
    yield "nothing", b""
    yield "rubbish", random.Random(1).randbytes(5_000)


def _moved(host: str, seq: int, ts: int = 0) -> list[Frame]:
    """Return frames the second of which is elsewhere in its recording, or in time."""
    first, second = events(host, *({"kind": int(Kind.ALLOC), "pfn": 2 + i, "order": 0} for i in range(4)), size=3)
    header, batch = decode_frame(second.payload)
    moved = {
        "seq": batch.column("seq").astype(np.int64) + seq,
        "trace_ts_nsec": batch.column("trace_ts_nsec").astype(np.int64) + ts,
    }
    origin = FrameOrigin(
        host=host, boot_id=header.boot_id, recording=header.recording, producer="test", producer_version="0"
    )
    return [first, make_frame(dataclasses.replace(batch, columns={**batch.columns, **moved}), origin, 1)]


def kinds(good: Frame) -> dict[str, list[Row]]:
    """Return rows by what is wrong with them, each kind under a host of its own; *good* is a frame of a host that is not."""
    found: dict[str, list[Row]] = {}
    for i, name in enumerate(NAMES):
        found[f"host {name[:40]!r} {len(name)}"] = [Row(host=name, payload=lying(events(f"host {i}")[0], host=name))]
        found[f"boot {name[:40]!r} {len(name)}"] = [
            Row(host=f"boot {i}", boot_id=name, payload=lying(events(f"boot {i}")[0], boot_id=name))
        ]
        found[f"recording {name[:40]!r} {len(name)}"] = [
            Row(host=f"recording {i}", payload=lying(events(f"recording {i}")[0], recording=name))
        ]
    for what, told in _one_event():
        found[what] = [row_of(frame) for frame in events(what, *told)]
    plain = events("plain")[0]
    for what, payload in (*_headers(plain), *_columns(plain)):
        found[what] = [Row(host=what, payload=payload)]
    for shift in (2**60, 2**62, 2**63 - 100):
        found[f"seq {shift}"] = [row_of(frame) for frame in _moved(f"seq {shift}", shift)]
        found[f"time {shift}"] = [row_of(frame) for frame in _moved(f"time {shift}", 0, shift - 200)]
    found["seq backwards"] = [row_of(frame) for frame in _moved("seq backwards", 0)[::-1]]
    found["another host's frame"] = [Row(host="thief", payload=good.payload)]
    found["another host's frame, harmed"] = [Row(host="thief 2", payload=good.payload[:-9] + bytes(9))]
    found["text in place of bytes"] = [Row(host="text", payload="text", digest="x")]
    found["a number in place of bytes"] = [Row(host="number", payload=7, digest=7)]
    found["bytes in place of a host"] = [Row(host=b"\xff\xfe", boot_id=b"\xff", payload=plain.payload)]
    found["a number in place of a host"] = [Row(host=77, boot_id=1.5, payload=plain.payload)]
    return found


# -- at random -----------------------------------------------------------------------------------------------------------


def mutant(rng: random.Random, host: str) -> list[Row]:
    """Return the frames of a host that does one to three things wrong, somewhere."""
    frames = of_host(host, rng.randrange(2**32), size=rng.choice((3, 9, 40)))
    rows = [row_of(frame) for frame in frames]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(frames))
        change = rng.choice(
            (_other_column, _other_column, _other_detail, _other_detail, _other_header, _other_bytes, _other_order)
        )
        change(rng, frames, rows, at)
    return rows


def _other_column(rng: random.Random, frames: list[Frame], rows: list[Row], at: int) -> None:
    header, batch = decode_frame(frames[at].payload)
    name = rng.choice(
        sorted(NUMPY_DTYPES.keys() - {"seq", "detail", "comm", "stack", "user_stack", "cgroup", "page_flag_names"})
    )
    info = np.iinfo(NUMPY_DTYPES[name])
    column = batch.column(name).copy()
    column[rng.randrange(len(batch))] = min(max(rng.choice(NUMBERS), info.min), info.max)
    _put(frames, rows, at, header, dataclasses.replace(batch, columns={**batch.columns, name: column}))


def _other_detail(rng: random.Random, frames: list[Frame], rows: list[Row], at: int) -> None:
    header, batch = decode_frame(frames[at].payload)
    if not batch.details:
        return
    row = rng.choice(sorted(batch.details))
    said = json.loads(batch.details[row] or "{}") if rng.random() < 0.9 else []
    if isinstance(said, dict) and said:
        odd: Any = rng.choice((*NUMBERS, *NAMES, None, [], {}, [[0, rng.choice(NUMBERS)]], [rng.choice(NUMBERS)]))
        said[rng.choice(sorted(said))] = odd
    _put(frames, rows, at, header, dataclasses.replace(batch, details={**batch.details, row: json.dumps(said)}))


def _other_header(rng: random.Random, frames: list[Frame], rows: list[Row], at: int) -> None:
    name = rng.choice([field.name for field in dataclasses.fields(FrameHeader)])
    odd = rng.choice((*NUMBERS, *NAMES))
    rows[at] = dataclasses.replace(rows[at], payload=lying(frames[at], **{name: odd}))


def _other_bytes(rng: random.Random, frames: list[Frame], rows: list[Row], at: int) -> None:
    stream = bytearray(frames[at].payload[:-4])
    for _ in range(rng.randint(1, 20)):
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    stream = stream[: rng.randrange(len(stream)) if rng.random() < 0.2 else None]
    rows[at] = dataclasses.replace(rows[at], payload=_checked(bytes(stream)))


def _other_order(rng: random.Random, frames: list[Frame], rows: list[Row], at: int) -> None:
    other = rng.randrange(len(frames))
    frames[at], frames[other] = frames[other], frames[at]
    rows[at], rows[other] = rows[other], rows[at]


def _put(frames: list[Frame], rows: list[Row], at: int, header: FrameHeader, batch: EventBatch) -> None:
    """Put a changed batch into its place; one that no frame can hold stays as it was."""
    origin = FrameOrigin(**{name: getattr(header, name) for name in FrameOrigin.__slots__})
    try:
        made = make_frame(batch, origin, header.frame)
    except (ValueError, OverflowError, pa.ArrowException):
        return
    frames[at], rows[at] = made, dataclasses.replace(rows[at], payload=made.payload)
