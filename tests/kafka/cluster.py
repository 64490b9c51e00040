"""A cluster of brokers on this machine, each of which can be killed, paused and started again."""

import base64
import dataclasses
import fcntl
import json
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tests.kafka.client import Kafka, wait_for
from tests.kafka.installation import Installation, KafkaFailed, find_installation
from tests.kafka.node import HOST, Node, Ports, free_ports, port_is_free

START_SECONDS: Final = 90
LEAST_FREE_BYTES: Final = 256 << 20  # a broker whose disk is full dies in the middle of something


class Cluster:
    """Brokers of one cluster in one folder; each is a controller too.

    Parameters
    ----------
    root
        The folder for everything. One that has a cluster is taken as it is, its data included; without one, a temporary
        folder, which is removed at the end.
    brokers
        How many: 1 or 3 (two lose their quorum with either one).
    first_port
        The port of the first broker, the others' follow; by default any that are free.
    throw_away
        Data goes when the last user goes, and brokers are not asked to stop but killed. True for a temporary folder.
    fast
        Start brokers for throughput and not for a quick start.
    settings
        Called with each broker for settings of Kafka that it has besides, or instead.

    It runs while somebody uses it (guard.py): after ``stop``, and after the death of this process, however it died.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        brokers: int = 1,
        first_port: int | None = None,
        throw_away: bool | None = None,
        fast: bool = False,
        settings: Callable[[Node], Mapping[str, object]] = lambda node: {},
    ) -> None:
        self._temporary = root is None
        self.root = Path(tempfile.mkdtemp(prefix="pagetrail-kafka-")) if root is None else root.resolve()
        self.throw_away = self._temporary if throw_away is None else throw_away
        self.fast, self._settings = fast, settings
        self._wanted = (brokers, first_port)
        self._users: IO[str] | None = None
        self._installation: Installation | None = None
        self.cluster_id, self.nodes = "", list[Node]()

    # --- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start all brokers, and wait until they serve.

        Raises
        ------
        KafkaMissing
            Where no broker can run on this machine; the message says what to install.
        KafkaFailed
            Where one does not come up: the end of what it said is in the message.
        """
        try:
            self._installation = find_installation()
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_room()
            self._refuse_a_second_start()
            self._decide()
            self._open()
            for node in self.nodes:
                node.write_settings(self.nodes, self._settings(node))
            (self.root / "closed").unlink(missing_ok=True)
            self._each(lambda node: node.format(self._installed, self.cluster_id))
            self._each(self._spawn)
            self._wait_until_up(self.nodes)
        except BaseException:
            self.stop()
            raise
        return self

    def attach(self) -> bool:
        """Use the brokers that another process started in this folder; say False where they are gone or going."""
        if not (self.root / "cluster.json").exists() or not self._use():
            return False
        if (self.root / "closed").exists():
            self.leave()
            return False
        self._installation = find_installation()
        self._open()
        self.heal()
        return True

    def leave(self) -> None:
        """Use the brokers no more: if nobody else does either, they stop."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def stop(self) -> None:
        """Stop all brokers and wait for it."""
        if not self.throw_away:
            for node in self.nodes:
                node.signal(signal.SIGCONT)
                node.signal(signal.SIGTERM)
            self._each(lambda node: node.wait_until_gone())
        self._each(self._kill)
        self.leave()
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- who and where -----------------------------------------------------------------------------------------------

    @property
    def bootstrap(self) -> str:
        """Return the bootstrap servers: all brokers."""
        return ",".join(node.address for node in self.nodes)

    @property
    def proxied_bootstrap(self) -> str:
        """Return the bootstrap servers for clients behind a Proxy of ``routes``."""
        return ",".join(f"{HOST}:{port}" for port in self.routes)

    @property
    def routes(self) -> dict[int, int]:
        """Return port → port for a Proxy: the port that brokers advertise to its clients, and where they listen."""
        return {node.ports.proxy: node.ports.proxied for node in self.nodes}

    @cached_property
    def kafka(self) -> Kafka:
        """Return the cluster as its clients see it."""
        return Kafka(self.bootstrap)

    def running(self) -> list[int]:
        """Return the ids of the brokers that have a process, paused or not."""
        return [node.id for node in self.nodes if node.pid() is not None]

    # --- faults ------------------------------------------------------------------------------------------------------

    def kill(self, broker: int) -> None:
        """Kill a broker (SIGKILL): it cannot finish anything."""
        self._kill(self._node(broker))

    def restart(self, broker: int) -> None:
        """Start a broker that was killed, with the data it had, and wait until it serves."""
        node = self._node(broker)
        self._spawn(node)
        self._wait_until_up([node])

    def pause(self, broker: int) -> None:
        """Stop a broker's process in its tracks (SIGSTOP); connections to it stay open."""
        node = self._node(broker)
        node.signal(signal.SIGSTOP)
        wait_for(node.is_paused, f"broker {broker} paused")

    def resume(self, broker: int) -> None:
        """Let a paused broker go on (SIGCONT)."""
        self._node(broker).signal(signal.SIGCONT)

    def heal(self) -> None:
        """Bring back every broker that is paused or gone, and wait until the cluster has all of them."""
        gone = [node for node in self.nodes if node.pid() is None]
        paused = [node for node in self.nodes if node.is_paused()]
        for node in paused:
            node.signal(signal.SIGCONT)
        for node in gone:
            self._spawn(node)
        if gone or paused:
            self._wait_until_up(self.nodes)

    # --- how ---------------------------------------------------------------------------------------------------------

    @property
    def _installed(self) -> Installation:
        assert self._installation is not None, "not started"
        return self._installation

    def _node(self, broker: int) -> Node:
        return next(node for node in self.nodes if node.id == broker)

    def _each(self, act: Callable[[Node], object]) -> None:
        """Do one thing to all brokers at once."""
        with ThreadPoolExecutor(max(1, len(self.nodes))) as pool:
            list(pool.map(act, self.nodes))

    def _use(self) -> bool:
        """Become one of those for whom the brokers run."""
        users = (self.root / "users.lock").open("a")
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            users.close()
            return False
        self._users = users
        return True

    def _refuse_a_second_start(self) -> None:
        if (self.root / "cluster.json").exists():
            self._open()
        if not self._use() or self.running():
            self.nodes = []  # they are not ours to stop
            raise KafkaFailed(f"brokers run in {self.root} already, or are just being stopped there")

    def _decide(self) -> None:
        """Write down who is in the cluster and where: ports anew each time, all else as it was."""
        file = self.root / "cluster.json"
        known = json.loads(file.read_text()) if file.exists() else None
        count, first = self._wanted
        if count not in (1, 3):
            raise KafkaFailed(f"expected 1 broker or 3, found {count}: of two, either one is needed for everything")
        if known is not None and len(known["brokers"]) != count:
            raise KafkaFailed(f"{self.root} holds the data of a cluster of {len(known['brokers'])}, and not of {count}")
        clients = free_ports(count) if first is None else list(range(first, first + count))
        taken = [port for port in clients if not port_is_free(port)]
        if taken:
            raise KafkaFailed(f"port {taken[0]} is taken on {HOST}: stop what listens there, or name another (--port)")
        others = iter(free_ports(3 * count))
        ports = [
            Ports(clients=one, controller=next(others), proxied=next(others), proxy=next(others)) for one in clients
        ]
        cluster_id = _random_uuid() if known is None else known["cluster_id"]
        file.write_text(json.dumps({"cluster_id": cluster_id, "brokers": [dataclasses.asdict(one) for one in ports]}))

    def _open(self) -> None:
        """Read who is in the cluster and where."""
        known = json.loads((self.root / "cluster.json").read_text())
        self.cluster_id = known["cluster_id"]
        self.nodes = [
            Node(id=number, folder=self.root / f"broker-{number}", ports=Ports(**ports))
            for number, ports in enumerate(known["brokers"], start=1)
        ]

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE_BYTES:
            raise KafkaFailed(
                f"the disk of {self.root} is full: {free >> 20} MiB are free, and brokers are not started with less than "
                f"{LEAST_FREE_BYTES >> 20}. Free some, or name a folder elsewhere (--data, or $TMPDIR)"
            )

    def _spawn(self, node: Node) -> None:
        node.spawn(self._installed, self.root, throw_away=self.throw_away, fast=self.fast)

    def _kill(self, node: Node) -> None:
        node.signal(signal.SIGKILL)
        if not node.wait_until_gone():
            raise KafkaFailed(f"broker {node.id} could not be killed")

    def _wait_until_up(self, nodes: list[Node]) -> None:
        expected = {node.id for node in nodes}

        def up() -> bool:
            for node in nodes:
                if node.pid() is None:
                    raise KafkaFailed(f"broker {node.id} stopped while it started. The end of its log:\n{node.tail()}")
            return all(_accepts(node.ports.clients) for node in nodes) and expected <= set(self.kafka.brokers(3))

        try:
            wait_for(up, f"brokers {sorted(expected)} in their cluster", START_SECONDS)
        except TimeoutError as error:
            ends = "\n".join(f"The end of the log of broker {node.id}:\n{node.tail()}" for node in nodes)
            raise KafkaFailed(f"{error}\n{ends}") from error


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _random_uuid() -> str:
    """Return a cluster's id, as ``kafka.tools.StorageTool random-uuid`` makes it (org.apache.kafka.common.Uuid)."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # it would be taken for an option
            return text
