"""One broker: its folder, its settings, its process."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.kafka.installation import Installation, KafkaFailed

HOST: Final = "127.0.0.1"
GUARD: Final = Path(__file__).with_name("guard.py")
TAIL_LINES: Final = 15
KILL_SECONDS: Final = 20

# Small, quick to start, and rather quick than fast: what a test waits for is a broker's start and an election.
JVM_OPTIONS: Final = ("-Xmx512m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
JVM_OPTIONS_FAST: Final = ("-Xmx1g", "-Xshare:auto", "-XX:+UseG1GC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A broker's ports. ``proxy`` is the one that ``proxied`` advertises: a Proxy listens there, or nobody."""

    clients: int
    controller: int
    proxied: int
    proxy: int


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, below those that the kernel gives to outgoing connections.

    A broker that was killed gets its port again only if no connection took it meanwhile.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(12_000, 32_000)
        if port not in found and port_is_free(port):
            found.append(port)
    return found


def port_is_free(port: int) -> bool:
    """Say whether a broker could listen on *port*."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: what lingers is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A broker that is a controller too, with all that it keeps in one folder."""

    id: int
    folder: Path
    ports: Ports

    @property
    def address(self) -> str:
        """Return where clients and other brokers find it."""
        return f"{HOST}:{self.ports.clients}"

    @property
    def log(self) -> Path:
        """Return the file of what it says."""
        return self.folder / "broker.log"

    @property
    def data(self) -> Path:
        """Return the folder of its partitions."""
        return self.folder / "data"

    @property
    def settings_file(self) -> Path:
        """Return the file that Kafka is started with."""
        return self.folder / "server.properties"

    def pid(self) -> int | None:
        """Return the process that runs it; a pid that went to another process since is none."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self.settings_file).encode() in command else None

    def is_paused(self) -> bool:
        """Say whether SIGSTOP holds it."""
        pid = self.pid()
        return pid is not None and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def write_settings(self, controllers: list["Node"], more: Mapping[str, object]) -> None:
        """Write its server.properties; what *more* says counts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}\n" for key, value in {**_settings(self, controllers), **more}.items()]
        self.settings_file.write_text("".join(lines))

    def format(self, installation: Installation, cluster_id: str) -> None:
        """Make its data folder, where there is none yet."""
        if (self.data / "meta.properties").exists():
            return
        command = installation.command(
            "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self.settings_file), options=JVM_OPTIONS
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise KafkaFailed(f"broker {self.id}: Kafka could not format {self.data} (exit {done.returncode}):\n{said}")

    def spawn(self, installation: Installation, cluster: Path, *, throw_away: bool, fast: bool) -> None:
        """Start its process under a guard that stops it when nobody uses the folder *cluster* any more."""
        options = JVM_OPTIONS_FAST if fast else JVM_OPTIONS
        plan = {
            "command": installation.command("kafka.Kafka", str(self.settings_file), options=options),
            "folder": str(self.folder),
            "log": str(self.log),
            "pid": str(self.folder / "pid"),
            "data": str(self.data),
            "users": str(cluster / "users.lock"),
            "closed": str(cluster / "closed"),
            "throw_away": throw_away,
        }
        file = self.folder / "guard.json"
        file.write_text(json.dumps(plan))
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(GUARD), str(file)], stdout=subprocess.PIPE, timeout=60, check=False
        )
        if done.returncode:
            raise KafkaFailed(f"broker {self.id} could not be started:\n{self.tail()}")

    def signal(self, what: signal.Signals) -> None:
        """Send a signal to its process, if there is one."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, what)

    def wait_until_gone(self, seconds: float = KILL_SECONDS) -> bool:
        """Wait until its process ended and the guard saw it; say whether it did."""
        deadline = time.monotonic() + seconds
        while self.pid() is not None or (self.folder / "pid").exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def tail(self) -> str:
        """Return the end of what it said."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        except OSError:
            return "(it said nothing)"


def _settings(node: Node, controllers: list[Node]) -> dict[str, object]:
    """Return Kafka's settings of *node*: https://kafka.apache.org/43/configuration/broker-configs/."""
    ports = node.ports
    copies = min(3, len(controllers))
    in_sync = 2 if copies == 3 else 1
    return {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{one.id}@{HOST}:{one.ports.controller}" for one in controllers),
        "listeners": f"CLIENTS://{node.address},PROXIED://{HOST}:{ports.proxied},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": f"CLIENTS://{node.address},PROXIED://{HOST}:{ports.proxy}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "log.dirs": node.data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        # Kafka's own topics, as few partitions as will do.
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 2,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Groups form at once, and may have sessions that are over soon.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 500,
        "group.consumer.min.session.timeout.ms": 500,
        "group.consumer.min.heartbeat.interval.ms": 100,
        # A broker that was killed or paused is missed after 3 s, not 9, and a controller a little sooner.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3_000,
        "controller.quorum.fetch.timeout.ms": 1_500,
        "controller.quorum.request.timeout.ms": 1_500,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.election.backoff.max.ms": 300,
        # Retention and elections that a topic asks for happen while a test waits.
        "log.initial.task.delay.ms": 500,
        "log.retention.check.interval.ms": 500,
        "log.segment.delete.delay.ms": 100,
        "unclean.leader.election.interval.ms": 500,
    }
