"""What a synthetic load is: its size, its seed, and the names that follow from them."""

from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Final

from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.linux.mmzone import MAX_ORDER

GENERATOR: Final = 1
"""Version of the generator: it rises when a load of the same numbers has other events, which then have another boot."""

LARGEST: Final = {
    "events": 10_000_000_000,
    "pages": 1 << 28,  # 1 TiB; 4 bytes of memory each
    "hosts": 100_000,
    "seed": (1 << 63) - 1,
    "max_order": MAX_ORDER - 1,
    "rate": 1_000_000,  # times are whole microseconds, and rise
}
_LEAST: Final = {"events": 1, "pages": 2, "hosts": 1, "seed": 0, "max_order": 0, "rate": 1_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A synthetic load. Equal values give equal events, whatever the machine.

    Attributes
    ----------
    events
        Allocations and frees of each host.
    pages
        Page frames of each host.
    live
        How many pages are allocated once the load is steady: it begins with that many allocations. At most half of *pages*.
    hosts
        How many there are: ``host-1`` and so on. The events of one do not depend on how many there are.
    seed
        Another one gives other events, and each host another boot.
    max_order
        Blocks have orders 0 to this; each order is eight times rarer than the one below.
    rate
        Events a second of trace time, on average.

    Raises
    ------
    BadArgument
        A value is outside of its limits.
    """

    events: int = 1_000_000
    pages: int = 1 << 20
    live: int = 400_000
    hosts: int = 1
    seed: int = 1
    max_order: int = 0
    rate: int = 200_000

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            _check(name, getattr(self, name), _LEAST[name], most)
        _check("live", self.live, 1, self.pages // 2, " (half of --pages)")

    def host(self, number: int) -> "LoadHost":
        """Return host *number* of the load, from 1."""
        if not 1 <= number <= self.hosts:
            raise ValueError(f"a load of {self.hosts} hosts has no host {number}")
        return LoadHost(load=self, number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadHost:
    """One host of a load: its events are one recording."""

    load: Load
    number: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"host-{self.number}"

    @property
    def recording_id(self) -> str:
        """The id of its recording: 32 hexadecimal digits."""
        return self._digest().hex()

    @property
    def boot_id(self) -> str:
        """Its boot id, in the form of /proc/sys/kernel/random/boot_id."""
        digits = self.recording_id
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    @property
    def first_state(self) -> int:
        """The state in which its random numbers begin: 63 bits, not zero. It does not depend on the count of events."""
        digest = blake2b(f"{GENERATOR} {self.load.seed} {self.number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1 | 1

    def _digest(self) -> bytes:
        events, pages, live, _hosts, *others = astuple(self.load)
        return blake2b(repr((GENERATOR, events, pages, live, self.number, *others)).encode(), digest_size=16).digest()


def _check(name: str, value: int, least: int, most: int, what: str = "") -> None:
    if not least <= value <= most:
        raise BadArgument(f"--{name.replace('_', '-')}: expected {least:,} to {most:,}{what}, found {value:,}")
