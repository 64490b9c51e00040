"""Replay: from the log into segments and tips, going on where it stopped."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.run.open_stream import OpenStream
from pagetrail.replay.run.partition import PartitionReplay, ReplayReport, ReplaySettings, StreamKey
from pagetrail.replay.store.cut import part_name
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.log.contract import MAX_READ_BYTES, LogReader
from pagetrail.schemas.store.contract import Store

POLL_SECONDS = 0.5


class Replayer:
    """Folds all partitions of a log into one trail's store, in turns. It holds the trail's lock of each meanwhile.

    Parameters
    ----------
    store
        Where to publish segments; null: in the trail.
    """

    def __init__(
        self,
        trail: Path,
        reader: LogReader,
        *,
        store: Store | None = None,
        options: FoldOptions | None = None,
        read_bytes: int = MAX_READ_BYTES,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.reader, self.on_progress = reader, on_progress
        self._trail = trail
        self.settings = ReplaySettings(
            store=store_of(trail) if store is None else store, options=options or FoldOptions(), read_bytes=read_bytes
        )
        self.report = ReplayReport()
        self._parts: list[PartitionReplay] = []

    @property
    def streams(self) -> dict[StreamKey, OpenStream]:
        """The streams in memory."""
        return {key: stream for part in self._parts for key, stream in part.streams.items()}

    def run(self, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> ReplayReport:
        """Replay to the end of the log, or with *follow* until *stop*; what was folded is kept in any case.

        Raises
        ------
        TrailBusy
            Another replay of this fold is running on the trail.
        StorageFull
            No space left; sealed segments are whole, the same command goes on from them.
        """
        with ExitStack() as locks:
            partitions = self.reader.partitions()
            for partition in partitions:
                part = part_name(self.reader.log_id, partition)
                locks.enter_context(replay_lock(self._trail, self.settings.fold, part))
            self._parts = [PartitionReplay(self.reader, p, self.settings, self.report) for p in partitions]
            self._turns(follow, stop)
            for replayed in self._parts:
                replayed.save()
        return self.report

    def _turns(self, follow: bool, stop: Callable[[], bool]) -> None:
        """Give each partition its turn, until none has more, or *stop*."""
        while not stop():
            moved = False
            total = sum(self.reader.high_watermark(part.partition) - part.start for part in self._parts)
            for replayed in self._parts:
                moved |= replayed.step(stop, lambda total=total: self._progress(total))  # type: ignore[misc]
                if stop():
                    return
            if not moved and not follow:
                return
            if not moved:
                time.sleep(POLL_SECONDS)

    def _progress(self, total: int) -> None:
        self.on_progress(sum(part.offset - part.start for part in self._parts), total)
