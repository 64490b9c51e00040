"""How far replay has come in a log, from the cuts in the store alone: running replays are neither asked nor disturbed."""

import time
from dataclasses import dataclass

from pagetrail.replay.store.cut import partition_name, read_cut
from pagetrail.schemas.log.contract import LogReader
from pagetrail.schemas.store.contract import Store

FRESH_SECONDS = 30.0
"""Age of a cut, in seconds, above which its rates are out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """How far a fold has come in one partition.

    Attributes
    ----------
    log_end, reached, resume
        Offsets: the log's end, the end of what replay has read, and the offset from which a resume would read.
    rates
        Events a second by (host, boot_id); empty where nothing was folded lately.
    held
        By (host, boot_id), the offset at which a stream waits or has halted, and why.
    losses
        Losses that were found in the log.
    """

    partition: int
    log_end: int
    reached: int
    resume: int
    rates: dict[tuple[str, str], float]
    held: dict[tuple[str, str], tuple[int, str]]
    losses: tuple[str, ...]

    def frames_behind(self, key: tuple[str, str]) -> int:
        """Return the number of offsets between the last replayed frame of a stream and the end of its partition.

        They are frames of all hosts in the partition, so this is an upper bound.
        """
        held = self.held.get(key)
        return max(self.log_end - (self.reached if held is None else held[0]), 0)


def lag_of(store: Store, fold: str, reader: LogReader, partition: int) -> PartitionLag:
    """Return how far *fold* has come in one partition of a log."""
    cut = read_cut(store, fold, partition_name(reader.log_id, partition))
    low = reader.low_watermark(partition)
    fresh = time.time() - cut.written < FRESH_SECONDS
    return PartitionLag(
        partition=partition, log_end=reader.high_watermark(partition), reached=max(cut.reached, low),
        resume=max(cut.offset, low), rates=cut.rates if fresh else {}, held=cut.held, losses=cut.losses,
    )  # fmt: skip
