"""Whose names of gfp flags each recording's masks were read with: two recordings of one boot may have been read differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pagetrail.replay.facts.boots import merged
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.schemas.details import Boot
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.releases import gfp_of, gfp_read_as

_SYMBOLIC: Final = ("ftrace-text", "perf-script", "capture-directory")
"""Formats in which gfp flags stand as names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GfpNames:
    """How a recording's gfp masks were read.

    Attributes
    ----------
    flags
        The bit of each name.
    read_for
        The releases whose names were taken for want of the recorded kernel's own; null: they are its own.
    """

    flags: Mapping[str, int]
    read_for: str | None = None


def names_of_boot(boot: Boot | None) -> GfpNames:
    """Return the names that a boot's kernel prints: its own table, else that of its release."""
    return GfpNames(flags=(boot.gfp_flags if boot else None) or gfp_of(boot.release if boot else None).flags)


def names_of(recording: StreamRecording, boots: Sequence[tuple[int, Boot]], whole: Boot | None) -> GfpNames:
    """Return how the masks of a recording were read: what it says of its own kernel counts before what others of the boot say.

    Readers before version 4 of the events took the names of 6.1, if there was no format file, and said nothing.
    """
    if recording.gfp_read_for is not None:
        return GfpNames(flags=gfp_read_as(recording.gfp_read_for), read_for=recording.gfp_read_for)
    first, last = recording.first_ts, recording.last_ts
    own = merged([boot for ts, boot in boots if first is not None and last is not None and first <= ts <= last])
    boot = own if own is not None and (own.gfp_flags or own.release) else whole
    if not recording.tells_losses and recording.format in _SYMBOLIC and not (boot and boot.gfp_flags):
        found = gfp_of(boot.release if boot else None)
        if not found.known or found.flags != GFP_FLAGS_6_1:
            return GfpNames(flags=GFP_FLAGS_6_1, read_for="Linux 6.1")
    return names_of_boot(boot)
