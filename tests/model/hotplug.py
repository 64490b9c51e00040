"""Memory blocks of the model kernel that come and go, with everything that goes wrong meanwhile."""

import errno
from collections.abc import Iterator

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Hotplug
from tests.model.acts import migrate_block
from tests.model.buddy import BlockType
from tests.model.config import GFP_EXACT, MR_MEMORY_HOTPLUG, Block, Task
from tests.model.machine import Machine

Act = Iterator[None]


class MemoryHotplug:
    """The memory blocks, one call at a time.

    Source: mm/memory_hotplug.c (online_pages, offline_pages) and mm/page_ext.c (Linux 6.1). One act of a section's
    extension is one generation, also when the online that made it fails.
    """

    def __init__(self, m: Machine) -> None:
        self.m = m
        self.locked = False
        self._extensions: dict[int, list[Block]] = {}
        pages = m.config.block_sections * m.config.pages_per_section
        first = m.boot_pages
        self.ranges = [range(at, at + pages) for at in range(first, m.config.nr_pages - pages + 1, pages)]

    def act(self, what: str) -> Act:
        """Online or offline a memory block, where there is one to; a call waits for no other."""
        m = self.m
        going = what == "offline"
        here = [r for r in self.ranges if (m.buddy.type_of(r.start) is not BlockType.OFFLINE) == going]
        if self.locked or not here or not m.truth.started:  # none so early in a boot
            return
        self.locked = True
        cpu, memory = m.cpu, m.rng.choice(here)
        for _ in self._offline(memory) if going else self._online(memory):
            yield
            m.cpu = cpu
        self.locked = False

    def _call(self, what: str, phase: str, memory: range | None, ret: int | None = None) -> int:
        """Emit what a probe on the call sees: the range at entry only, the result at return only."""
        m = self.m
        detail = Hotplug.model_validate({"call": f"{what}_pages", "phase": phase, "source": "the model"})
        columns = {} if memory is None else {"pfn": memory.start, "nr_pages": len(memory)}
        if ret is not None:
            columns["ret"] = ret
        m.now += m.rng.randrange(900)
        if not m.tracing:
            return -1
        who = (m.cpu, m.shell.pid, m.shell.tgid, m.shell.comm)
        return m.log.say(Kind.HOTPLUG, m.now, detail, who, **columns)

    # -- online ----------------------------------------------------------------------------------------------------------

    def _online(self, memory: range) -> Act:
        m, task = self.m, self.m.shell
        row = self._call("online", "entry", memory)
        m.op(row, "online", memory.start, memory.stop)
        extension = self._allocate_extension(task)
        yield
        if not extension or m.rng.random() < 0.2:  # a notifier refuses: what was done is undone
            for page in extension:
                m.free(task, page)
            row = self._call("online", "return", None, -errno.ENOMEM)
            m.op(row, "offline", memory.start, memory.stop)
            return
        self._extensions[memory.start] = extension
        m.buddy.retype(memory.start, memory.stop, BlockType.ISOLATE)
        order = m.config.max_order - 1
        for pfn in range(memory.start, memory.stop, 1 << order):
            m.free_pages(task, pfn, order)
            if m.rng.random() < 0.2:
                yield
        kind = m.rng.choice((BlockType.MOVABLE, BlockType.MOVABLE, BlockType.NORMAL))
        m.buddy.retype(memory.start, memory.stop, kind)
        yield
        self._call("online", "return", None, 0)

    def _allocate_extension(self, task: Task) -> list[Block]:
        """Allocate the pages of the sections' page_ext: one block, split, what is too much freed (alloc_page_ext)."""
        m = self.m
        block = m.alloc(task, 2, GFP_EXACT, movable=False)
        if block is None:
            return []
        block.busy = True
        pages = m.split(task, block)
        m.free(task, pages.pop())
        return pages

    # -- offline ---------------------------------------------------------------------------------------------------------

    def _offline(self, memory: range) -> Act:
        m, task = self.m, self.m.shell
        kind = m.buddy.type_of(memory.start)
        self._call("offline", "entry", memory)
        if m.rng.random() < 0.1:
            yield
            self._call("offline", "return", None, -errno.EINVAL)
            return
        ret = -errno.EBUSY
        if all(b.movable or b.busy for b in self._blocks(memory)):
            m.buddy.retype(memory.start, memory.stop, BlockType.ISOLATE)
            m.drain(task, range(m.config.cpus))
            yield
            for _ in range(4):
                yield from self._migrate_range(task, memory)
                if all(m.buddy.in_buddy(memory.start, memory.stop)):
                    ret = 0
                    break
                if m.rng.random() < 0.1:
                    ret = -errno.EINTR
                    break
                yield
            m.buddy.retype(memory.start, memory.stop, kind if ret else BlockType.OFFLINE)
        if ret:
            self._call("offline", "return", None, ret)
            return
        for page in self._extensions.pop(memory.start):
            m.free(task, page)
        m.op(self._call("offline", "return", None, 0), "offline", memory.start, memory.stop)

    def _blocks(self, memory: range) -> list[Block]:
        return [b for b in self.m.blocks.values() if b.pfn in memory]

    def _migrate_range(self, task: Task, memory: range) -> Act:
        m = self.m
        cpu = m.cpu
        for block in self._blocks(memory):
            if block.movable and not block.busy and m.blocks.get(block.pfn) is block:
                yield from migrate_block(m, task, block, MR_MEMORY_HOTPLUG)
                m.cpu = cpu
                if m.rng.random() < 0.3:
                    yield
                    m.cpu = cpu
