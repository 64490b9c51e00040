"""Laws of frames: what goes in comes out, and damage never passes."""

import dataclasses
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.batch import EventBatch, from_arrow, to_arrow, to_wire
from pagetrail.schemas.columns import NUMPY_DTYPES, TEXT_COLUMNS
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
from pagetrail.schemas.versions import v5_frames
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
    table = to_wire(small())
    if "rows" in change:
        table = table.slice(0, 49)
    lying = encode_record_batch(table, dataclasses.replace(header, **change))
    if "rows" in change:
        stream = lying[:-4].replace(b"49", b"50")
        lying = reseal(stream)
    with pytest.raises(FrameDamaged):
        decode_frame(lying)


def swapped(name: str) -> EventBatch:
    batch = small()
    batch.columns[name][10:12] = batch.columns[name][10:12][::-1].copy()
    return batch


@pytest.mark.parametrize("name", ["seq", "trace_ts_nsec"])
def test_events_out_of_order_are_damage(name: str) -> None:
    batch = swapped(name)
    header = dataclasses.replace(header_of(batch, ORIGIN, 0), version=4)
    with pytest.raises(FrameDamaged, match="out of order"):
        decode_frame(encode_record_batch(to_arrow(batch), header))


def test_times_out_of_order_are_damage_and_seq_has_no_other_order_than_that_of_the_frame() -> None:
    batch = swapped("trace_ts_nsec")
    with pytest.raises(FrameDamaged, match="out of order"):
        decode_frame(encode_frame(batch, header_of(batch, ORIGIN, 0)))
    batch = swapped("seq")
    with pytest.raises(ValueError, match="without holes"):
        encode_frame(batch, header_of(batch, ORIGIN, 0))


@given(batches())
def test_a_frame_of_version_4_gives_back_the_events(batch: EventBatch) -> None:
    header = dataclasses.replace(header_of(batch, ORIGIN, 0), version=4)
    found, again = decode_frame(encode_record_batch(to_arrow(batch), header))
    assert found == header
    assert to_arrow(again) == to_arrow(batch)


WIDE = [name for name, dtype in NUMPY_DTYPES.items() if dtype.itemsize > 1 and name not in {"seq", *TEXT_COLUMNS}]


@given(st.sampled_from(WIDE), st.data())
def test_every_value_of_every_width_comes_back(name: str, data: st.DataObject) -> None:
    batch = small()
    bounds = np.iinfo(NUMPY_DTYPES[name])
    value = st.one_of(st.integers(bounds.min, bounds.max), st.integers(-3, 3), st.just(bounds.min))
    drawn = data.draw(st.lists(value, min_size=len(batch), max_size=len(batch)))
    values = np.array(sorted(drawn) if name == "trace_ts_nsec" else drawn, dtype=NUMPY_DTYPES[name])
    if name == "trace_ts_nsec":
        values = np.maximum(values, 1 + bounds.min)
    batch.columns[name] = values  # type: ignore[index]
    header = header_of(batch, ORIGIN, 0)
    if name == "trace_ts_nsec" and int(values[-1]) - int(values[0]) >= 2**63:
        return  # no clock runs for 292 years
    assert to_arrow(decode_frame(encode_frame(batch, header))[1]) == to_arrow(batch)


@pytest.mark.parametrize("values", [1, 127, 128, 129, 375, 376, 5000])
@pytest.mark.parametrize("absent", [0, 1, 7])
def test_few_values_are_a_dictionary_and_many_are_split(values: int, absent: int) -> None:
    n = 6000
    pid = (np.arange(n) * 31 % values).astype(np.int32) - 3
    pid[:absent] = np.iinfo(np.int32).min
    columns = {"seq": np.arange(n), "trace_ts_nsec": np.arange(n), "kind": np.full(n, 10, dtype=np.int8), "pid": pid}
    payload = make_frame(EventBatch(columns=columns), ORIGIN, 0).payload
    assert ("pid" in read_record_batch(payload).schema.names) == (values <= 6000 // 16)
    assert decode_frame(payload)[1].columns["pid"].tolist() == pid.tolist()


@pytest.mark.parametrize("step", [1, 10, 1000, 3000])
def test_steps_of_whole_microseconds_are_stored_as_such(step: int) -> None:
    batch = small()
    batch.columns["trace_ts_nsec"][:] = 7 + step * np.arange(len(batch))
    payload = make_frame(batch, ORIGIN, 0).payload
    names = read_record_batch(payload).schema.names
    assert ("trace_ts_usec_step.0" in names, "trace_ts_nsec_step.0" in names) == (step >= 1000, step < 1000)
    assert decode_frame(payload)[1].columns["trace_ts_nsec"].tolist() == batch.columns["trace_ts_nsec"].tolist()


@pytest.mark.parametrize("count", [1, 128, 129, 32_768, 32_769])
def test_as_many_texts_as_there_are_come_back(count: int) -> None:
    columns = {
        "seq": np.arange(count),
        "trace_ts_nsec": np.arange(count),
        "kind": np.full(count, 10, dtype=np.int8),
        "comm": np.arange(count, dtype=np.int32)[::-1].copy(),
    }
    batch = EventBatch(columns=columns, texts={"comm": [f"task-{i}" for i in range(count)]})
    assert to_arrow(decode_frame(make_frame(batch, ORIGIN, 0).payload)[1]) == to_arrow(batch)


BYTES = pa.array([1] * 50, pa.uint8())
NO_COLUMNS = {
    "bytes without the lowest ones": {"pfn": {"pfn.1": BYTES}},
    "signed bytes": {"pfn": {"pfn.0": BYTES.cast(pa.int8())}},
    "too many bytes": {"cpu": {"cpu.0": BYTES, "cpu.2": BYTES}},
    "a column that is not split": {"pfn": {"pfn": BYTES.cast(pa.int64())}},
    "seq": {"seq": {"seq.0": BYTES}},
    "no kind": {"kind": {}},
    "no times": {"trace_ts_usec_step": {}},
    "times in two units": {"": {"trace_ts_nsec_step.0": BYTES}},
    "texts without a table": {"comm": {"comm": pa.array(["a"] * 50)}},
    "wide indices": {"comm": {"comm": pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int64()), ["a"])}},
    "pids twice": {"pid": {"pid": pa.array([1] * 50, pa.int32()).dictionary_encode(), "pid.0": BYTES}},
    "wide indices of pids": {"pid": {"pid": pa.DictionaryArray.from_arrays(pa.array([0] * 50, pa.int64()), [1])}},
    "wide pids": {"pid": {"pid": pa.array([1] * 50, pa.int64()).dictionary_encode()}},
    "a dictionary of pfns": {"pfn": {"pfn": BYTES.cast(pa.int64()).dictionary_encode()}},
    "another column": {"": {"unheard_of": BYTES}},
}


@pytest.mark.parametrize("change", NO_COLUMNS)
def test_columns_that_no_frame_has_are_damage(change: str) -> None:
    table = read_record_batch(make_frame(small(), ORIGIN, 0).payload)
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    order = [field.name for field in v5_frames.FIELDS]
    for old, new in NO_COLUMNS[change].items():
        columns = {name: array for name, array in columns.items() if name.split(".")[0] != old} | new
    names = sorted(columns, key=lambda name: order.index(name) if name in order else len(order))
    required = {"kind", "trace_ts_usec_step.0", "trace_ts_nsec_step.0"}
    schema = pa.schema([pa.field(name, columns[name].type, name not in required) for name in names])
    lying = pa.RecordBatch.from_arrays([columns[name] for name in names], schema=schema)
    with pytest.raises(FrameDamaged, match="columns that are not those of version 5"):
        decode_frame(encode_record_batch(lying, header_of(small(), ORIGIN, 0)))


@pytest.mark.parametrize("change", [{"first_ts": 2**63}, {"first_seq": 2**63 - 20}, {"first_seq": -1}], ids=str)
def test_a_header_that_no_event_can_have_is_damage(change: dict[str, int]) -> None:
    header = dataclasses.replace(header_of(small(), ORIGIN, 0), **change)
    with pytest.raises(FrameDamaged, match="no event can have"):
        decode_frame(encode_frame(small(), header))


def test_an_arrow_stream_of_somebody_else_is_no_frame() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])):
        pass
    with pytest.raises(FrameDamaged, match="another schema"):
        decode_header(bytes(sink.getvalue()))


def test_a_later_version_is_too_new_and_its_header_is_still_read() -> None:
    header = dataclasses.replace(header_of(small(), ORIGIN, 0), version=6)
    payload = encode_frame(small(), header)
    assert decode_header(payload) == header
    with pytest.raises(SchemaTooNew, match="offset 7: expected version 5 or older, found 6"):
        decode_frame(payload, where="offset 7")


@given(batches())
def test_columns_without_a_value_are_not_on_the_wire(batch: EventBatch) -> None:
    table = read_record_batch(make_frame(batch, ORIGIN, 0).payload)
    assert all(column.null_count < len(column) for column in table.columns)


def test_any_arrow_reader_reads_a_frame() -> None:
    with pa.ipc.open_stream(make_frame(small(), ORIGIN, 0).payload) as stream:
        assert stream.read_all().num_rows == 50


@pytest.mark.parametrize("size", [2**30 + 1, 2**40, 2**63 - 1])
def test_a_frame_that_would_take_any_memory_is_not_decompressed(size: int) -> None:
    """Arrow believes how large a buffer says that it is: who sends it harms nobody but himself."""
    batch = dataclasses.replace(small(), texts={"comm": ["x" * 70_001], "stack": [], "user_stack": [], "cgroup": []})
    columns = {name: column for name, column in batch.columns.items() if name not in TEXT_COLUMNS}
    batch = dataclasses.replace(batch, columns=columns | {"comm": np.zeros(len(batch), np.int32)})
    stream = encode_frame(batch, header_of(batch, ORIGIN, 0))[:-4]
    before, said, after = stream.rpartition((70_001).to_bytes(8, "little"))
    assert said
    lying = before + size.to_bytes(8, "little") + after
    with pytest.raises(FrameDamaged, match="of which at most 1,073,741,824 are read"):
        decode_frame(lying + zlib.crc32(lying).to_bytes(4, "little"))
