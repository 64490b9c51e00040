"""Which process runs which tests, and when.

Files are run as a whole, long ones first; those that want the three brokers are run in turn, and those that want one broker
together, so that brokers need not run for long. Last come tests that need nothing in common: one by one, so that no process is
left with a file at the end.
"""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

REPOSITORY = Path(__file__).resolve().parent.parent

_LONG = ("subprocess", "captures", "tests.commands")
"""Files in which one of these words stands start processes, or read long recordings."""
_BROKER = ("kafka", "contracts.backends")
"""Files in which one of these words stands may ask for the one broker."""
_BY_CAPTURE = ("tests/captures/test_by_release.py", "tests/captures/test_certainty.py")
"""Their tests share what is read of a recording, which their ids name, and nothing else."""
_CAPTURE = re.compile(r"\[((?:[a-z0-9]+-)??(?:basic|lossy|probes|small|stack|thpmig))\b")
_ONE_BY_ONE = (
    "tests/mutations/",
    "tests/properties/",
)
"""Their tests share nothing, or what processes share."""


class FilesInTurn(LoadFileScheduling):
    """Files as ``--dist loadfile`` gives them out, but those of the three brokers as one, and some by recording or test."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_ONE_BY_ONE):
            return nodeid
        file = str(super()._split_scope(nodeid))
        if nodeid.startswith(_BY_CAPTURE):
            named = _CAPTURE.search(nodeid)
            return f"{file} {named[1]}" if named else file
        return "three brokers" if wants_the_three_brokers(file) else file


def scheduler(config: pytest.Config, log: Any) -> FilesInTurn:
    """Return the scheduler of a run; files come in the order in which they were collected."""
    config.option.loadscopereorder = False  # by number of tests, few long ones would come last
    return FilesInTurn(config, log)


def order(file: str) -> int:
    """Return when a file's turn is: what takes long comes first, what can be given out one by one last."""
    if wants_the_three_brokers(file):
        return 0
    if file.startswith(_ONE_BY_ONE):
        return 4
    if wants_a_broker(file):
        return 1
    return 2 if any(word in _text(file) for word in _LONG) else 3


def brokers_wanted(file: str) -> set[int]:
    """Return how many brokers the clusters have that tests of a file ask for."""
    return {brokers for brokers, wants in ((1, wants_a_broker), (3, wants_the_three_brokers)) if wants(file)}


def wants_a_broker(file: str) -> bool:
    """Whether tests of a file may ask for ``kafka``."""
    return any(word in _text(file) for word in _BROKER)


def wants_the_three_brokers(file: str) -> bool:
    """Whether tests of a file ask for ``kafka_cluster``."""
    return "kafka_cluster" in _text(file)


@functools.cache
def _text(file: str) -> str:
    path = REPOSITORY / file
    return path.read_text() if path.is_file() else ""
