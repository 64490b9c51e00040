"""Histories told by hand, event by event, and what is answered of them."""

from pathlib import Path

from pagetrail import api
from pagetrail.producers.log.framing import Framer
from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd, Boot, Clock, Coverage, Gap, Hotplug
from pagetrail.schemas.frames import FrameOrigin
from tests.model.config import EVERYTHING, ModelConfig
from tests.model.events import EventLog
from tests.oracles.answers import ORIGIN, Answer, answers, numbered
from tests.queries.conftest import fold
from tests.replay.states import trail_of

CONFIG = ModelConfig(boot_sections=1, hotplug_sections=2, owner_clock_offset=0)
MOVABLE = 0x140CCA
SECOND = 1_000_000_000
BOOT = Boot(section_size_bits=18, memory_model="SPARSEMEM", page_ext_clients=("owner",), present=((0, 64),))


class Story:
    """A history told by hand: every event is a second after the one before."""

    def __init__(self, *, without: str = "", skew: int = 0, boot: Boot = BOOT) -> None:
        self.skew = skew
        self.log, self.now = EventLog(comms=["a"], stacks=[]), SECOND
        self.log.say(Kind.BOOT, self.now, boot)
        self.log.say(Kind.CLOCK, self.now, Clock(ts_nsec=self.now, valid_from=0))
        kinds = tuple(kind for kind in EVERYTHING if kind != without)
        self.log.say(Kind.COVERAGE, self.now, Coverage(kinds=kinds, declared_by="the story"))
        self.dump(self.now)  # page_owner is on

    def __call__(self, kind: Kind, pfn: int, *, pid: int = 5, order: int = 0, cpu: int = 0, **columns: int) -> int:
        """Tell an event; return when it was."""
        self.now += SECOND
        masks = {Kind.ALLOC: MOVABLE, Kind.ISOLATE: 8}
        if kind in masks:
            columns = {"gfp_mask": masks[kind], **columns}
        self.log.add(kind, self.now, (cpu, pid, pid, 0), pfn=pfn, order=order, **columns)
        return self.now

    def gap(self, t_lo: int, t_hi: int | None = None) -> None:
        self.log.say(Kind.GAP, self.now, Gap(t_lo=t_lo, t_hi=self.now if t_hi is None else t_hi, reason="the story"))

    def hotplug(self, call: str, phase: str, pfn: int | None = None, ret: int | None = None) -> None:
        self.now += SECOND
        columns = {} if pfn is None else {"pfn": pfn, "nr_pages": 64}
        detail = Hotplug.model_validate({"call": f"{call}_pages", "phase": phase})
        columns |= {} if ret is None else {"ret": ret}
        self.log.say(Kind.HOTPLUG, self.now, detail, (0, 90, 90, 0), **columns)

    def dump(self, window_begin: int, *entries: dict[str, int], extent: str | None = None) -> None:
        self.now += SECOND
        begin = BaselineBegin.model_validate({
            "name": "0", "window_begin": window_begin, "window_end": self.now, "entries": len(entries), "extent": extent,
        })  # fmt: skip
        self.log.say(Kind.BASELINE_BEGIN, self.now, begin)
        for entry in entries:
            pid, comm = entry.get("pid", 5), entry.get("comm", 0)
            columns = {"order": 0, "gfp_mask": MOVABLE, "ts_nsec": SECOND} | {
                k: v for k, v in entry.items() if k not in ("pid", "comm")
            }
            self.log.add(Kind.BASELINE_ENTRY, self.now, (0, pid, pid, comm), **columns)
        self.log.say(Kind.BASELINE_END, self.now, BaselineEnd(name="0", entries=len(entries)))

    @property
    def events(self) -> EventBatch:
        return self.log.batch()

    def answer(self, at: int | None = None) -> Answer:
        """Return the answer for every page at an instant, by default the end."""
        return answers(self.events, [self.now if at is None else at], CONFIG, self.skew)[0][0]

    def trail(self, folder: Path, *, floor: int = 1 << 40) -> api.Trail:
        """Return the history as a replayed trail, with segments of *floor* events."""
        return told(folder, numbered(self.events, self.skew), floor=floor)


def certain(answer: Answer, pfn: int, attribute: str = "state") -> bool:
    names = ("state", "order", "pid", "tgid", "gfp_mask", "ts_nsec")
    return bool(answer.certain[pfn, names.index(attribute)])


def told(folder: Path, events: EventBatch, *, correct: bool = True, floor: int = 1 << 40) -> api.Trail:
    """Return numbered *events* as a replayed trail, in frames of 100 and segments of *floor* events."""
    framer = Framer(FrameOrigin(**{name: getattr(ORIGIN, name) for name in ORIGIN.__slots__}), frame_events=100)
    fold(trail_of(folder, [*framer.add(events), *framer.finish()]), correct=correct, floor=floor)
    return api.open(folder, correct=correct)
