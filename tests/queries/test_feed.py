"""What is published is what the sealed segments hold, once, and never surer than the store: whatever was killed on the way."""

import functools
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

from pagetrail import api
from pagetrail.producers.log import sink_feed
from pagetrail.producers.log.sink_kafka import KafkaLogWriter
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.export.feed import messages
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.errors import BadArgument, LogUnreachable, TopicMissing, TrailError
from pagetrail.schemas.feed import FEED_SCHEMAS, FEEDS, FeedMessage, Rows
from pagetrail.schemas.log.address import KafkaAddress, parse_log_address
from pagetrail.schemas.store.tables import STORED
from tests.conftest import REPOSITORY
from tests.contracts.topics import MakeTopic, topic_maker
from tests.effort import effort
from tests.kafka.client import Kafka
from tests.oracles.packed import spans_of
from tests.replay.run.test_from_kafka import recorded, replayed
from tests.replay.states import trail_of

ROOM = 900_000
IDENTITY = ("host", "boot_id", "fold", "segment_last_seq", "row")


@pytest.fixture
def make_topic(kafka: Kafka, topic: str) -> MakeTopic:
    return topic_maker(kafka, topic)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = [frame for number in range(2) for frame in recorded(f"host-{number}", number, events=effort(1_500, 2_000))]
    path = trail_of(tmp_path_factory.mktemp("feed") / "trail", frames)
    replayed(path, SqliteLogReader(path))
    return path


def made(trail: Path, feed: str, **how: Any) -> list[FeedMessage]:
    return [
        message for stream in open_streams(trail).opened for message in messages(stream, feed, **({"room": ROOM} | how))
    ]


def rows_in(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    return [row for payload in payloads for row in pa.ipc.open_stream(payload).read_all().to_pylist()]


def received(address: KafkaAddress) -> Iterator[tuple[Rows, bytes]]:
    """Yield every message of a topic, as its headers and its value."""
    consumer = Consumer({"bootstrap.servers": ",".join(address.brokers), "group.id": "test"})
    for partition in consumer.list_topics(address.topic).topics[address.topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(address.topic, partition), 10)
        consumer.assign([TopicPartition(address.topic, partition, low)])
        for _ in range(low, high):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            which = Rows.from_headers({h[0]: h[1] for h in message.headers() or [] if isinstance(h[1], bytes)})
            assert which is not None
            assert message.key() == which.host.encode()
            yield which, message.value() or b""
    consumer.close()


def once(found: Sequence[tuple[Rows, bytes]]) -> list[dict[str, Any]]:
    """Return the rows, each with its schema, without repeats: in the order of their identities."""
    rows = {
        (which.schema, *(row[name] for name in IDENTITY)): row | {"schema": which.schema}
        for which, payload in found
        for row in rows_in([payload])
    }
    return [rows[key] for key in sorted(rows)]


@functools.cache
def expected(trail: Path, feed: str) -> list[dict[str, Any]]:
    """Return all rows of a feed, as they are made at once."""
    return once([(message.which, message.payload) for message in made(trail, feed)])


# -- what the messages say ---------------------------------------------------------------------------------------------------


def test_spans_are_all_those_of_the_sealed_segments(trail: Path) -> None:
    stored = []
    for stream in open_streams(trail).opened:
        for file in stream.files:
            if not file.tip:
                with duckdb.connect(stream.where(file), read_only=True) as db:
                    tables = {name: db.sql(f"FROM {name}").to_arrow_table() for name in STORED}
                ended, _ = spans_of(tables)
                for number, row in enumerate(ended):
                    said = [row[name] for name in ("pfn", "nr_pages", "begin_seq", "end_seq", "pid")]
                    stored.append((stream.host, file.last_seq, number, *said, row["kernel_view"] == 1))
    names = ("host", "segment_last_seq", "row", "pfn", "nr_pages", "begin_seq", "end_seq", "pid", "kernel_view")
    spans = [row for row in expected(trail, "spans") if row["schema"] == "spans-v1"]
    assert sorted(tuple(row[name] for name in names) for row in spans) == sorted(stored)
    assert len(stored) > 500


@pytest.mark.parametrize("feed", FEEDS)
def test_however_messages_are_cut_they_hold_the_same_rows(trail: Path, feed: str) -> None:
    for how in ({"message_rows": 37}, {"room": 14_000}):
        cut = made(trail, feed, **how)
        assert once([(message.which, message.payload) for message in cut]) == expected(trail, feed)
        assert max(len(message.payload) for message in cut) <= how.get("room", ROOM)
        assert all(pa.ipc.open_stream(m.payload).schema == FEED_SCHEMAS[m.which.schema] for m in cut)


@pytest.mark.parametrize("feed", FEEDS)
def test_what_goes_on_after_any_message_is_all_that_comes_after_it(trail: Path, feed: str) -> None:
    for stream in open_streams(trail).opened:
        whole = [m.which for m in messages(stream, feed, room=ROOM, message_rows=101)]
        for stop in {*range(1, len(whole), len(whole) // 6 + 1), len(whole)}:
            rest = messages(stream, feed, there=whole[stop - 1], room=ROOM, message_rows=101)
            assert [message.which for message in rest] == whole[stop:]


def test_a_row_that_no_message_holds_is_named(trail: Path) -> None:
    with pytest.raises(BadArgument, match=r"row 0 of spans-v1 .* raise the topic's max.message.bytes"):
        made(trail, "spans", room=100)


PAGE = (REPOSITORY / "docs" / "feeding.md").read_text()


def test_a_span_that_no_published_doubt_ends_is_certain_to_all_that_is_known(trail: Path) -> None:
    rows = expected(trail, "spans")
    tables = {name: [row for row in rows if row["schema"] == f"{name}-v1"] for name in ("spans", "doubts")}
    with duckdb.connect() as db:
        for name, found in tables.items():
            db.register(name, pa.Table.from_pylist(found))
        (view,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
        db.execute(view.replace("CREATE OR REPLACE VIEW", "CREATE TABLE"))
        query = "SELECT host, pfn, nr_pages, begin_seq, end_seq FROM spans_now WHERE certain ORDER BY ALL"
        sure = db.execute(query).fetchall()
    known = api.open(trail)
    checked = 0
    for host, pfn, nr_pages, begin_seq, end_seq in sure[:: len(sure) // 16]:
        page = pfn + nr_pages - 1
        stays = known.history(page, stream=host).to_pylist()
        ended = [stay["certain"] for stay in stays if stay["begin_seq"] <= begin_seq and stay["end_seq"] == end_seq]
        assert ended in ([True], [])  # none: a dump confirmed it, and the stay went on
        checked += len(ended)
    assert checked > 5


def test_anomalies_of_all_segments_add_up_to_those_of_the_stream(trail: Path) -> None:
    found = [row for row in expected(trail, "anomalies") if row["schema"] == "anomalies-v1"]
    for stream in open_streams(trail).opened:
        last = [file for file in stream.files if not file.tip][-1]
        with duckdb.connect(stream.where(last), read_only=True) as db:
            counted = db.execute("SELECT sum(events), sum(pages) FROM anomalies").fetchall()
        mine = [row for row in found if row["host"] == stream.host]
        assert [(sum(row["events"] for row in mine), sum(row["pages"] for row in mine))] == counted


def test_segments_that_were_made_from_other_events_are_not_mixed_with_what_is_published(trail: Path) -> None:
    stream = open_streams(trail).opened[0]
    there = next(iter(messages(stream, "spans", room=ROOM))).which
    for change in ({"segment_digest": "0" * 32}, {"segment_last_seq": there.segment_last_seq - 1}):
        other = Rows(**({name: getattr(there, name) for name in Rows.__slots__} | change))
        with pytest.raises(TrailError, match="made from other events"):
            list(messages(stream, "spans", there=other, room=ROOM))


# -- the topic ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_a_topic_holds_what_the_segments_hold_and_a_second_run_adds_nothing(
    make_topic: MakeTopic, trail: Path, feed: str
) -> None:
    address = make_topic(partitions=3)
    first, second = api.publish(trail, feed, address), api.publish(trail, feed, address)
    found = list(received(address))
    assert once(found) == expected(trail, feed) != []
    assert first.rows == sum(which.rows for which, _ in found)
    assert (second.messages, second.rows) == (0, 0)


RUN = """
import sys
from pagetrail.queries.export import feed
feed.messages.__kwdefaults__["message_rows"] = 20
from pagetrail.cli import main
sys.exit(main())
"""
"""The command line, with messages that are small: a kill finds it at work."""


def test_a_publisher_that_is_killed_and_run_again_leaves_neither_hole_nor_other_rows(
    make_topic: MakeTopic, trail: Path
) -> None:
    address = make_topic(partitions=1)
    command = [sys.executable, "-c", RUN, "publish", "spans", "--to", str(address), "--trail", str(trail), "--json"]
    consumer = Consumer({"bootstrap.servers": ",".join(address.brokers), "group.id": "test"})
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            if consumer.get_watermark_offsets(TopicPartition(address.topic, 0), 10)[1] > 3:
                process.send_signal(signal.SIGKILL)
                break
    consumer.close()
    whole = expected(trail, "spans")
    before = len(once(list(received(address))))
    assert process.returncode == -signal.SIGKILL
    assert 0 < before < len(whole)
    again = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["rows"] >= len(whole) - before
    assert once(list(received(address))) == whole


def test_segments_that_are_sealed_later_are_published_after_the_others(
    make_topic: MakeTopic, trail: Path, tmp_path: Path
) -> None:
    address, part = make_topic(partitions=1), tmp_path / "trail"
    shutil.copytree(trail, part)
    held = [store_of(part).root / file.name for stream in open_streams(part).opened for file in stream.files[-3:]]
    for path in held:
        path.rename(path.with_suffix(".held"))
    first = api.publish(part, "spans", address)
    for path in held:
        path.with_suffix(".held").rename(path)
    second = api.publish(part, "spans", address)
    assert first.rows > 0 < second.rows
    assert once(list(received(address))) == expected(trail, "spans")


def test_segments_that_were_dropped_before_they_were_published_are_reported(
    make_topic: MakeTopic, trail: Path, tmp_path: Path
) -> None:
    address, part = make_topic(partitions=1), tmp_path / "trail"
    shutil.copytree(trail, part)
    stream = open_streams(part).opened[0]
    holes = [stream.files[0], stream.files[2]]
    for file in holes:
        stream.place.store.remove(file.name)
    report = api.publish(part, "spans", address, stream=stream.host)
    assert [re.findall(r"events (\d+) to (\d+)", line) for line in report.dropped] == [
        [(str(file.first_seq), str(file.last_seq))] for file in holes
    ]


def test_the_topic_of_a_log_is_refused_and_nothing_is_sent_there(make_topic: MakeTopic, trail: Path) -> None:
    address = make_topic(partitions=1)
    with KafkaLogWriter(address) as log:
        log.append(recorded("host-0", 0)[:3])
    with pytest.raises(BadArgument, match="a message without the header"):
        api.publish(trail, "spans", address)
    consumer = Consumer({"bootstrap.servers": ",".join(address.brokers), "group.id": "test"})
    assert consumer.get_watermark_offsets(TopicPartition(address.topic, 0), 10)[1] == 3
    consumer.close()


def test_a_topic_of_another_feed_is_refused(make_topic: MakeTopic, trail: Path) -> None:
    address = make_topic(partitions=1)
    api.publish(trail, "spans", address)
    with pytest.raises(BadArgument, match="expected a topic of anomalies-v1 and quarantined-v1 alone"):
        api.publish(trail, "anomalies", address)


def test_a_topic_that_is_not_there_and_brokers_that_are_not_are_said_so(
    kafka: Kafka, trail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TopicMissing):
        api.publish(trail, "spans", parse_log_address(f"kafka://{kafka.bootstrap}/nobody-made-this"))
    monkeypatch.setattr(sink_feed, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr("pagetrail.schemas.log.kafka.CONNECT_SECONDS", 2.0)
    with pytest.raises(LogUnreachable):
        api.publish(trail, "spans", parse_log_address("kafka://127.0.0.1:1/t"))


def run_example(which: int, *arguments: str) -> str:
    """Run a program of the page on feeding others; in 2 s without a message it ends, and not in 15."""
    program = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[which].replace(
        "poll(15)", "poll(2 if message else 15)"
    )
    program = program.replace("while (", "message = None\nwhile (", 1)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pages_consumer_prints_what_was_certain(make_topic: MakeTopic, trail: Path) -> None:
    address = make_topic(partitions=2)
    api.publish(trail, "spans", address)
    said = run_example(0, ",".join(address.brokers), address.topic).splitlines()
    sure = [r for r in expected(trail, "spans") if r["schema"] == "spans-v1" and r["certain"] and r["state"] == "owned"]
    assert sorted(line.split()[:3] for line in said) == sorted([r["host"], hex(r["pfn"]), r["comm"]] for r in sure)


@pytest.mark.parametrize("feed", FEEDS)
def test_the_pages_landing_holds_each_row_once_whatever_comes_twice(
    make_topic: MakeTopic, trail: Path, tmp_path: Path, feed: str
) -> None:
    address = make_topic(partitions=2)
    landed = ",".join(address.brokers), address.topic, str(tmp_path / "landed.duckdb")
    api.publish(trail, feed, address)
    run_example(1, *landed)
    with sink_feed.FeedWriter(address, feed) as writer:
        writer.publish(made(trail, feed, message_rows=64))  # all of it again, cut otherwise
    run_example(1, *landed)
    whole = expected(trail, feed)
    with duckdb.connect(landed[2], read_only=True) as db:
        for schema in {row["schema"] for row in whole}:
            rows = db.sql(f"FROM {schema.split('-')[0]}").to_arrow_table().to_pylist()
            mine = [
                {name: value for name, value in row.items() if name != "schema"}
                for row in whole
                if row["schema"] == schema
            ]
            assert sorted(rows, key=lambda row: [row[name] for name in IDENTITY]) == mine
