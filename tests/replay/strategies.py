"""Histories of a small machine: sections of 64 pages, blocks of order 0 to 6, and now and then what cannot be.

A history is read off a string of bytes, four an event, by a machine that knows the state so far (the oracle's): so most
frees are of owned blocks and most dumps are nearly right. Shorter strings are shorter histories.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import NUMPY_DTYPES, TEXT_COLUMNS, Kind, absent
from pagetrail.schemas.details import (
    BaselineBegin,
    BaselineEnd,
    Boot,
    Clock,
    ContigRange,
    Coverage,
    Detail,
    Gap,
    Hotplug,
    Marker,
    RecordingBegin,
    RecordingEnd,
    Zone,
)
from pagetrail.schemas.frames import Frame, FrameOrigin, make_frame
from pagetrail.schemas.linux.gfp import GFP_COMP
from pagetrail.schemas.owner import State
from tests.oracles.fold.oracle import Reference
from tests.oracles.fold.values import Event, Owner

PAGES = 64  # a section, and the largest block
ORDERS = 7
SECTION_SIZE_BITS = 18
ZONES = (  # a FLATMEM kernel has nothing else: there is a hole between the two nodes
    Zone(node=0, name="DMA", start_pfn=2, stop_pfn=20),
    Zone(node=0, name="Normal", start_pfn=20, stop_pfn=PAGES),
    Zone(node=1, name="Normal", start_pfn=2 * PAGES, stop_pfn=3 * PAGES - 8),
)
OFFSET = 1_000_000  # page_owner's clock, ahead of the trace's
STEPS = (0, 0, 0, 1, 7, 1_000, 30_000_000, 300_000_000)
SKEWS = (0, 5, 2_000, 0)
RELEASES = (None, "5.10.223-polab", "6.12.117", "6.12.5", "6.1.192", "6.6.1", "7.2.0-rc1")
GFP = (0, 0x8, 0xCC0, 0x100CCA)
_ON_A_CPU = (Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.REFILL, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE)
COMMS = ("swapper/0", "init", "sh", None)
STACKS = ("first_caller\nits_caller", "other_caller", None)


@dataclass
class Machine:
    """Makes events, and follows them with the oracle so as to know what would be sensible next."""

    correct: bool = True
    recordings: list[list[dict[str, Any]]] = field(default_factory=list)
    ts: int = 0
    cpu: int | None = None

    def __post_init__(self) -> None:
        self.reference = Reference(correct=self.correct)

    def emit(self, kind: int, detail: Detail | str | None = None, **columns: Any) -> None:
        """Add an event at the present time."""
        event = {name: value for name, value in columns.items() if value is not None}
        if self.cpu is not None and kind in _ON_A_CPU:
            event.setdefault("cpu", self.cpu)
        event |= {"kind": int(kind), "trace_ts_nsec": self.ts, "seq": len(self.recordings[-1])}
        if detail is not None:
            event["detail"] = detail if isinstance(detail, str) else detail.model_dump_json()
        self.recordings[-1].append(event)
        self.reference.apply(event)

    def begin(
        self,
        *,
        stable: int = 0,
        covered: Sequence[str] = (),
        flatmem: bool = False,
        debug: bool = False,
        skew: int = 0,
        release: str | None = None,
    ) -> None:
        """Begin a recording of a boot with two sections."""
        self.recordings.append([])
        options = {"clock_skew_nsec": str(skew)} if skew else {}
        self.emit(Kind.RECORDING_BEGIN, RecordingBegin(source="a history", format="workload-model", options=options))
        model = "FLATMEM" if flatmem else "SPARSEMEM"
        boot = Boot(
            release=release,
            section_size_bits=SECTION_SIZE_BITS,
            max_order=ORDERS,
            zones=ZONES,
            present=((0, 2 * PAGES),),
            memory_model=model,  # type: ignore[arg-type]
            page_ext_clients=("owner", "debug") if debug else (),
        )  # type: ignore[arg-type]
        self.emit(Kind.BOOT, boot)
        self.emit(Kind.CLOCK, Clock(ts_nsec=self.ts + OFFSET, valid_from=stable))
        if covered:
            self.emit(Kind.COVERAGE, Coverage(kinds=tuple(covered), declared_by="a history"))  # type: ignore[arg-type]

    def end(self) -> None:
        """End the recording."""
        self.emit(Kind.RECORDING_END, RecordingEnd(events={}))

    def blocks(self, state: State | None = None) -> list[Owner]:
        """Return the owners, or freedoms, of now, by their first page."""
        found = {id(o): o for _, o in sorted(self.reference.proven.items()) if state is None or o.state == state}
        return list(found.values())


def _who(a: int, b: int) -> dict[str, Any]:
    pid = 1 + a % 3
    return {"pid": pid, "tgid": pid if b % 3 else None, "comm": COMMS[a % 4], "stack": STACKS[b % 3]}


def _aligned(a: int, b: int) -> tuple[int, int]:
    order = (0, 0, 0, 1, 2, 3, 4, 6)[b % 8]
    pfn = (a * 5 + b) % (4 * PAGES)
    return pfn - pfn % 2**order, order


def _alloc(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    m.emit(Kind.ALLOC, pfn=pfn, order=order, gfp_mask=GFP[a % 4], migratetype=b % 3, **_who(a, b))


def _alloc_free(m: Machine, a: int, b: int) -> None:
    """Allocate where nobody is known to be."""
    for shift in range(4 * PAGES):
        pfn, order = _aligned(a + shift, b)
        taken = (m.reference.proven.get(page) for page in range(pfn, pfn + 2**order))
        if not any(owner and owner.state == State.OWNED for owner in taken):
            m.emit(Kind.ALLOC, pfn=pfn, order=order, gfp_mask=GFP[a % 4], **_who(a, b))
            return


def _pick(m: Machine, a: int, state: State | None = State.OWNED) -> Owner | None:
    blocks = m.blocks(state)
    return blocks[a % len(blocks)] if blocks else None


def _free_block(m: Machine, a: int, b: int) -> None:
    block = _pick(m, a)
    if block is not None:
        m.emit(Kind.FREE, pfn=block.block_pfn, order=block.order, **_who(a, b))


def _free_part(m: Machine, a: int, b: int) -> None:
    block = _pick(m, a)
    if block is not None:
        order = b % (block.order + 1)
        inside = (a * 3 % 2**block.order) >> order << order
        m.emit(Kind.FREE, pfn=block.block_pfn + inside, order=order, **_who(a, b))


def _free_any(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    m.emit(Kind.FREE, pfn=pfn, order=order, **_who(a, b))


def _drain(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    block = _pick(m, a, None if b % 4 == 0 else State.FREE)
    if block is not None and b % 5:
        pfn, order = block.block_pfn, block.order
    m.emit((Kind.DRAIN, Kind.DRAIN, Kind.REFILL)[a // 4 % 3], pfn=pfn, order=order, cpu=b % 2)


def _split(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    block = _pick(m, a)
    if block is not None and b % 4:
        pfn, order = block.block_pfn, block.order
    nr = 2**order if b % 7 else 1 + a % 9
    m.emit(Kind.SPLIT, pfn=pfn, nr_pages=nr, order=(0, 0, max(order - 1, 0), b % 3)[a % 4])


def _migrate(m: Machine, a: int, b: int) -> None:
    source, target = _pick(m, a), _pick(m, b, None)
    src = source.block_pfn if source is not None and b % 5 else (a * 3) % (4 * PAGES)
    pfn = target.block_pfn if target is not None and a % 3 else (b * 7) % (4 * PAGES)
    m.emit(Kind.MIGRATE, pfn=pfn, src_pfn=src, **({"migrate_reason": a % 9} if a % 5 == 4 else {}))
    if b % 2:
        m.emit(Kind.MIGRATE, pfn=pfn, src_pfn=pfn, migrate_reason=b % 9)


def _isolate(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    m.emit(Kind.ISOLATE, pfn=pfn, order=order, gfp_mask=8, **_who(a, b))
    if b % 3 == 0:
        m.emit(Kind.ALLOC, pfn=pfn, order=order, gfp_mask=8, **_who(a, b if a % 4 else b + 1))


def _hotplug(m: Machine, a: int, b: int) -> None:
    section_nr, size = a % 5, 1 + (b % 7 == 0)
    call, pid = ("online_pages", "offline_pages")[b % 2], 7 + a % 2
    phase = ("entry", "return", "return", "notified")[a // 5 % 4]
    span = {"pfn": section_nr * PAGES, "nr_pages": size * PAGES}
    if a % 11 == 10:
        span["nr_pages"] -= 8  # the call refuses that
    if phase == "return" and b % 5 < 3:
        span = {}
    ret = (0, 0, -16, None)[a % 3 if a % 9 else 3] if phase == "return" else None
    m.emit(Kind.HOTPLUG, Hotplug(call=call, phase=phase), ret=ret, pid=pid, **span)  # type: ignore[arg-type]


def _flag(m: Machine, a: int, b: int) -> None:
    """Mostly of what is known, as the kernel does; ranges too, and now and then where nothing is."""
    kind = (Kind.POISON, Kind.UNPOISON, Kind.GUARD, Kind.UNGUARD)[a % 4]
    pfn, order = _aligned(a, b)
    block = _pick(m, a, (State.FREE, State.OWNED, None)[b % 3])
    if block is not None and b % 5:
        pfn, order = block.block_pfn, block.order
    if a % 7 == 0:
        m.emit(kind, pfn=pfn, nr_pages=1 + b % 9)
    else:
        m.emit(kind, pfn=pfn, order=order, **_who(a, b))


def _gap(m: Machine, a: int, b: int) -> None:
    """Mostly of all pages; now and then of a block that it names, which has moved or will soon, or of both of a migration."""
    named: dict[str, int] = {}
    block = _pick(m, a)
    if a % 3 == 1 and block is not None:
        moved = {"pfn": (a * 7 + b) % (4 * PAGES), "src_pfn": block.block_pfn}
        if b % 4 == 0:
            m.emit(Kind.MIGRATE, **moved)
            m.ts += b
        t_lo = max(m.ts - 10 * b, 0)
        named = {"pfn": block.block_pfn, "order": max(block.order, 0)}
        m.emit(Kind.GAP, Gap(t_lo=t_lo, t_hi=m.ts, reason="a history"), cpu=b % 2, **named)
        if b % 4 == 1:
            m.ts += a % 3
            m.emit(Kind.MIGRATE, **moved)
        return
    if a % 3 == 2:
        pfn, order = _aligned(a, b)
        named = (
            {"pfn": pfn, "order": order},
            {"pfn": pfn, "src_pfn": pfn ^ PAGES},
            {"pfn": pfn, "nr_pages": 1 + b % 9},
        )[b % 3]
    m.emit(Kind.GAP, Gap(t_lo=max(m.ts - 10 * b, 0), t_hi=m.ts, lost=a, reason="a history"), cpu=b % 2, **named)


def _contig_range(m: Machine, a: int, b: int) -> None:
    """An entry, a return of which the range is not said, or both with little or much time between; a block, or single pages."""
    entry, back = (ContigRange(call="alloc_contig_range", phase=phase) for phase in ("entry", "return"))  # type: ignore[arg-type]
    pfn, _ = _aligned(a, b)
    nr, gfp = ((1 + a % 40, 0xCC0), (16, 0xCC0 | GFP_COMP))[a % 8 == 7]
    if b % 3 != 1:
        m.emit(
            Kind.CONTIG_RANGE, entry, pfn=pfn - pfn % 16 if nr == 16 else pfn, nr_pages=nr, gfp_mask=gfp, **_who(a, b)
        )
    if b % 3 == 2:
        m.ts += (1_000, 30_000_000)[a % 5 == 4]
    if b % 3:
        m.emit(Kind.CONTIG_RANGE, back, ret=-16 if a % 7 == 6 else 0, **_who(a, b))


def _coverage(m: Machine, a: int, b: int) -> None:
    kinds = (("split",), ("alloc", "free"), ("alloc", "free", "split"), ("drain", "refill", "hotplug"))[a % 4]
    cpus = (None, None, (0,), (1,), (0, 1))[a // 4 % 5]
    past = {"since": max(m.ts - 10 * b, 0), "until": m.ts} if a % 16 == 15 else {}
    detail = Coverage(kinds=kinds, begins=b % 3 > 0, cpus=cpus, declared_by="a history", **past)  # type: ignore[arg-type]
    m.emit(Kind.COVERAGE, detail)


def _clock(m: Machine, a: int, b: int) -> None:
    m.emit(Kind.CLOCK, Clock(monotonic=m.ts + a))


def _marker(m: Machine, a: int, b: int) -> None:
    m.emit(Kind.MARKER, Marker(text=f"marker {a}"))


def _extfrag(m: Machine, a: int, b: int) -> None:
    pfn, order = _aligned(a, b)
    m.emit(Kind.EXTFRAG, pfn=pfn, order=order)


def _dump(m: Machine, a: int, b: int) -> None:
    """The kernel's own view: what the oracle knows, with some of it changed, left out or made up."""
    window = m.ts - (0, 0, 1_000, 30_000_000)[b % 4]
    begin = BaselineBegin(name=f"dump {a}", window_begin=window, window_end=m.ts, entries=0, skipped=int(a % 5 == 0))
    if a % 2:
        begin = begin.model_copy(update={"extent": "whole" if a % 4 == 1 else "partial"})
    flags = b % 3 == 1
    if flags:
        begin = begin.model_copy(update={"view": "kpageflags"})
    m.emit(Kind.BASELINE_BEGIN, begin)
    for event in _flags(m, a, b) if flags else _records(m, a, b):
        m.emit(Kind.BASELINE_ENTRY, **event)
    if a % 13:
        m.emit(Kind.BASELINE_END, BaselineEnd(name=begin.name, entries=0))


def _flags(m: Machine, a: int, b: int) -> Iterator[dict[str, Any]]:
    """Most runs of pages that are free or unknown as free, now and then one that is owned; over borders of sections too."""
    r, page, nr = m.reference, 0, 0
    while page < 5 * PAGES:
        stop = page + 1 + (a * 7 + page * 3) % 40
        owned = any(r.proven[p].state == State.OWNED for p in range(page, stop) if p in r.proven)
        buddy = (a + nr) % 9 == 0 if owned else (a + nr) % 4 > 0
        yield {"pfn": page, "nr_pages": stop - page, "page_flags": 1 << 10 if buddy else 1 << 7}
        page, nr = stop, nr + 1
    if b % 8 == 0:
        yield {"pfn": -5, "nr_pages": 9, "page_flags": 1 << 10}
        yield {"pfn": (PAGES << 20) - 2, "nr_pages": 9, "page_flags": 1 << 10}


def _records(m: Machine, a: int, b: int) -> Iterator[dict[str, Any]]:
    r = m.reference
    heads = [(p, o) for p, o in sorted((r.proven | r.kernel).items()) if o.state == State.OWNED and p % 2**o.order == 0]
    known = [{
        "pfn": page, "order": o.order, "pid": o.pid, "tgid": 9, "gfp_mask": o.gfp_mask, "comm": "stored", "stack": STACKS[0],
        "ts_nsec": o.ts_nsec if o.ts_nsec is not None else (o.alloc_ts or 0) + OFFSET, "free_ts_nsec": 5, "migratetype": 1,
    } for page, o in heads]  # fmt: skip
    early = {"order": 0, "pid": 1, "gfp_mask": 0, "comm": "swapper/0", "ts_nsec": 77, "stack": STACKS[1]}
    early |= ({}, {}, {"pid": 0, "comm": "swapper"}, {"pid": None, "comm": None, "ts_nsec": None})[a % 4]
    for i, entry in enumerate(known):
        match (a * 7 + b * 3 + i * 5) % 16:
            case 0:
                continue
            case 1:
                yield entry | {"pid": 99}
            case 2:
                yield entry | {"ts_nsec": entry["ts_nsec"] + 200_000_000}
            case 3:
                yield entry | {"order": 0}
            case 4:
                yield entry | early
            case 5:
                yield entry | {"migrate_reason": 2, "gfp_mask": 1, "comm": None}
            case 6:
                yield entry | dict.fromkeys(("pid", "tgid", "comm", "ts_nsec", "free_ts_nsec"))
            case _:
                yield entry
    if b % 3 == 0:
        yield {"pfn": (a * 5) % (5 * PAGES)} | early
        yield {"pfn": (a * 3) % (5 * PAGES)} | early | {"comm": None}
    if b % 5 == 0:
        pfn = (a * 11) % PAGES
        yield {"pfn": pfn - pfn % 4, "order": 2, "pid": 5, "gfp_mask": 3, "ts_nsec": m.ts}
        yield {"pfn": pfn, "order": 0, "pid": 5, "gfp_mask": 3}
    if b % 8 == 0:
        yield {"pfn": 3, "order": 2, "pid": 5, "gfp_mask": 3}
        yield {"pfn": -4 if a % 2 else 2**50, "order": 1, "pid": 5, "gfp_mask": 3}
        yield {"pfn": 64, "order": (7, 63, 127, -1)[a % 4], "pid": 5, "gfp_mask": 3}
    if b % 7 == 2:  # a contiguous range that is larger than a section
        yield {"pfn": (a % 3) * PAGES, "order": 7, "pid": 6, "gfp_mask": (GFP_COMP, 0xCC0)[a % 2]}


def _nonsense(m: Machine, a: int, b: int) -> None:
    kind = (Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.ISOLATE, Kind.POISON, Kind.GUARD)[a % 6]
    far = (2**62, 2**63 - 1, PAGES << 20, -1, None)[b % 5]
    match a % 9:
        case 0:
            m.emit(kind, pfn=2 * (b % 40) + 1, order=1 + b % 6)
        case 1:
            m.emit(kind, pfn=far, order=0)
        case 2:
            m.emit(kind, pfn=b % 40, order=(-1, 7, 12, 63, 127, None)[b % 6])
        case 3:
            m.emit(Kind.SPLIT, pfn=PAGES - 3, nr_pages=(5, 0, -7, None, 2**62, 3)[b % 6], order=(0, -1, 60)[b % 3])
        case 4:
            m.emit(Kind.MIGRATE, pfn=(b % 40, far)[b % 2], src_pfn=(far, 5)[b % 2])
        case 5:
            m.emit(99 if b % 2 else -3, pfn=b % 40)
        case 6:
            m.emit(Kind.MARKER, ('{"nonsense": 1}', "{", None)[b % 3], pfn=b % 40)
        case 7:
            online = Hotplug(call=("online_pages", "offline_pages")[b % 2], phase="entry")  # type: ignore[arg-type]
            m.emit(Kind.HOTPLUG, online, pfn=(0, -64, 2**62)[b % 3], nr_pages=(2**62, 64, 0)[b % 3], pid=7)
        case 8:
            m.emit(Kind.BASELINE_ENTRY, pfn=b, order=0, pid=1)


def _again(m: Machine, a: int, b: int) -> None:
    """Another recording of the boot."""
    m.end()
    m.ts += 1 + b * 1_000
    m.begin(covered=("split",) if a % 2 else ())


_OPS: tuple[Callable[[Machine, int, int], None], ...] = (
    *[_alloc_free] * 8, *[_alloc] * 2, *[_free_block] * 6, *[_free_part] * 2, *[_free_any] * 2, *[_drain] * 3,
    *[_split] * 3, *[_migrate] * 3, *[_isolate] * 2, *[_hotplug] * 3, _gap, _contig_range, *[_coverage] * 2,
    _clock, _marker, _extfrag,
    *[_dump] * 2, *[_nonsense] * 2, *[_flag] * 4,
)  # fmt: skip


@dataclass(frozen=True)
class History:
    """Recordings of one boot, one after another; the seed they were read off; and the oracle that followed them."""

    seed: bytes
    correct: bool
    recordings: tuple[tuple[Event, ...], ...]
    oracle: Reference = field(repr=False, compare=False)

    @property
    def events(self) -> list[Event]:
        """Return the events of all recordings."""
        return [event for recording in self.recordings for event in recording]


def history(seed: bytes, *, correct: bool = True) -> History:
    """Return the history that *seed* tells."""
    machine = Machine(correct=correct)
    first = seed[0] if seed else 0
    covered = ((), ("split", "refill"), ("alloc", "free", "hotplug"))[first % 3]
    machine.begin(
        stable=40_000_000 * (first % 4 == 0), covered=covered, flatmem=first % 8 == 7, debug=first % 3 < 2,
        skew=SKEWS[first % 4], release=RELEASES[first // 8 % len(RELEASES)],
    )  # fmt: skip
    for i in range(1, len(seed) - 3, 4):
        op, a, b, step = seed[i : i + 4]
        machine.ts += STEPS[step % len(STEPS)]
        machine.cpu = (0, 1, 1, None)[step // len(STEPS) % 4]
        (_again if op > 250 else _OPS[op % len(_OPS)])(machine, a, b)
    machine.end()
    return History(seed, correct, tuple(tuple(recording) for recording in machine.recordings), machine.reference)


def histories(*, max_events: int = 100) -> st.SearchStrategy[History]:
    """Return a strategy of histories."""
    seeds = st.binary(min_size=1, max_size=4 * max_events + 1)
    return st.builds(lambda seed, correct: history(seed, correct=correct), seeds, st.booleans())


# -- events as frames ----------------------------------------------------------------------------------------------------


def to_batch(events: Sequence[Event]) -> EventBatch:
    """Return *events* as columns."""
    columns: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for name, dtype in NUMPY_DTYPES.items():
        values = [event.get(name) for event in events]
        if all(value is None for value in values):
            continue
        if name in TEXT_COLUMNS:
            table = {text: i for i, text in enumerate(dict.fromkeys(v for v in values if v is not None))}
            texts[name] = list(table)
            values = [table.get(value) for value in values]
        columns[name] = np.array([absent(name) if value is None else value for value in values], dtype)
    details = {row: event["detail"] for row, event in enumerate(events) if "detail" in event}
    return EventBatch(columns=columns, texts=texts, details=details)


def origin(recording: str, *, host: str = "host", boot_id: str = "boot") -> FrameOrigin:
    """Return whose frames they are."""
    return FrameOrigin(host=host, boot_id=boot_id, recording=recording, producer="test", producer_version="0")


def to_frames(recordings: Iterable[Sequence[Event]], sizes: Sequence[int] = (1 << 16,), **whose: str) -> list[Frame]:
    """Return recordings as frames of so many events each, the last size for all that follow."""
    frames = []
    for nr, events in enumerate(recordings):
        start = number = 0
        while start < len(events):
            size = sizes[min(number, len(sizes) - 1)]
            batch = to_batch(events[start : start + size])
            frames.append(make_frame(batch, origin(f"recording {nr}", **whose), number))
            start, number = start + size, number + 1
    return frames
