"""Replay from the log into segments and tips, resuming where the last replay stopped."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.memory import Memory
from pagetrail.replay.run.open_stream import OpenStream
from pagetrail.replay.run.partition import PartitionReplay, ReplaySettings
from pagetrail.replay.run.report import ReplayReport, StreamKey
from pagetrail.replay.store.cut import partition_name
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.log.contract import MAX_READ_BYTES, LogReader
from pagetrail.schemas.store.contract import Store

POLL_SECONDS = 0.5


class Replayer:
    """Folds all partitions of a log into one trail's store, in turns. It holds the trail's lock on each partition meanwhile.

    Parameters
    ----------
    store
        The store to publish segments in; null: the trail's own.
    memory
        How much memory the streams may take; null: see ``Memory``.
    """

    def __init__(
        self,
        trail: Path,
        reader: LogReader,
        *,
        store: Store | None = None,
        options: FoldOptions | None = None,
        read_bytes: int = MAX_READ_BYTES,
        memory: Memory | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.reader, self.on_progress = reader, on_progress
        self._trail = trail
        self.settings = ReplaySettings(
            store=store_of(trail) if store is None else store,
            options=options or FoldOptions(),
            read_bytes=read_bytes,
            memory=memory or Memory(),
        )
        self.report = ReplayReport()
        self._partitions: list[PartitionReplay] = []

    @property
    def streams(self) -> dict[StreamKey, OpenStream]:
        """The streams in memory."""
        return {key: stream for replayed in self._partitions for key, stream in replayed.streams.items()}

    def run(self, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> ReplayReport:
        """Replay to the end of the log, or with *follow* until *stop*; folded events are kept in any case.

        Raises
        ------
        TrailBusy
            Another replay of this fold is running on the trail.
        StorageFull
            No space left; sealed segments are complete, and the same command resumes from them.
        """
        with ExitStack() as locks:
            partitions = self.reader.partitions()
            for partition in partitions:
                name = partition_name(self.reader.log_id, partition)
                locks.enter_context(replay_lock(self._trail, self.settings.fold, name))
            self._partitions = [PartitionReplay(self.reader, p, self.settings, self.report) for p in partitions]
            for replayed in self._partitions:
                locks.callback(replayed.close)
            self._turns(follow, stop)
            for replayed in self._partitions:
                replayed.save()
        return self.report

    def _turns(self, follow: bool, stop: Callable[[], bool]) -> None:
        """Give each partition its turn, until none has more, or *stop*."""
        while not stop():
            moved = False
            total = sum(self.reader.high_watermark(r.partition) - r.start for r in self._partitions)
            for replayed in self._partitions:
                moved |= replayed.step(stop, lambda total=total: self._progress(total))  # type: ignore[misc]
                if stop():
                    return
            if not moved and not follow:
                return
            if not moved:
                time.sleep(POLL_SECONDS)

    def _progress(self, total: int) -> None:
        self.on_progress(sum(replayed.offset - replayed.start for replayed in self._partitions), total)
