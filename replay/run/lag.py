"""How far replay has come in a log, from the cuts in the store: nobody who replays is asked, and nobody is disturbed."""

import time
from dataclasses import dataclass

from pagetrail.replay.store.cut import part_name, read_cut
from pagetrail.schemas.log.contract import LogReader
from pagetrail.schemas.store.contract import Store

FRESH_SECONDS = 30.0
"""A rate in a cut that nobody has written for so long is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """How far a fold has come in one partition.

    Attributes
    ----------
    log_end, reached, resume
        Offsets: the log's end, what replay has read, and from where it would read again if it stopped now.
    rates
        By (host, boot_id), events a second; none where nothing was folded of late.
    held
        By (host, boot_id), the offset at which a stream waits or has halted, and why.
    losses
        What the log was found to have lost.
    """

    partition: int
    log_end: int
    reached: int
    resume: int
    rates: dict[tuple[str, str], float]
    held: dict[tuple[str, str], tuple[int, str]]
    losses: tuple[str, ...]

    def frames_behind(self, key: tuple[str, str]) -> int:
        """Return how many offsets of its partition lie between what was replayed of a stream and the log's end.

        They are frames of all hosts in the partition: an upper bound.
        """
        held = self.held.get(key)
        return max(self.log_end - (self.reached if held is None else held[0]), 0)


def lag_of(store: Store, fold: str, reader: LogReader, partition: int) -> PartitionLag:
    """Return how far *fold* has come in one partition of a log."""
    cut = read_cut(store, fold, part_name(reader.log_id, partition))
    low = reader.low_watermark(partition)
    fresh = time.time() - cut.written < FRESH_SECONDS
    return PartitionLag(
        partition=partition, log_end=reader.high_watermark(partition), reached=max(cut.reached, low),
        resume=max(cut.offset, low), rates=cut.rates if fresh else {}, held=cut.held, losses=cut.losses,
    )  # fmt: skip
