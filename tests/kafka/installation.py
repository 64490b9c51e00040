"""Where Kafka's jars and Java are: $KAFKA_HOME, the cache, or else fetched into the cache with Maven."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "kafka"
POM: Final = FOLDER / "pom.xml"
LOG_SETTINGS: Final = FOLDER / "log4j2.properties"

LEAST_JAVA: Final = 17  # brokers of Kafka 4 need it
NEEDED_BYTES: Final = 200 << 20  # the jars are 55 MB, and Maven keeps a second copy

_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


class KafkaMissing(Exception):
    """Something that a broker needs is not here; the message says what to install."""


class KafkaFailed(Exception):
    """All that a broker needs is here, and yet it does not run; the message says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A Java that can run Kafka, and the folder of Kafka's jars."""

    java: str
    jars: Path

    def command(self, main: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line that runs the class *main*."""
        logs = f"-Dlog4j2.configurationFile={LOG_SETTINGS}"
        return [self.java, *options, logs, "-cp", f"{self.jars}/*", main, *arguments]


def kafka_version() -> str:
    """Return the version that the pom names."""
    version = ET.parse(POM).findtext(".//{*}kafka.version")
    assert version is not None
    return version


def find_installation(environ: Mapping[str, str] | None = None) -> Installation:
    """Return an installation that can be run, fetching it first where that is needed (once; some seconds).

    Raises
    ------
    KafkaMissing
        Without a Java that is new enough; with a $KAFKA_HOME that holds no Kafka; without a cache and without Maven, or
        where Maven does not succeed.
    """
    environ = os.environ if environ is None else environ
    java = find_java(environ)
    home = environ.get("KAFKA_HOME")
    return Installation(java=java, jars=_jars_of_home(Path(home)) if home else _cached_jars(environ))


def find_java(environ: Mapping[str, str]) -> str:
    """Return the path of a Java that is new enough: $JAVA_HOME's, else the one on the path."""
    home = environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java", path=environ.get("PATH", os.defpath))
    wanted = f"a broker needs Java {LEAST_JAVA} or newer (Debian: apt install default-jre-headless)"
    if java is None:
        raise KafkaMissing(f"{wanted}; there is no java on the path")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise KafkaMissing(f"{wanted}; '{java} -version' does not work: {error}") from error
    version = _JAVA_VERSION.search(said)
    if version is None or int(version[1]) < LEAST_JAVA:
        shown = said.splitlines()[0] if said else "nothing"
        raise KafkaMissing(f"{wanted}; {java} says: {shown}. $JAVA_HOME can name another one")
    return java


def _jars_of_home(home: Path) -> Path:
    jars = home / "libs"
    if not any(jars.glob("kafka_2.*.jar")):
        raise KafkaMissing(f"expected an installation of Kafka in $KAFKA_HOME; there is no {jars}/kafka_2.13-*.jar")
    return jars


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where pagetrail keeps what it fetched: $PAGETRAIL_CACHE, by default in the user's cache folder."""
    own = environ.get("PAGETRAIL_CACHE")
    if own:
        return Path(own)
    shared = environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "pagetrail"


def _cached_jars(environ: Mapping[str, str]) -> Path:
    """Return the cache's folder of jars. It is complete where it exists: it gets its name when Maven is done."""
    cache = cache_folder(environ)
    jars = cache / f"kafka-{kafka_version()}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn", path=environ.get("PATH", os.defpath))
    if maven is None:
        raise KafkaMissing(
            f"expected Kafka's jars in {jars}, or Maven to fetch them (Debian: apt install maven); there is neither. "
            "$KAFKA_HOME can name an installation, $PAGETRAIL_KAFKA a broker that runs"
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "kafka.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two at a time, one fetches
            if not jars.is_dir():
                _fetch(maven, jars, environ)
    except OSError as error:
        raise KafkaMissing(f"cannot write Kafka's jars to {jars}: {error}") from error
    return jars


def _fetch(maven: str, jars: Path, environ: Mapping[str, str]) -> None:
    """Let Maven copy the jars to a folder aside, which then gets the name *jars*: all of them or none."""
    free = shutil.disk_usage(jars.parent).free
    if free < NEEDED_BYTES:
        raise KafkaMissing(f"Kafka's jars need {NEEDED_BYTES >> 20} MiB in {jars.parent}; {free >> 20} MiB are free")
    with tempfile.TemporaryDirectory(prefix=f".{jars.name}.", dir=jars.parent) as aside:
        copied = Path(aside) / "jars"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={copied}"]
        done = subprocess.run(
            [maven, "--quiet", "--batch-mode", "--file", str(POM), *goal],
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or not any(copied.glob("kafka_2.*.jar")):
            last = "\n".join(done.stdout.strip().splitlines()[-10:])
            raise KafkaMissing(
                f"Maven could not fetch Kafka's jars (exit {done.returncode}); nothing was kept. "
                f"Is the network there? It said:\n{last}"
            )
        copied.chmod(0o755)
        copied.rename(jars)
