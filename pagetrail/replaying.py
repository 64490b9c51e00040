"""Replaying: the log of a trail, or a topic, into the segments of the trail."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.releases import rules_named
from pagetrail.schemas.log.address import EXPECTED, KafkaAddress
from pagetrail.schemas.store.tables import STORE_FORMAT

if TYPE_CHECKING:
    from pagetrail.replay.log.kafka import KafkaLogReader
    from pagetrail.replay.run.report import ReplayReport


def replay(
    trail: str | Path,
    *,
    correct: bool = True,
    rules: str | None = None,
    follow: bool = False,
    log: KafkaAddress | None = None,
    group: str | None = None,
    memory: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_trouble: Callable[[str], None] = lambda message: None,
    on_notice: Callable[[str], None] = lambda message: None,
) -> "ReplayReport":
    """Fold a trail's log, or the topic *log*, into the trail's segments, from where it stopped; see ``Replayer.run``.

    *rules* names the kernel release by whose rules it is folded, whatever kernel was recorded: into a fold of its own, beside the
    automatic one, which follows each boot's release.

    *memory* is how many bytes the states of streams may take; null: 2 GiB, and more for a single one that needs more. Where they
    take more, idle ones leave memory, and a segment is no longer written while the next one is folded. A stream that takes more by
    itself is halted: the report says why, and a replay with more memory continues.

    With *group*, replay as a member of that consumer group: see ``GroupReplayer.run``; it calls *on_trouble* with a message for
    trouble that may pass. It calls *on_notice* where it makes a store beside one of another format.

    Raises
    ------
    BadArgument
        A group was named, and no topic, or there are no rules of that name.
    TrailMissing, TrailBusy, LogError
        There is no log to read, or another replay of the same fold is running.
    """
    # imported here: jit functions take half a second to import, and questions do not need them
    from pagetrail.replay.rules.fold_options import FoldOptions
    from pagetrail.replay.run.memory import Memory
    from pagetrail.replay.run.partition import ReplaySettings
    from pagetrail.replay.run.replayer import Replayer
    from pagetrail.replay.store.local import has_store_of_another_format, store_of

    may_take = Memory() if memory is None else Memory(most=memory, strict=True)
    if has_store_of_another_format(Path(trail)) and not store_of(Path(trail)).is_there():
        on_notice(
            f"the segments of {trail} are of another format than this pagetrail's ({STORE_FORMAT}): new ones are made from the "
            "log, beside them; 'pagetrail gc' removes the others afterwards"
        )
    options = FoldOptions(correct=correct, rules=None if rules is None else rules_named(rules))
    if group is not None:
        if log is None:
            raise BadArgument(f"--group requires --log {EXPECTED}")
        from pagetrail.replay.log.kafka import KafkaLogReader, ReadLimits
        from pagetrail.replay.run.group import READ_SECONDS, STEP_BYTES, GroupReplayer, Membership

        settings = ReplaySettings(store=store_of(Path(trail)), options=options, read_bytes=STEP_BYTES, memory=may_take)
        with KafkaLogReader(log, ReadLimits(seconds=READ_SECONDS)) as topic:
            membership = Membership(address=log, group=group, on_trouble=on_trouble)
            return GroupReplayer(topic, membership, settings, on_progress=on_progress).run(follow=follow, stop=stop)
    with _reader(Path(trail), log) as reader:
        replayer = Replayer(Path(trail), reader, options=options, memory=may_take, on_progress=on_progress)
        return replayer.run(follow=follow, stop=stop)


def _reader(trail: Path, log: KafkaAddress | None) -> "SqliteLogReader | KafkaLogReader":
    if log is None:
        return SqliteLogReader(trail)
    from pagetrail.replay.log.kafka import KafkaLogReader  # here: a trail's own log needs no client of Kafka

    return KafkaLogReader(log)
