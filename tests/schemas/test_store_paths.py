"""A stream's place in the store is found again by what a user calls the stream."""

import pytest

from pagetrail.schemas.store.names import is_called, stream_name

NAMES = ("host", "a.b", ".hidden", "web/7", "größe", "")


@pytest.mark.parametrize("host", NAMES)
def test_a_host_names_every_boot_of_it_and_a_boot_itself(host: str) -> None:
    boots = [stream_name(host, boot, "fold3") for boot in ("boot-1", "boot-2")]
    assert all(is_called(boot, host) for boot in boots)
    assert [is_called(boot, f"{host}/boot-1") for boot in boots] == [True, False]


@pytest.mark.parametrize("wanted", ["hos", "host/boot", "boot-1", "fold3", "*", "other/boot-1"])
def test_nothing_else_names_a_stream(wanted: str) -> None:
    assert not is_called(stream_name("host", "boot-1", "fold3"), wanted)
