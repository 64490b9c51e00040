"""What is asked of a store before and after it was harmed: who owned each page, at instants in each of its files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pagetrail import api
from pagetrail.producers.log.framing import Framer, single
from pagetrail.schemas.batch import EventBatch, concat
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Marker
from pagetrail.schemas.errors import PagetrailError
from pagetrail.schemas.frames import Frame, FrameOrigin
from tests.faults.stores.harms import VICTIM
from tests.model.config import EVERYTHING, ModelConfig
from tests.model.kernel import ModelKernel
from tests.oracles.answers import ORIGIN, numbered
from tests.queries.conftest import fold
from tests.replay.states import trail_of

FLOOR: Final = 60
STEPS: Final = 150
CONFIG: Final = ModelConfig(hotplug_sections=2, coverage=EVERYTHING, weights={"dump": 4, "offline": 6, "online": 6})
FACTS: Final = ("state", "order", "pid", "tgid", "comm", "gfp_mask", "alloc_ts", "stack")
"""Columns of an answer that are compared."""

Row = dict[str, object]
Asked = dict[tuple[str, int], list[Row]]
"""The answers about each page, by host and instant."""


def make(folder: Path) -> Path:
    """Return a trail of the victim and another host, whose stores have some segments and a tip each."""
    hosts = [_frames(host, seed) for seed, host in enumerate((VICTIM, "other"), 1)]
    most = max(map(len, hosts))
    frames = [of[i] for i in range(most) for of in hosts if i < len(of)]
    trail = trail_of(folder, frames)
    fold(trail, correct=True, floor=FLOOR)
    return trail


def _frames(host: str, seed: int) -> list[Frame]:
    history = ModelKernel(seed, config=CONFIG).run(STEPS)
    names = {name: getattr(ORIGIN, name) for name in ORIGIN.__slots__} | {"host": host, "recording": f"of {host}"}
    framer = Framer(FrameOrigin(**names), frame_events=40)
    return [*framer.add(numbered(_with_markers(history.events))), *framer.finish()]


def _with_markers(events: EventBatch) -> EventBatch:
    """Return *events* with a marker among some of them."""
    ts, parts, done = events.columns["trace_ts_nsec"], [], 0
    for row in range(50, len(events), 50):
        if int(events.columns["kind"][row]) not in (Kind.BASELINE_ENTRY, Kind.BASELINE_END):
            parts += [events.slice(done, row), single(Kind.MARKER, int(ts[row]), Marker(text=f"at row {row}"))]
            done = row
    return concat([*parts, events.slice(done, len(events))])


def instants(trail: Path) -> dict[str, list[int]]:
    """Return, by host, the first and the last time of each file."""
    found = {}
    for host in (VICTIM, "other"):
        stream = api.open(trail).stream(host)
        pieces = [stream.piece(file) for file in stream.files]
        found[host] = sorted({ts for piece in pieces for ts in (piece.first_ts, piece.last_ts)})
    return found


def ask(trail: Path, times: dict[str, list[int]]) -> tuple[Asked, list[PagetrailError]]:
    """Return what is answered at these times, and the errors instead of answers."""
    found: Asked = {}
    errors: list[PagetrailError] = []
    pages = list(range(0, CONFIG.nr_pages, 3))
    try:
        opened = api.open(trail)
    except PagetrailError as error:
        return {}, [error]
    for host, of_host in times.items():
        for at in of_host:
            try:
                found[host, at] = opened.owner(pages, at, stream=host).to_pylist()
            except PagetrailError as error:
                errors.append(error)
    return found, errors


def wrong(before: Asked, after: Asked) -> Iterator[tuple[str, int, Row, Row]]:
    """Yield the pages that are certain after the harm, and answered otherwise than before: host, instant, both answers."""
    for (host, at), rows in after.items():
        for was, now in zip(before[host, at], rows, strict=True):
            if now["certain"] and any(was[name] != now[name] for name in FACTS):
                yield host, at, was, now
