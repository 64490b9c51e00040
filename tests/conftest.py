"""What all tests share: Hypothesis profiles, recordings of real kernels, and what to do where something is missing."""

import os
import re
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
import zstandard
from hypothesis import HealthCheck, Phase, settings

from tests import distribution
from tests.kafka.fixtures import kafka as kafka
from tests.kafka.fixtures import kafka_cluster as kafka_cluster
from tests.kafka.fixtures import kafka_cluster_healed as kafka_cluster_healed
from tests.kafka.fixtures import leave_clusters
from tests.kafka.fixtures import three_kafka_brokers as three_kafka_brokers
from tests.kafka.fixtures import topic as topic
from tests.shared import folder_of_the_run, made_once

REPOSITORY = Path(__file__).resolve().parent.parent
_SNAPSHOT_DUMP = re.compile(r"(?:\./)?snapshots/([^/]+)/page_owner\.txt")
WINDOW_SIZE = 1 << 27  # the captures were compressed with a 27-bit window

# No deadlines: the first call of a kernel compiles it.
settings.register_profile("normal", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, print_blob=True)
settings.register_profile(
    "nightly", deadline=None, max_examples=2_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# For tests that are to fail: that one does is enough, how little it takes is not asked.
settings.register_profile(
    "unshrunk", deadline=None, max_examples=100, derandomize=True, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "normal"))

if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # hundreds of processes are started: each module is compiled once
    os.environ["PYTHONPYCACHEPREFIX"] = str(REPOSITORY / ".cache" / "pycache")

# pyarrow imports it for each list that becomes an array. Where it is not installed, each import searches all folders in vain.
if find_spec("dateutil") is None:
    sys.modules["dateutil"] = None  # type: ignore[assignment]

Unavailable = Callable[[str, str], NoReturn]
KernelDump = Callable[[str, str], Path]


def file_of(item: pytest.Item) -> str:
    """Return the path of a test's file, as its id has it."""
    return item.nodeid.split("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes long; mark what reads captures."""
    items.sort(key=lambda item: distribution.order(file_of(item)))
    for item in items:
        if "captures" in getattr(item, "fixturenames", ()):
            item.add_marker("captures")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Let brokers stop when this process's next test is of a file that does not ask for them."""
    yield
    leave_clusters(distribution.brokers_wanted(file_of(nextitem)) if nextitem is not None else ())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests: twice as many as there are processors, as a third of the time is spent waiting."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give out files in that order where several processes run them."""
    return distribution.scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


def captures_folder() -> Path:
    """Return where the captures are looked for: $PAGETRAIL_CAPTURES, by default ../shared/captures."""
    return Path(os.environ.get("PAGETRAIL_CAPTURES", REPOSITORY.parent / "shared" / "captures"))


def captures_are_expected() -> bool:
    """Say whether missing captures are a fault: somebody named a folder, or CI runs beside a shared one."""
    if "PAGETRAIL_CAPTURES" in os.environ:
        return True
    return os.environ.get("CI") == "true" and captures_folder().parent.is_dir()


def unavailable_here(what: str, reason: str) -> NoReturn:
    """Skip a test that needs *what*; fail it where *what* was promised ($PAGETRAIL_REQUIRE, a list of names)."""
    promised = os.environ.get("PAGETRAIL_REQUIRE", "").split()
    if what in promised or (what == "captures" and captures_are_expected()):
        pytest.fail(f"{what} is required here, and missing: {reason}", pytrace=False)
    pytest.skip(f"{what}: {reason}")


def pytest_report_header() -> list[str]:
    """Say once where the captures come from."""
    folder = captures_folder()
    return [f"captures: {folder}{'' if folder.is_dir() else ' (absent)'}"]


@pytest.fixture(scope="session")
def unavailable() -> Unavailable:
    """Call with (what, reason) where something outside of the repository is missing: skips, or fails where promised."""
    return unavailable_here


@pytest.fixture(scope="session")
def captures() -> Path:
    """Return the folder of recordings of real kernels."""
    folder = captures_folder()
    if not folder.is_dir():
        unavailable_here("captures", f"no folder {folder}; set PAGETRAIL_CAPTURES")
    return folder


@pytest.fixture(scope="session")
def kernel_dump(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> KernelDump:
    """Return a function (capture, snapshot) → path of the kernel's own page_owner text of that instant."""
    folder = folder_of_the_run(tmp_path_factory) / "kernel-dumps"

    def kernel_dump(capture: str, snapshot: str) -> Path:
        single = captures / capture / "snapshots" / snapshot / "page_owner.txt.zst"
        if single.exists():
            return made_once(folder, f"{capture}.{snapshot}.page_owner.txt", lambda text: _unpack_dump(single, text))
        unpacked = made_once(folder, capture, lambda dumps: _unpack_dumps(captures / capture, dumps))
        return unpacked / f"{snapshot}.page_owner.txt"

    return kernel_dump


def _unpack_dump(single: Path, text: Path) -> None:
    with single.open("rb") as packed, text.open("wb") as out:
        zstandard.ZstdDecompressor(max_window_size=WINDOW_SIZE).copy_stream(packed, out)


def _unpack_dumps(capture: Path, dumps: Path) -> None:
    """Write all dumps of an archive into the folder *dumps*: to find one of them, all before it are decompressed."""
    dumps.mkdir()
    unzstd = zstandard.ZstdDecompressor(max_window_size=WINDOW_SIZE)
    with (
        (capture / "page_owner_dumps.tar.zst").open("rb") as packed,
        unzstd.stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for entry in archive:
            snapshot = _SNAPSHOT_DUMP.fullmatch(entry.name)
            content = archive.extractfile(entry) if snapshot else None
            if snapshot and content is not None:
                with (dumps / f"{snapshot[1]}.page_owner.txt").open("wb") as out:
                    shutil.copyfileobj(content, out)
