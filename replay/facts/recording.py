"""One recording of a stream: its place, and what its begin says of it."""

from dataclasses import dataclass
from typing import Final

from pagetrail.schemas.frames import FRAME_VERSION

_LOSSES_TOLD_SINCE: Final = 4


@dataclass(slots=True, kw_only=True)
class StreamRecording:
    """One recording's place in the stream."""

    recording: str
    base_seq: int
    next_seq: int = 0
    next_frame: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    complete: bool = False
    format: str = ""
    source: str = ""
    clock_skew: int = 0
    version: int = FRAME_VERSION
    """Version of its frames."""
    supersedes: str | None = None
    """The recording whose place it takes."""
    gfp_read_for: str | None = None
    """Whose names of gfp flags its reader had to take, not knowing those of the recorded kernel; null: it knew them."""
    counting_clock: str | None = None
    """The name of its trace clock, if that only counts; null: its times are ns."""
    page_size_given: bool = False
    """Whether its operator said how large the machine's pages are."""
    page_size_guessed: bool = False
    """Whether its capture has files of its boot, and none of them says how large a page is."""

    @property
    def tells_losses(self) -> bool:
        """Whether its events name what its reader could not read. Readers before version 4 only counted it, in its end."""
        return self.version >= _LOSSES_TOLD_SINCE
