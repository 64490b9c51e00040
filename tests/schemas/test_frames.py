"""Laws of frames: what goes in comes out, and damage never passes."""

import dataclasses
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.batch import EventBatch, from_arrow, to_arrow
from pagetrail.schemas.errors import FrameDamaged, SchemaTooNew
from pagetrail.schemas.frames import (
    FrameOrigin,
    decode_frame,
    decode_header,
    encode_frame,
    encode_record_batch,
    header_of,
    make_frame,
    read_record_batch,
)
from tests.schemas.strategies import batches

ORIGIN = FrameOrigin(host="höst", boot_id="b", recording="r", producer="test", producer_version="0")


def small() -> EventBatch:
    n = 50
    columns = {
        "seq": np.arange(n),
        "trace_ts_nsec": np.arange(n) * 1000,
        "kind": np.full(n, 10, dtype=np.int8),
        "pfn": np.arange(n) * 7,
        "comm": (np.arange(n) % 2).astype(np.int32),
    }
    return EventBatch(columns=columns, texts={"comm": ["a", "b"]})


def reseal(stream: bytes) -> bytes:
    return stream + zlib.crc32(stream).to_bytes(4, "little")


@given(batches())
def test_a_frame_gives_back_the_events(batch: EventBatch) -> None:
    _, found = decode_frame(make_frame(batch, ORIGIN, 3).payload)
    assert to_arrow(found) == to_arrow(batch)


@given(batches(), st.integers(0, 2**40))
def test_a_frame_gives_back_its_header(batch: EventBatch, frame: int) -> None:
    made = make_frame(batch, ORIGIN, frame)
    assert (
        decode_header(made.payload) == decode_frame(made.payload)[0] == made.header == header_of(batch, ORIGIN, frame)
    )


@given(batches())
def test_the_same_events_make_the_same_bytes(batch: EventBatch) -> None:
    header = header_of(batch, ORIGIN, 0)
    again = from_arrow(to_arrow(batch))
    assert encode_frame(batch, header) == encode_frame(batch, header) == encode_frame(again, header)


@given(batches(), st.data())
def test_a_slice_carries_only_the_texts_it_uses(batch: EventBatch, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(batch) - 1))
    part = batch.slice(start, data.draw(st.integers(start + 1, len(batch))))
    _, found = decode_frame(make_frame(part, ORIGIN, 0).payload)
    for name, texts in found.texts.items():
        assert set(found.column(name)) - {-1} == set(range(len(texts)))


@given(st.data())
def test_a_frame_cut_short_is_damaged(data: st.DataObject) -> None:
    payload = make_frame(small(), ORIGIN, 0).payload
    with pytest.raises(FrameDamaged):
        decode_frame(payload[: data.draw(st.integers(0, len(payload) - 1))])


@given(st.data())
def test_a_changed_byte_never_passes(data: st.DataObject) -> None:
    payload = bytearray(make_frame(small(), ORIGIN, 0).payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((FrameDamaged, SchemaTooNew)):
        decode_frame(bytes(payload))


@given(st.data())
def test_a_changed_byte_under_a_right_checksum_is_damage_or_a_frame_and_nothing_else(data: st.DataObject) -> None:
    stream = bytearray(make_frame(small(), ORIGIN, 0).payload[:-4])
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        header, batch = decode_frame(reseal(bytes(stream)))
    except (FrameDamaged, SchemaTooNew):
        return
    assert len(batch) == header.rows


@given(st.binary(max_size=300))
def test_garbage_is_damaged(payload: bytes) -> None:
    with pytest.raises(FrameDamaged):
        decode_header(payload)
    with pytest.raises(FrameDamaged):
        decode_frame(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 49},
        {"first_seq": 1},
        {"last_seq": 50},
        {"first_ts": -1},
        {"last_ts": 0},
        {"version": 0},
        {"version": 1},
    ],
    ids=str,
)
def test_a_header_at_odds_with_the_events_is_damage(change: dict[str, int]) -> None:
    header = dataclasses.replace(header_of(small(), ORIGIN, 0), rows=50)
    table = to_arrow(small())
    if "rows" in change:
        table = table.slice(0, 49)
    lying = encode_record_batch(table, dataclasses.replace(header, **change))
    if "rows" in change:
        stream = lying[:-4].replace(b"49", b"50")
        lying = reseal(stream)
    with pytest.raises(FrameDamaged):
        decode_frame(lying)


@pytest.mark.parametrize("name", ["seq", "trace_ts_nsec"])
def test_events_out_of_order_are_damage(name: str) -> None:
    batch = small()
    batch.columns[name][10:12] = batch.columns[name][10:12][::-1].copy()
    with pytest.raises(FrameDamaged, match="out of order"):
        decode_frame(encode_frame(batch, header_of(batch, ORIGIN, 0)))


def test_an_arrow_stream_of_somebody_else_is_no_frame() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])):
        pass
    with pytest.raises(FrameDamaged, match="another schema"):
        decode_header(bytes(sink.getvalue()))


def test_a_later_version_is_too_new_and_its_header_is_still_read() -> None:
    header = dataclasses.replace(header_of(small(), ORIGIN, 0), version=5)
    payload = encode_frame(small(), header)
    assert decode_header(payload) == header
    with pytest.raises(SchemaTooNew, match="offset 7: expected event schema version 4 or older, found 5"):
        decode_frame(payload, where="offset 7")


@given(batches())
def test_columns_without_a_value_are_not_on_the_wire(batch: EventBatch) -> None:
    table = read_record_batch(make_frame(batch, ORIGIN, 0).payload)
    assert all(column.null_count < len(column) for column in table.columns)


def test_any_arrow_reader_reads_a_frame() -> None:
    with pa.ipc.open_stream(make_frame(small(), ORIGIN, 0).payload) as stream:
        assert stream.read_all().num_rows == 50
