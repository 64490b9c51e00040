"""The whole way of an event over TLS and SASL, by --kafka-config alone; and what is said where it is wrong, without a secret."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from pagetrail.schemas.log import kafka as log_kafka
from tests.commands.cli import Done, run
from tests.commands.conftest import DEMO
from tests.kafka.installation import KafkaMissing
from tests.kafka.secured import PASSWORD, USER, Secured, secured_broker
from tests.replay.states import store


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str, str], NoReturn]) -> Iterator[Secured]:
    try:
        with secured_broker(tmp_path_factory.mktemp("secured")) as secured:
            yield secured
    except KafkaMissing as error:
        unavailable("kafka", str(error))


def config(folder: Path, settings: dict[str, str]) -> Path:
    path = folder / "kafka.conf"
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return path


def hushed(done: Done, code: int = 0) -> Done:
    """Return what a command did, after a look at its end and for secrets."""
    assert done.code == code, done.err
    assert "HUSH" not in done.out + done.err
    return done


def test_every_command_that_meets_brokers_does_so_over_tls_and_sasl(
    broker: Secured, topic: str, tmp_path: Path
) -> None:
    given = ("--kafka-config", config(tmp_path, broker.client_settings()))
    log, feed, trail = (
        f"kafka://{broker.address}/{topic}",
        f"kafka://{broker.address}/{topic}-spans",
        tmp_path / "trail",
    )
    host = ("--host", "h", "--boot-id", "b")
    hushed(run("topic", "create", "--log", log, "--partitions", "2", *given))
    hushed(run("topic", "create", "--log", feed, "--partitions", "1", *given))
    hushed(run("ingest", DEMO, "--log", log, *host, *given))
    hushed(run("replay", "--log", log, "--trail", trail, "--group", "g", *given))
    (stream,) = json.loads(hushed(run("streams", "--log", log, "--trail", trail, "--json", *given)).out)
    assert stream["lag"] == 0
    hushed(run("publish", "spans", "--to", feed, "--trail", trail, *given))
    described = json.loads(hushed(run("topic", "describe", "--log", feed, "--json", *given)).out)
    assert described["partitions"][0]["high"] > 0
    embedded = tmp_path / "embedded"
    hushed(run("ingest", DEMO, "--trail", embedded, *host))
    hushed(run("replay", "--trail", embedded))
    assert store(trail) == store(embedded)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sasl.password": f"{PASSWORD}-OF-ANOTHER"}, "authentication"),
        ({"sasl.username": f"{USER}-OF-ANOTHER"}, "authentication"),
        ({"ssl.ca.location": None}, "certificate"),
        ({"security.protocol": "SASL_PLAINTEXT"}, "may expect tls (security.protocol)"),  # the broker only hangs up
    ],
)
def test_a_setting_that_is_wrong_is_told_by_what_the_broker_said(
    broker: Secured,
    topic: str,
    tmp_path: Path,
    wrong: dict[str, str | None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker.open.create_topic(topic)
    log = f"kafka://{broker.address}/{topic}"
    settings = {name: value for name, value in {**broker.client_settings(), **wrong}.items() if value is not None}
    given = ("--log", log, "--trail", tmp_path / "trail", "--kafka-config", config(tmp_path, settings))
    monkeypatch.setattr(log_kafka, "CONNECT_SECONDS", 2.0)
    for command in (("ingest", DEMO), ("replay", "--group", "g")):
        assert told in hushed(run(*command, *given), 4).err.lower()
