"""Where a log is, as a text, and its settings, which never become one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.log.address import OWN_SETTINGS, parse_log_address

NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
TOPICS = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,60}", fullmatch=True)
PORTS = st.integers(1, 65_535)


@given(st.lists(st.tuples(NAMES, PORTS), min_size=1, max_size=4), TOPICS)
def test_an_address_says_itself_again(servers: list[tuple[str, int]], topic: str) -> None:
    text = f"kafka://{','.join(f'{name}:{port}' for name, port in servers)}/{topic}"
    address = parse_log_address(text)
    assert (str(address), address.topic, len(address.brokers)) == (text, topic, len(servers))


def test_an_address_of_ipv6_has_brackets() -> None:
    assert parse_log_address("kafka://[::1]:9092/t").brokers == ("[::1]:9092",)


@pytest.mark.parametrize(
    "text",
    [
        "trail", "kafka:/h:1/t", "http://h:1/t", "kafka://h:1", "kafka:///t", "kafka://h/t", "kafka://h:0/t", "kafka://h:65536/t",
        "kafka://h:x/t", "kafka://h:1/", "kafka://h:1/..", "kafka://h:1/a b", "kafka://h:1/a/b", "kafka://h:1,g/t",
        "kafka://h:1/" + "x" * 250,
    ],
)  # fmt: skip
def test_what_is_no_address_is_an_argument_that_means_nothing(text: str) -> None:
    with pytest.raises(BadArgument, match="--log: expected"):
        parse_log_address(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(BadArgument, match="--kafka-config") as told:
        parse_log_address("kafka://me:SECRET@h:1/t")
    assert "SECRET" not in str(told.value)


def test_settings_are_read_and_are_in_no_text(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# SASL\n\nsasl.username = me\nsasl.password=SECRET=1\n")
    address = parse_log_address("kafka://h:1/t", file)
    assert dict(address.settings) == {"sasl.username": "me", "sasl.password": "SECRET=1"}
    assert "SECRET" not in repr(address) + str(address)
    assert address.without_secrets("refused: SECRET=1 of me") == "refused: *** of ***"


@pytest.mark.parametrize(
    ("lines", "message", "shown"),
    [
        ("security.protocol=SECRET", 'Invalid value "SECRET" for configuration property "security.protocol"',
         'Invalid value "***" for configuration property "security.protocol"'),
        ("debug=all\nsecret==", 'No such configuration property: "secret"',
         "setting 2 of the file has a name that librdkafka does not know (it is not shown: it may be a secret)"),
    ],
)  # fmt: skip
def test_what_is_in_the_wrong_line_is_not_repeated(tmp_path: Path, lines: str, message: str, shown: str) -> None:
    """Any value may be a secret, and so may a name, where somebody took the secret for one."""
    file = tmp_path / "client.properties"
    file.write_text(lines)
    assert parse_log_address("kafka://h:1/t", file).without_secrets(message) == shown


def test_a_file_of_other_bytes_is_refused_without_them(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_bytes(b"sasl.password=\xffSECRET\n")
    with pytest.raises(BadArgument, match="expected a properties file in UTF-8") as told:
        parse_log_address("kafka://h:1/t", file)
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize("line", ["sasl.password SECRET", "SECRET", "=SECRET", "A B=SECRET"])
def test_a_line_that_is_no_setting_is_named_by_its_number_alone(tmp_path: Path, line: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(BadArgument, match="line 2: expected NAME=VALUE") as told:
        parse_log_address("kafka://h:1/t", file)
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize("name", sorted(OWN_SETTINGS))
def test_what_the_log_promises_is_not_to_be_set_otherwise(tmp_path: Path, name: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"{name}=1\n")
    with pytest.raises(BadArgument, match=f"line 1: only pagetrail sets {name}"):
        parse_log_address("kafka://h:1/t", file)
