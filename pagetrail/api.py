"""The Python API, and the one door: commands, pages for people and programs call this module, and nothing behind it.

``open`` gives a ``Trail``, which answers questions; ``ingest`` and ``replay`` fill one; ``publish`` sends what it holds to
others; ``synth`` makes a load to measure with. Answers are Arrow tables or plain values. Instants are what TIME is on the command
line: a string, or an int of nanoseconds of the trace clock. With *as_of*, an answer is what was believed at that time: it uses
only evidence up to then. That time lies at or after the instant asked for (else
``NotFound``).

Each name is loaded when it is first asked for: ``pagetrail --help`` needs no DuckDB, and a question no client of Kafka.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pagetrail.collecting.keeping import beyond as beyond
    from pagetrail.collecting.keeping import remove_beyond as remove_beyond
    from pagetrail.collecting.outdated import Outdated as Outdated
    from pagetrail.collecting.outdated import outdated as outdated
    from pagetrail.collecting.outdated import remove_outdated as remove_outdated
    from pagetrail.dumps_alone import dumps_in_order as dumps_in_order
    from pagetrail.dumps_alone import stack_handles_among as stack_handles_among
    from pagetrail.ingesting import ingest as ingest
    from pagetrail.ingesting import ingest_all as ingest_all
    from pagetrail.log_events import events as events
    from pagetrail.log_events import events_of as events_of
    from pagetrail.log_events import time_text_of as time_text_of
    from pagetrail.pair_files import PairsRead as PairsRead
    from pagetrail.pair_files import read_pairs as read_pairs
    from pagetrail.producers.capture.snapshots import sums_of as sums_of
    from pagetrail.producers.formats.perf_data.several import outputs_among as outputs_among
    from pagetrail.producers.inputs import hash_ahead as hash_ahead
    from pagetrail.producers.log.ingest import IngestReport as IngestReport
    from pagetrail.producers.log.topic import (
        TopicReport as TopicReport,
    )
    from pagetrail.producers.log.topic import (
        create_topic as create_topic,
    )
    from pagetrail.producers.log.topic import (
        describe_topic as describe_topic,
    )
    from pagetrail.producers.log.topic_plan import (
        PARTITIONS_WHY as PARTITIONS_WHY,
    )
    from pagetrail.producers.log.topic_plan import (
        REPLICATION_WHY as REPLICATION_WHY,
    )
    from pagetrail.producers.log.topic_plan import (
        SETTINGS_WHY as SETTINGS_WHY,
    )
    from pagetrail.producers.log.topic_plan import (
        TopicPlan as TopicPlan,
    )
    from pagetrail.producers.synth.load import Load as Load
    from pagetrail.producers.synth.load import LoadHost as LoadHost
    from pagetrail.publishing import PublishReport as PublishReport
    from pagetrail.publishing import publish as publish
    from pagetrail.queries.core.filters import NO_FILTER as NO_FILTER
    from pagetrail.queries.core.filters import Filters as Filters
    from pagetrail.queries.holders.attributes import BY as BY
    from pagetrail.queries.holders.attributes import By as By
    from pagetrail.queries.holders.attributes import ByOfAll as ByOfAll
    from pagetrail.queries.holders.sums import SumsOfAll as SumsOfAll
    from pagetrail.queries.questions.owner import ANSWER_COLUMNS as ANSWER_COLUMNS
    from pagetrail.replay.run.report import ReplayReport as ReplayReport
    from pagetrail.replaying import replay as replay
    from pagetrail.schemas.compat import check_published_schemas as check_published_schemas
    from pagetrail.schemas.compat import check_schema as check_schema
    from pagetrail.schemas.publish import published_schema as published_schema
    from pagetrail.schemas.store.memory import give_back_at_once as give_back_at_once
    from pagetrail.sharing import parse_mode as parse_mode
    from pagetrail.sharing import share as share
    from pagetrail.synthesizing import ingest_arguments as ingest_arguments
    from pagetrail.synthesizing import synth as synth
    from pagetrail.synthesizing import synth_text as synth_text
    from pagetrail.trail import Time as Time
    from pagetrail.trail import Trail as Trail
    from pagetrail.trail import open as open  # noqa: A004  # pagetrail.open reads well
    from pagetrail.verifying import verify as verify


_FILES: Final = {
    "collecting.keeping": ("beyond", "remove_beyond"),
    "collecting.outdated": ("Outdated", "outdated", "remove_outdated"),
    "dumps_alone": ("dumps_in_order", "stack_handles_among"),
    "ingesting": ("ingest", "ingest_all"),
    "log_events": ("events", "events_of", "time_text_of"),
    "producers.capture.snapshots": ("sums_of",),
    "producers.formats.perf_data.several": ("outputs_among",),
    "producers.inputs": ("hash_ahead",),
    "producers.log.ingest": ("IngestReport",),
    "producers.log.topic": ("TopicReport", "create_topic", "describe_topic"),
    "producers.log.topic_plan": ("PARTITIONS_WHY", "REPLICATION_WHY", "SETTINGS_WHY", "TopicPlan"),
    "pair_files": ("PairsRead", "read_pairs"),
    "producers.synth.load": ("Load", "LoadHost"),
    "publishing": ("PublishReport", "publish"),
    "queries.core.filters": ("NO_FILTER", "Filters"),
    "queries.holders.attributes": ("BY", "By", "ByOfAll"),
    "queries.holders.sums": ("SumsOfAll",),
    "queries.questions.owner": ("ANSWER_COLUMNS",),
    "replay.run.report": ("ReplayReport",),
    "schemas.store.memory": ("give_back_at_once",),
    "replaying": ("replay",),
    "schemas.compat": ("check_published_schemas", "check_schema"),
    "schemas.publish": ("published_schema",),
    "sharing": ("parse_mode", "share"),
    "synthesizing": ("ingest_arguments", "synth", "synth_text"),
    "trail": ("Time", "Trail", "open"),
    "verifying": ("verify",),
}
"""The file of each name, the same that type checkers read above."""

_FILE_OF: Final = {name: file for file, names in _FILES.items() for name in names}

__all__ = list(_FILE_OF)


def __getattr__(name: str) -> Any:
    """Load a name of the API when it is first asked for (PEP 562)."""
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"pagetrail.{_FILE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the names of the API."""
    return sorted(_FILE_OF)
