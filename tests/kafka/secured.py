"""A broker that shows who it is and asks who you are: TLS with a certificate made for it, SASL with SCRAM."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from tests.kafka.client import Kafka
from tests.kafka.cluster import Cluster
from tests.kafka.installation import find_installation
from tests.kafka.node import HOST, Node

USER: Final = "HUSH-NAME"
PASSWORD: Final = "HUSH-WORD"
_STORE_PASSWORD: Final = "of-no-account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """Where it listens for clients that say who they are, and for those of tests that need not; and its certificate."""

    address: str
    open: Kafka
    certificate: Path

    def client_settings(self) -> dict[str, str]:
        """Return what librdkafka has to be told."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.certificate),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
        }


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Run one.

    Raises
    ------
    KafkaMissing, KafkaFailed
        As for a Cluster.
    """
    store, certificate = folder / "broker.p12", folder / "broker.pem"
    keytool = str(Path(find_installation().java).with_name("keytool"))
    common = ["-alias", "broker", "-keystore", str(store), "-storepass", _STORE_PASSWORD]
    names = ["-dname", "CN=broker", "-ext", f"san=ip:{HOST}"]
    for arguments in (
        ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-storetype", "PKCS12", *names, *common],
        ["-exportcert", "-rfc", "-file", str(certificate), *common],
    ):
        subprocess.run([keytool, *arguments], check=True, capture_output=True)

    def settings(node: Node) -> dict[str, object]:
        """The listener that a proxy has elsewhere is the one that is secured."""
        listener = "listener.name.proxied"
        return {
            "advertised.listeners": f"CLIENTS://{node.address},PROXIED://{HOST}:{node.ports.proxied}",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,PROXIED:SASL_SSL,CONTROLLER:PLAINTEXT",
            f"{listener}.ssl.keystore.type": "PKCS12",
            f"{listener}.ssl.keystore.location": store,
            f"{listener}.ssl.keystore.password": _STORE_PASSWORD,
            f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{listener}.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }

    with Cluster(settings=settings) as cluster:
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        made = cluster.kafka.admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())]
        )
        made[USER].result(30)
        address = f"{HOST}:{cluster.nodes[0].ports.proxied}"
        yield Secured(address=address, open=cluster.kafka, certificate=certificate)
