"""The place of a log: its trail, or a topic of Apache Kafka, ``kafka://HOST:PORT[,HOST:PORT…]/TOPIC``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pagetrail.schemas.errors import BadArgument

KAFKA_SCHEME: Final = "kafka://"
EXPECTED: Final = "kafka://HOST:PORT[,HOST:PORT…]/TOPIC"

OWN_SETTINGS: Final = frozenset({
    "acks", "auto.offset.reset", "bootstrap.servers", "client.id", "compression.codec", "compression.type",
    "enable.auto.commit", "enable.auto.offset.store", "enable.gapless.guarantee", "enable.idempotence",
    "enable.partition.eof", "error_cb", "group.id", "isolation.level", "log_level", "max.in.flight",
    "max.in.flight.requests.per.connection", "message.max.bytes", "metadata.broker.list", "partitioner",
    "request.required.acks", "transactional.id",
})  # fmt: skip
"""Settings that the log's promises depend on: only pagetrail sets them."""

DELIVERY_SETTINGS: Final = ("message.timeout.ms", "delivery.timeout.ms")
"""How long to wait for an acknowledgement: pagetrail waits itself, because librdkafka would drop one frame and continue."""

_SECRET: Final = re.compile(r"password|secret|token|key\.pem|sasl\.(username|oauthbearer\.config)", re.ASCII)
_UNKNOWN: Final = re.compile(r'No such configuration property: "(.*)"')
_BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)  # org.apache.kafka.common.internals.Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAddress:
    """A topic that is a log.

    Attributes
    ----------
    brokers
        Some of the cluster's brokers, HOST:PORT each.
    topic
        Its name.
    settings
        librdkafka's own settings, for TLS and SASL: never part of a text or a repr.
    """

    brokers: tuple[str, ...]
    topic: str
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{KAFKA_SCHEME}{','.join(self.brokers)}/{self.topic}"

    def without_secrets(self, text: str) -> str:
        """Return *text* without what the settings say: a value may be a secret, whatever its name is, and so may a wrong name.

        Values of secrets are replaced by ``***`` wherever they are, others and names that librdkafka does not know in quotes.
        """
        unknown = _UNKNOWN.search(text)
        if unknown is not None and unknown[1] in self.settings:
            number = 1 + list(self.settings).index(unknown[1])
            return f"setting {number} of the file has a name that librdkafka does not know (it is not shown: it may be a secret)"
        secrets = {value for name, value in self.settings.items() if _SECRET.search(name) and value}
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        for value in sorted(filter(None, self.settings.values()), key=len, reverse=True):
            text = text.replace(f'"{value}"', '"***"')
        return text


def parse_log_address(text: str, settings_file: Path | None = None) -> KafkaAddress:
    """Return the address in *text*, with the settings of a properties file.

    Raises
    ------
    BadArgument
        *text* is not such an address, or a line of the file is not a setting, or sets one that only pagetrail sets.
    """
    # messages do not repeat the text where it may contain a password
    if not text.startswith(KAFKA_SCHEME):
        raise BadArgument(f"--log: expected {EXPECTED} (the log in the trail needs no --log), found another form")
    servers, slash, topic = text.removeprefix(KAFKA_SCHEME).partition("/")
    if "@" in servers:
        raise BadArgument(
            f"--log: expected {EXPECTED}, found a user name in it; put user name and secret into --kafka-config"
        )
    brokers = tuple(server for server in servers.split(",") if server)
    for broker in brokers:
        found = _BROKER.fullmatch(broker)
        if found is None or not 0 < int(found[2]) < 1 << 16:
            raise BadArgument(f"--log: expected {EXPECTED}, found {broker!r} where HOST:PORT should be")
    if not brokers or not slash:
        raise BadArgument(f"--log: expected {EXPECTED}, found {text!r}")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise BadArgument(
            f"--log: expected the name of a topic after the '/', letters, digits and '._-', up to 249; found {topic!r}"
        )
    return KafkaAddress(brokers=brokers, topic=topic, settings=_settings(settings_file) if settings_file else {})


def _settings(path: Path) -> dict[str, str]:
    """Return the settings of a properties file: one ``name=value`` a line; empty lines and those with a leading # are ignored."""
    settings: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise BadArgument(f"{path}: expected a properties file in UTF-8, found other bytes") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        where = f"{path}, line {number}"
        if not equals or not re.fullmatch(r"[a-z0-9._]+", name):
            raise BadArgument(f"{where}: expected NAME=VALUE, a setting of librdkafka, found something else")
        if name in OWN_SETTINGS:
            raise BadArgument(
                f"{where}: only pagetrail sets {name}, because the log's promises depend on it; remove the line"
            )
        settings[name] = value
    return settings
