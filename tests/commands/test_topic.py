"""pagetrail topic: a log's topic is made with the settings that the log rests on, and shown with the reasons."""

import json
from pathlib import Path

import pytest

from tests.commands.cli import run
from tests.kafka.client import Kafka
from tests.kafka.cluster import Cluster


@pytest.fixture
def log(kafka: Kafka, topic: str) -> str:
    return f"kafka://{kafka.bootstrap}/{topic}"


@pytest.mark.parametrize("round_", range(3))
def test_a_topic_that_was_just_made_is_described_whole(log: str, round_: int) -> None:
    made = run("topic", "create", "--log", log, "--partitions", "16", "--json")
    assert (made.code, made.err) == (0, ""), round_
    said = json.loads(made.out)
    assert [part["partition"] for part in said["partitions"]] == list(range(16))
    assert all((part["low"], part["high"]) == (0, 0) and part["leader"] is not None for part in said["partitions"])


def test_every_broker_comes_to_know_a_topic_that_was_just_made(kafka_cluster: Cluster, topic: str) -> None:
    made = run("topic", "create", "--log", f"kafka://{kafka_cluster.bootstrap}/{topic}", "--json")
    assert (made.code, made.err) == (0, "")
    said = json.loads(made.out)
    assert (said["replication"], said["settings"]["min.insync.replicas"], len(said["partitions"])) == (3, "2", 8)


def test_a_topic_keeps_everything_for_good_and_compacts_nothing_unless_told(log: str) -> None:
    settings = json.loads(run("topic", "create", "--log", log, "--json").out)["settings"]
    assert (settings["retention.ms"], settings["retention.bytes"], settings["cleanup.policy"]) == ("-1", "-1", "delete")


def test_what_is_asked_for_is_what_is_described(log: str) -> None:
    asked = ("--partitions", "3", "--retention", "90d", "--retention-bytes", "5000000", "--max-message-bytes", "6000")
    made = run("topic", "create", "--log", log, *asked, "--json")
    described = run("topic", "describe", "--log", log, "--json")
    assert described == made
    said = json.loads(described.out)
    names = ("retention.ms", "retention.bytes", "max.message.bytes")
    assert [said["settings"][name] for name in names] == [str(90 * 86_400_000), "5000000", "6000"]
    assert len(said["partitions"]) == 3


def test_each_setting_that_is_shown_has_its_reason(log: str) -> None:
    lines = run("topic", "create", "--log", log).out.splitlines()
    shown = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("      ")]
    assert len(shown) == 9
    assert all(lines[number + 1].startswith("      ") and len(lines[number + 1]) > 30 for number in shown)


def test_a_topic_is_not_made_over_another(log: str) -> None:
    before = run("topic", "create", "--log", log, "--partitions", "2", "--json")
    again = run("topic", "create", "--log", log, "--partitions", "4")
    assert (again.code, again.out) == (2, "")
    assert "expected no topic of that name yet" in again.err
    assert run("topic", "describe", "--log", log, "--json") == before


def test_a_topic_that_is_not_there_is_not_described(log: str) -> None:
    done = run("topic", "describe", "--log", log)
    assert (done.code, done.out) == (4, "")
    assert "'pagetrail topic create' makes it" in done.err


def test_more_copies_than_brokers_are_refused_and_nothing_is_made(log: str) -> None:
    done = run("topic", "create", "--log", log, "--replication", "2")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("nothing was made\n")
    assert run("topic", "describe", "--log", log).code == 4


@pytest.mark.parametrize("text", ["90", "d", "1.5h", "-1", "soon"])
def test_a_retention_that_is_no_time_is_refused_before_anybody_is_asked(text: str) -> None:
    done = run("topic", "create", "--log", "kafka://127.0.0.1:1/t", f"--retention={text}")
    assert done.code == 2
    assert "expected a time such as 90d" in done.err


def test_no_command_shows_a_secret(log: str, tmp_path: Path) -> None:
    config = tmp_path / "kafka.conf"
    config.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=HUSH-NAME\nsasl.password=HUSH-WORD\n"
    )
    for command in (["topic", "describe"], ["topic", "create"], ["replay", "--trail", tmp_path / "trail"]):
        done = run(*command, "--log", log, "--kafka-config", config)
        assert done.code == 4
        assert "HUSH" not in done.out + done.err
