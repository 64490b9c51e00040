"""The result of a replay."""

from dataclasses import dataclass, field

from pagetrail.schemas.frames import RecordingKey

StreamKey = tuple[str, str]
"""Host and boot_id."""


@dataclass(slots=True)
class ReplayReport:
    """The result of a replay."""

    events: int = 0
    frames: int = 0
    segments: int = 0
    halted: dict[StreamKey, str] = field(default_factory=dict)
    refused: dict[RecordingKey, str] = field(default_factory=dict)
    superseded: dict[RecordingKey, str] = field(default_factory=dict)
    waiting: dict[StreamKey, str] = field(default_factory=dict)
    remade: dict[str, str] = field(default_factory=dict)
    """By path, what was wrong with a file that was removed, and is made again from the log."""
    unwritten: str = ""
    """Why the cut could not be written: the next replay reads more of the log again."""
    losses: list[str] = field(default_factory=list)
    foreign: int = 0
    """Number of skipped messages that are not frames of pagetrail."""
    last_foreign: str = ""
    """The place of the last of them."""
