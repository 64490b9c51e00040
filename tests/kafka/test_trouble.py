"""What is missing or in the way is named, with what to do about it, and leaves nothing half made."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.kafka.cluster import Cluster
from tests.kafka.installation import KafkaFailed, KafkaMissing, find_installation, kafka_version
from tests.kafka.node import HOST, free_ports

JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose path has one empty folder, and whose cache is empty."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "PAGETRAIL_CACHE": str(tmp_path / "cache")}


def program(environ: dict[str, str], name: str, script: str) -> None:
    """Put a program on the path that does what *script* says."""
    file = Path(environ["PATH"]) / name
    file.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    file.chmod(0o755)


def java_says(environ: dict[str, str], version: str) -> None:
    program(environ, "java", f"echo '{version}' >&2")


def left_in_the_cache(environ: dict[str, str]) -> list[str]:
    cache = Path(environ["PAGETRAIL_CACHE"])
    return [file.name for file in cache.iterdir() if file.name != "kafka.lock"] if cache.exists() else []


def test_without_java_it_says_what_to_install(environ: dict[str, str]) -> None:
    with pytest.raises(KafkaMissing, match=r"apt install default-jre-headless.*there is no java on the path"):
        find_installation(environ)


@pytest.mark.parametrize("says", ['openjdk version "11.0.2" 2019-01-15', 'java version "1.8.0_202"', "who knows"])
def test_a_java_that_is_too_old_is_named(environ: dict[str, str], says: str) -> None:
    java_says(environ, says)
    with pytest.raises(KafkaMissing, match=f"Java 17 or newer.*/java says: {re.escape(says)}"):
        find_installation(environ)


def test_a_java_that_does_not_run_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(KafkaMissing, match="'/nowhere/bin/java -version' does not work"):
        find_installation(environ | {"JAVA_HOME": "/nowhere"})


def test_without_maven_and_cache_it_says_what_to_install(environ: dict[str, str]) -> None:
    java_says(environ, JAVA_17)
    with pytest.raises(KafkaMissing, match=r"apt install maven.*\$KAFKA_HOME.*\$PAGETRAIL_KAFKA"):
        find_installation(environ)


def test_a_kafka_home_without_a_kafka_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    java_says(environ, JAVA_17)
    with pytest.raises(KafkaMissing, match=r"\$KAFKA_HOME; there is no .*/libs/kafka_2"):
        find_installation(environ | {"KAFKA_HOME": str(tmp_path)})


def test_a_kafka_home_is_used_as_it_is(environ: dict[str, str], tmp_path: Path) -> None:
    java_says(environ, JAVA_17)
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.0.jar").touch()
    assert find_installation(environ | {"KAFKA_HOME": str(tmp_path)}).jars == tmp_path / "libs"


def test_a_maven_that_fails_half_way_is_quoted_and_leaves_nothing(environ: dict[str, str]) -> None:
    java_says(environ, JAVA_17)
    out = 'for each; do case $each in -DoutputDirectory=*) out=${each#*=};; esac; done; mkdir -p "$out"'
    program(environ, "mvn", f'{out}; touch "$out/kafka_2.13-4.3.1.jar"; echo no route to host; exit 1')
    with pytest.raises(
        KafkaMissing, match=r"(?s)Maven could not fetch.*\(exit 1\); nothing was kept.*no route to host"
    ):
        find_installation(environ)
    assert left_in_the_cache(environ) == []


def test_what_maven_fetched_is_kept_for_the_next_time(environ: dict[str, str]) -> None:
    java_says(environ, JAVA_17)
    out = 'for each; do case $each in -DoutputDirectory=*) out=${each#*=};; esac; done; mkdir -p "$out"'
    program(environ, "mvn", f'{out}; touch "$out/kafka_2.13-4.3.1.jar"')
    jars = find_installation(environ).jars
    assert left_in_the_cache(environ) == [f"kafka-{kafka_version()}"]
    (Path(environ["PATH"]) / "mvn").unlink()
    assert find_installation(environ).jars == jars


def test_a_cache_that_cannot_be_written_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    java_says(environ, JAVA_17)
    program(environ, "mvn", "exit 0")
    (tmp_path / "file").touch()
    with pytest.raises(KafkaMissing, match=r"cannot write Kafka's jars to .*/file/cache"):
        find_installation(environ | {"PAGETRAIL_CACHE": str(tmp_path / "file" / "cache")})


def test_the_compose_file_runs_the_version_of_the_pom() -> None:
    compose = (REPOSITORY / "kafka" / "compose.yaml").read_text()
    assert f"image: apache/kafka:{kafka_version()}\n" in compose


# --- on the command line, and with a broker to start -----------------------------------------------------------------


def make_kafka(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run what ``make kafka`` runs, where it is expected to give up."""
    inherited = {name: value for name, value in os.environ.items() if name != "PAGETRAIL_KAFKA"}
    return subprocess.run(
        [sys.executable, "-m", "tests.kafka", *arguments],
        cwd=REPOSITORY,
        env=inherited | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    (port,) = free_ports(1)
    with socket.create_server((HOST, port)):
        yield port


def without_address(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what it said, given that it failed in an orderly way."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_make_kafka_without_java_says_what_to_install(environ: dict[str, str]) -> None:
    assert "apt install default-jre-headless" in without_address(make_kafka(**environ))


def test_make_kafka_names_a_kafka_that_does_not_answer() -> None:
    (port,) = free_ports(1)
    said = without_address(make_kafka(PAGETRAIL_KAFKA=f"{HOST}:{port}"))
    assert f"no Kafka answers at {HOST}:{port} ($PAGETRAIL_KAFKA)" in said


def test_a_port_that_is_taken_is_named(environ: dict[str, str], taken_port: int, tmp_path: Path) -> None:
    java_says(environ, JAVA_17)
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").touch()
    said = without_address(make_kafka("--port", str(taken_port), KAFKA_HOME=str(tmp_path), **environ))
    assert f"port {taken_port} is taken" in said


@pytest.fixture
def hollow(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Be in an environment that has a Java and jars by their looks, which a test makes do what it wants."""
    java_says(environ, JAVA_17)
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").touch()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return environ


def test_a_broker_that_dies_at_its_start_is_quoted(hollow: dict[str, str], tmp_path: Path) -> None:
    says = f"echo '{JAVA_17}' >&2; case \"$*\" in *kafka.Kafka*) echo I cannot go on; exit 3;; esac"
    program(hollow, "java", says)
    with pytest.raises(KafkaFailed, match=r"(?s)broker 1 .*I cannot go on"):
        Cluster(tmp_path / "cluster").start()


def test_a_folder_that_cannot_be_formatted_is_quoted(hollow: dict[str, str], tmp_path: Path) -> None:
    says = f"echo '{JAVA_17}' >&2; case \"$*\" in *StorageTool*) echo no space left on device; exit 1;; esac"
    program(hollow, "java", says)
    with pytest.raises(KafkaFailed, match=r"(?s)could not format .*\(exit 1\):.*no space left on device"):
        Cluster(tmp_path / "cluster").start()


def test_a_full_disk_is_named_before_anything_starts(
    hollow: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(usage.total, usage.total, 5 << 20))
    with pytest.raises(KafkaFailed, match=r"the disk of .*/cluster is full: 5 MiB are free"):
        Cluster(tmp_path / "cluster").start()


def test_two_brokers_are_refused(hollow: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(KafkaFailed, match="expected 1 broker or 3, found 2"):
        Cluster(tmp_path / "cluster", brokers=2).start()
