"""Questions of a trail whose log is a topic: the store answers them, and nothing is said of a log that the trail does not have."""

import pytest

from pagetrail import api
from pagetrail.api import Trail
from pagetrail.schemas.errors import NotFound
from pagetrail.schemas.log_address import parse_log_address
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
def elsewhere(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """The demo's recording, with its log on Kafka."""
    trail = tmp_path_factory.mktemp("elsewhere")
    topic = f"{__name__}-{trail.parent.name}-{trail.name}"
    kafka.create_topic(topic, partitions=3)
    log = parse_log_address(f"kafka://{kafka.bootstrap}/{topic}")
    api.ingest(trail, DEMO, log=log)
    api.replay(trail, log=log)
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
    assert "proof     event 62037, not in the trail's own log\n" in done.out


def test_events_are_not_looked_for_in_a_log_that_the_trail_does_not_have(elsewhere: Trail) -> None:
    with pytest.raises(NotFound, match="has no log of its own: its store was made from a topic of Apache Kafka"):
        api.events(elsewhere.path, 0)
