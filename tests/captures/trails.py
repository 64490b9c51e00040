"""Recordings as replayed trails, made once a test run and shared by all of its processes."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow as pa

from pagetrail import api
from tests.oracles.kernel_truth import Touched
from tests.shared import made_once

LONGEST_READING = 4_000_000_000


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A capture, and the trail that it was replayed into (audited by its later dumps, never corrected)."""

    capture: Path
    path: Path

    def opened(self) -> api.Trail:
        """Open the trail for questions."""
        return api.open(self.path, correct=False)

    @cached_property
    def touched(self) -> Touched:
        """The pages that events name."""
        return Touched(self.path)

    def markers(self) -> dict[str, int]:
        """Return the trace time (ns) of every snapshot's markers, by ``NAME what``."""
        found = self.opened().markers()
        named: dict[str, int] = {}
        for ts, text in zip(found["ts"].to_pylist(), found["text"].to_pylist(), strict=True):
            words = text.split()
            if words[:1] == ["SNAPSHOT"] and len(words) > 2:
                named[f"{words[1]} {words[2]}"] = ts
        return named

    def agreement(self) -> list[tuple[object, ...]]:
        """Return of each dump its name, its records, how many of them agree, and how many are ours alone."""
        shown = ("name", "records", "agree", "extra")
        return [tuple(audit[name] for name in shown) for audit in self.opened().audits().to_pylist()]

    def window(self, snapshot: str) -> tuple[int, int, int]:
        """Return when (trace time, ns) the kernel began to be read, when its dump was, and when all of it was.

        The last marker may be lost; then it is what a snapshot takes at most.
        """
        markers = self.markers()
        dumped = markers[f"{snapshot} page_owner_end"]
        return markers[f"{snapshot} begin"], dumped, markers.get(f"{snapshot} end", dumped + LONGEST_READING)

    def snapshots(self) -> list[str]:
        """Return the names of the snapshots that have a dump, in their order."""
        audits: pa.Table = self.opened().audits()
        return list(audits["name"].to_pylist())


@lru_cache(maxsize=4)  # what was read of a recording serves the tests that follow
def replayed(capture: Path, shared: Path, *, probes: bool = True) -> Replayed:
    """Return the trail of *capture* below *shared*; whichever process comes first makes it."""

    def make(trail: Path) -> None:
        api.ingest(trail, capture, probes=probes)
        api.replay(trail, correct=False)

    name = f"{capture.parent.name}-{capture.name}" + ("" if probes else "-probes-ignored")
    return Replayed(capture=capture, path=made_once(shared, name, make))
