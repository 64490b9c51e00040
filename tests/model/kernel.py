"""A model of a kernel that allocates pages: seeded, it emits the events of a recording, and knows the truth beside.

What happens is in ``model_acts.py`` and ``model_hotplug.py``, the machine in ``model_machine.py``, free memory in
``model_buddy.py``, page_ext and the truth in ``model_page_ext.py``. Here they are run, and asked for page_owner's file.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd
from pagetrail.schemas.owner import ABSENT8, ABSENT64
from tests.model.acts import Act, Acts
from tests.model.config import ModelConfig
from tests.model.events import NOBODY
from tests.model.hotplug import MemoryHotplug
from tests.model.machine import Machine
from tests.model.page_ext import Journal, Pages, PageState, Truth

_PAUSES = (0, 700, 5_000, 90_000, 2_000_000, 60_000_000)
"""Time between two steps, ns: some are longer than the 20 ms within which two times count as one."""

_READ_PAGES = 64
"""Pages of page_owner's file that are read at one instant, at least: no free block lies across."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened: events as a parser yields them, and the truth after each."""

    events: EventBatch
    journal: Journal
    config: ModelConfig

    def truth_at(self, row: int) -> Truth:
        """Return the truth just after event *row*; -1: before the recording."""
        return self.journal.truth_at(row)


class ModelKernel:
    """A machine that runs."""

    def __init__(self, seed: int, *, config: ModelConfig | None = None) -> None:
        self.config = config or ModelConfig()
        self.rng = random.Random(seed)
        self.machine = Machine(self.rng, self.config)
        self.hotplug = MemoryHotplug(self.machine)
        self.acts = Acts(self.machine, self._hotplug, self._dump)
        self._running: list[Act | None] = [None] * self.config.cpus
        self._dumping = False
        self._dumps = 0

    def run(self, steps: int) -> History:
        """Record *steps* steps; at the end, what has begun comes to its end."""
        m, c = self.machine, self.config
        self._steps(c.untraced_steps)
        while self.hotplug.locked and not c.hotplug_across_begin:
            self._steps(1)
        m.begin_recording()
        if c.page_owner_step is not None:
            self._steps(c.page_owner_step)
            m.start_page_owner()
        self._dump_now()
        self._steps(steps - (c.page_owner_step or 0))
        for cpu in range(c.cpus):
            self._advance(cpu, to_the_end=True)
        self._dump_now()
        return History(events=m.log.batch(), journal=m.journal, config=c)

    def _steps(self, steps: int) -> None:
        for _ in range(steps):
            self.machine.now += self.rng.choice(_PAUSES)
            cpu = self.rng.randrange(self.config.cpus)
            if self._running[cpu] is None:
                self._running[cpu] = self.acts.choose()
            self._advance(cpu)

    def _advance(self, cpu: int, *, to_the_end: bool = False) -> None:
        self.machine.cpu = cpu
        for _ in self._running[cpu] or ():
            if not to_the_end:
                return
            self.machine.cpu = cpu
        self._running[cpu] = None

    def _dump_now(self) -> None:
        self.machine.cpu = 0
        for _ in self._dump():
            pass

    def _hotplug(self, what: str) -> Act:
        if self._dumping and not self.config.dumps_across_hotplug:
            return iter(())
        return self.hotplug.act(what)

    # -- page_owner's file -----------------------------------------------------------------------------------------------

    def _dump(self) -> Iterator[None]:
        """Read page_owner's file, in several reads, and write it down as one baseline."""
        m = self.machine
        meets_hotplug = self.hotplug.locked and not self.config.dumps_across_hotplug
        if self._dumping or meets_hotplug or not m.truth.started or not m.tracing:
            return
        self._dumping = True
        name = str(self._dumps)
        self._dumps += 1
        begin = m.now
        m.marker(f"SNAPSHOT {name} begin")
        parts: list[tuple[np.ndarray, Pages]] = []
        step = max(_READ_PAGES, 1 << self.config.max_order)
        for start in range(0, self.config.nr_pages, step):
            parts.append(self._read(start, min(start + step, self.config.nr_pages)))
            yield
        m.marker(f"SNAPSHOT {name} page_owner_end")
        pfns, records = (np.concatenate(column) for column in zip(*parts, strict=True))
        self._write(name, begin, pfns, records)
        self._dumping = False

    def _read(self, start: int, stop: int) -> "tuple[np.ndarray, Pages]":
        """Return the records of a range as the file prints them: heads only, and no page of the buddy allocator.

        Source: mm/page_owner.c, read_page_owner (Linux 6.1).
        """
        pages = self.machine.truth.kernel.pages[start:stop]
        pfn = np.arange(start, stop)
        free = np.array(self.machine.buddy.in_buddy(start, stop))
        aligned = pfn & ((1 << pages["order"].astype(np.int64)) - 1) == 0
        printed = (pages["state"] == PageState.OWNED) & aligned & ~free
        return pfn[printed], pages[printed].copy()

    def _write(self, name: str, begin: int, pfns: "np.ndarray", records: Pages) -> None:
        m = self.machine
        detail = BaselineBegin(
            name=name, window_begin=begin, window_end=m.now, entries=pfns.size, source="the model", extent="whole"
        )
        m.log.say(Kind.BASELINE_BEGIN, m.now, detail)
        for pfn, page in zip(pfns.tolist(), records, strict=True):
            columns = {field: int(page[field]) for field in ("order", "gfp_mask", "migratetype", "ts_nsec")}
            if page["migrate_reason"] != ABSENT8:
                columns["migrate_reason"] = int(page["migrate_reason"])
            freed = int(page["free_ts_nsec"])
            columns["free_ts_nsec"] = 0 if freed == ABSENT64 else freed
            who = (int(np.iinfo(np.int16).min), int(page["pid"]), int(page["tgid"]), int(page["comm"]))
            if not self.config.dumps_have_times:
                who = NOBODY
                del columns["ts_nsec"], columns["free_ts_nsec"]
            m.log.add(Kind.BASELINE_ENTRY, m.now, who, int(page["stack"]), pfn=pfn, **columns)
        m.log.say(Kind.BASELINE_END, m.now, BaselineEnd(name=name, entries=pfns.size))
