"""The options that shape a fold, and the fold's name. Questions find a fold by its name, so nothing here loads the compiler."""

from dataclasses import dataclass, field
from typing import Final

from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.replay.rules.clients.client import Client
from pagetrail.schemas.linux.releases import KernelRules
from pagetrail.schemas.store.names import fold_name
from pagetrail.schemas.store.tables import DIGEST_VERSION, FOLD_VERSION

SEGMENT_FLOOR: Final = 1 << 20
"""Least number of events in a segment."""

EVENTS_A_LIVE: Final = 4
"""Least number of events in a segment for each span that is open at its end: the next segment has those again."""


SEGMENT_CEILING: Final = 1 << 22
"""With more events, a segment ends however many spans are open: its events are in memory, as are those that began the spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOptions:
    """What shapes a fold, beside its version. The fold keeps those page_ext *clients* that a recording's kernel needed."""

    correct: bool = True
    rules: KernelRules | None = None
    """The rules to fold by, whatever kernel was recorded; null: those of its release."""
    floor: int = SEGMENT_FLOOR
    events_a_live: int = EVENTS_A_LIVE
    ceiling: int = SEGMENT_CEILING
    clients: tuple[Client, ...] = field(default_factory=lambda: CLIENTS)

    @property
    def name(self) -> str:
        """The folder of the fold's segments."""
        return self._named(FOLD_VERSION)

    @property
    def digest_name(self) -> str:
        """The options, as they are hashed into chain digests."""
        return self._named(DIGEST_VERSION)

    def _named(self, version: int) -> str:
        clients = [client.name for client in self.clients]
        return fold_name(
            correct=self.correct, clients=clients, rules=self.rules.name if self.rules else None, version=version
        )
