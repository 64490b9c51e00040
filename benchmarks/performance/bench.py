"""What the parts of a benchmark share: how much is measured, where, and how a trail is replayed from its log alone."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.performance.results import Results
from benchmarks.performance.running import pagetrail

COMPILED_EVENTS = "20k"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A benchmark: *events* of the load, *runs* of each command, a *folder* for what is made.

    Attributes
    ----------
    pages, live
        Of the load.
    sizes
        Counts of events that the cost is compared at.
    questions
        Single questions of each run.
    copies
        Hosts that the recording of a real kernel is given to.
    captures
        Folder of recordings of real kernels; null: only the demo's is there.
    """

    results: Results
    folder: Path
    events: int
    runs: int
    pages: int
    live: int
    sizes: tuple[int, ...]
    questions: int
    copies: int
    captures: Path | None

    def synth(self, *arguments: str | Path, events: int | None = None) -> None:
        """Make the load: into a trail or a file, as *arguments* say."""
        count = self.events if events is None else events
        pagetrail("synth", "--events", str(count), "--pages", str(self.pages), "--live", str(self.live), *arguments)

    def capture(self, name: str) -> Path | None:
        """Return the recording *name* of a real kernel; null: it is not there."""
        found = None if self.captures is None else self.captures / name
        return found if found is not None and found.is_dir() else None


class LoggedTrail:
    """A trail whose log is whole: its store can be made again and again, whatever it consists of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._of_the_log = {entry.name for entry in path.iterdir()}

    def forget(self) -> None:
        """Remove all that a replay has added."""
        for entry in self.path.iterdir():
            if entry.name not in self._of_the_log:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def compile_all(folder: Path) -> None:
    """Compile jit functions, and load files: ingest of text, replay and each question, of a small load."""
    text, trail = folder / "small.txt", folder / "small"
    made = json.loads(pagetrail("synth", "--events", COMPILED_EVENTS, "--pages", "10k", "-o", text, "--json").out)[0]
    pagetrail("ingest", text, *made["ingest"], "--trail", trail)
    pagetrail("replay", "--trail", trail)
    for question in (("snapshot",), ("top", "--by", "comm"), ("owner", "0x1000")):
        pagetrail(*question, "--at", "-0s", "--trail", trail)
    shutil.rmtree(trail)
    text.unlink()
