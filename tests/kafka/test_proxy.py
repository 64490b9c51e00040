"""The network between: cut, a client notices; healed, it goes on."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Message

from tests.kafka.client import wait_for
from tests.kafka.cluster import Cluster
from tests.kafka.node import HOST, free_ports
from tests.kafka.proxy import Proxy
from tests.kafka.records import acknowledged, all_records, producer


@pytest.fixture
def echo() -> Iterator[int]:
    """Return the port of a server that sends back what it gets."""
    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionResetError):  # as a cut does
        while chunk := connection.recv(1 << 16):
            connection.sendall(chunk)


@pytest.fixture
def proxy(echo: int) -> Iterator[tuple[Proxy, int]]:
    """Return a proxy to the server, and the port where it listens."""
    (port,) = free_ports(1)
    with Proxy({port: echo}) as running:
        yield running, port


def said_back(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    found = b""
    while len(found) < len(text):
        found += connection.recv(len(text))
    return found


def test_what_goes_through_is_what_comes_back(proxy: tuple[Proxy, int]) -> None:
    text = bytes(range(256)) * 4_000
    with socket.create_connection((HOST, proxy[1])) as connection:
        connection.settimeout(30)
        sender = threading.Thread(target=connection.sendall, args=(text,))
        sender.start()
        found = b""
        while len(found) < len(text):
            found += connection.recv(1 << 16)
        sender.join()
    assert found == text


def test_a_cut_resets_connections_and_refuses_new_ones(proxy: tuple[Proxy, int]) -> None:
    between, port = proxy
    with socket.create_connection((HOST, port)) as connection:
        connection.settimeout(30)
        assert said_back(connection, b"a") == b"a"
        between.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))
    between.heal()
    with socket.create_connection((HOST, port)) as connection:
        assert said_back(connection, b"b") == b"b"


def test_what_is_held_comes_when_it_is_let_through(proxy: tuple[Proxy, int]) -> None:
    between, port = proxy
    with socket.create_connection((HOST, port)) as connection:
        assert said_back(connection, b"a") == b"a"
        between.hold()
        connection.sendall(b"b")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        between.heal()
        connection.settimeout(30)
        assert connection.recv(1) == b"b"


def test_a_delay_is_added_each_way(proxy: tuple[Proxy, int]) -> None:
    between, port = proxy
    between.delay(0.1)
    with socket.create_connection((HOST, port)) as connection:
        began = time.monotonic()
        assert said_back(connection, b"a") == b"a"
        assert time.monotonic() - began >= 0.2


def test_a_connection_that_one_side_ends_is_over(proxy: tuple[Proxy, int]) -> None:
    between, port = proxy
    with socket.create_connection((HOST, port)) as connection:
        assert said_back(connection, b"a") == b"a"
        assert between.connections == 1
    wait_for(lambda: between.connections == 0, "no connection left")


def test_a_client_behind_a_cut_goes_on_when_it_is_healed_and_nothing_is_lost(
    kafka_cluster: Cluster, topic: str
) -> None:
    kafka_cluster.kafka.create_topic(topic, partitions=3, replication=3)
    acked: set[bytes] = set()

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        acked.add(message.value())

    troubles: list[KafkaError] = []
    with Proxy(kafka_cluster.routes) as network:
        behind = kafka_cluster.proxied_bootstrap
        sent = acknowledged(behind, topic, 50)
        sender = producer(behind, error_cb=troubles.append)
        for number in range(50, 100):
            sender.produce(topic, key=str(number), value=str(number).encode(), on_delivery=delivered)
        assert sender.flush(30) == 0
        network.cut()
        for number in range(100, 150):
            sender.produce(topic, key=str(number), value=str(number).encode(), on_delivery=delivered)
        wait_for(lambda: sender.poll(0.1) >= 0 and bool(troubles), "trouble noticed")
        assert len(acked) == 50
        network.heal()
        assert sender.flush(60) == 0
        assert all_records(behind, topic) == sent | acked
    assert sent | acked == {str(number).encode() for number in range(150)}
