"""Questions of a trail whose log is a topic: the store answers them, and nothing is said of a log that the trail does not have."""

import uuid
from itertools import zip_longest

import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.schemas.errors import NotFound
from pagetrail.schemas.log.address import parse_log_address
from tests.commands.cli import run
from tests.conftest import REPOSITORY
from tests.kafka.client import Kafka

DEMO = REPOSITORY / "pagetrail" / "demo_data" / "host-b"
NOWHERE = dict.fromkeys(("log_partition", "log_offset", "evidence_log_partition", "evidence_log_offset"))
PAGES = (0x1802, 0x4D99)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """The demo's recording, with its log in the trail."""
    trail = tmp_path_factory.mktemp("beside")
    api.ingest(trail, DEMO)
    api.replay(trail)
    return api.open(trail)


@pytest.fixture(scope="module")
def log(kafka: Kafka) -> str:
    """A topic with the demo's recording."""
    topic = f"elsewhere-{uuid.uuid4().hex}"
    kafka.create_topic(topic, partitions=3)
    log = f"kafka://{kafka.bootstrap}/{topic}"
    api.ingest(".", DEMO, log=parse_log_address(log))
    return log


@pytest.fixture(scope="module")
def elsewhere(log: str, tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """A trail whose log is that topic."""
    trail = tmp_path_factory.mktemp("elsewhere")
    api.replay(trail, log=parse_log_address(log))
    return api.open(trail)


def test_a_topic_answers_as_a_trails_own_log_does_and_no_offset_of_it_is_known(beside: Trail, elsewhere: Trail) -> None:
    for at in ("@3-t3", "@5-t5"):
        ours, theirs = (trail.owner(PAGES, at).to_pylist() for trail in (elsewhere, beside))
        assert all(row["log_offset"] is not None for row in theirs)
        assert ours == [row | NOWHERE for row in theirs]


def test_a_history_is_the_same_whichever_log_it_was_made_from(beside: Trail, elsewhere: Trail) -> None:
    ours, theirs = (trail.history(PAGES[1]).to_pylist() for trail in (elsewhere, beside))
    assert [row | NOWHERE for row in ours] == [row | NOWHERE for row in theirs]


def test_a_proof_names_its_event_and_does_not_say_that_a_topic_has_lost_it(elsewhere: Trail) -> None:
    done = run("owner", hex(PAGES[1]), "--at", "@5-t5", "--trail", elsewhere.path)
    assert (done.code, done.err) == (0, "")
    recording = elsewhere.owner(PAGES[1:], "@5-t5")["recording"][0].as_py()
    assert f"proof     event 62040 of recording {recording}, not in the trail's own log\n" in done.out


def test_a_topic_shows_the_event_that_a_proof_names(beside: Trail, elsewhere: Trail, log: str) -> None:
    row = beside.owner(PAGES[1:], "@5-t5").to_pylist()[0]
    expected = run("event", str(row["log_offset"]), str(row["event"]), "--trail", beside.path).out
    named = ("--recording", row["recording"], str(row["event"]))
    for where in (("--trail", beside.path), ("--trail", elsewhere.path, "--log", log)):
        assert run("event", *named, *where).out == expected != ""
    (partition,) = (p for p in range(3) if (run("event", "0", "--partition", str(p), "--log", log).code == 0))
    whole = run("event", "0", "--partition", str(partition), "--log", log).out
    differ = [
        pair
        for pair in zip_longest(whole.splitlines(), run("event", "0", "--trail", beside.path).out.splitlines())
        if pair[0] != pair[1]
    ]
    assert (whole != "", differ[:3]) == (True, [])


@pytest.mark.parametrize("named", [("no-such-recording", "1"), (None, "99999999")])
def test_an_event_that_a_topic_does_not_hold_is_not_found(
    beside: Trail, log: str, named: tuple[str | None, str]
) -> None:
    recording = named[0] or beside.owner(PAGES[1:], "@5-t5")["recording"][0].as_py()
    done = run("event", "--recording", recording, named[1], "--log", log)
    assert (done.code, done.out) == (3, "")
    assert f"event {named[1]} of recording {recording}: the log does not hold it" in done.err


def test_events_are_not_looked_for_in_a_log_that_the_trail_does_not_have(elsewhere: Trail) -> None:
    with pytest.raises(NotFound, match="has no log of its own: its store was made from a topic of Apache Kafka"):
        api.events(elsewhere.path, 0)
