"""What dumps say of pages beside their owners: cgroup, flags, type of the pageblock, migrate reason."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagetrail import api
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import BaselineBegin, BaselineEnd
from pagetrail.schemas.errors import BadArgument
from pagetrail.schemas.frames import decode_frame
from tests.effort import effort
from tests.queries.conftest import fold
from tests.replay.states import trail_of
from tests.replay.strategies import OFFSET, Machine, to_frames

COLUMNS = ("cgroup", "memcg_flags", "block_migratetype", "page_flags", "migrate_reason", "dump_ts")
PAGES = 6
Said = dict[str, Any]


@dataclass
class Tracked:
    """Six pages, followed one by one: what the last dump that listed it said of each page's present allocation."""

    machine: Machine = field(default_factory=Machine)
    owned_since: dict[int, int] = field(default_factory=dict)
    said: dict[int, Said] = field(default_factory=dict)
    expected: list[tuple[int, dict[int, Said | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine.begin(covered=("alloc", "free"))

    def tell(self, act: int, page: int, word: int) -> None:
        """Let something happen a second later, and note what is then known."""
        self.machine.ts += 1_000_000_000
        if act == 0:
            self.dump({p for p in range(PAGES) if page >> p & 1 or p == word}, word)
        elif page % PAGES in self.owned_since:
            self.end(page % PAGES)
        else:
            self.allocate(page % PAGES)
        owned = {p: self.said.get(p) for p in self.owned_since}
        self.expected.append((self.machine.ts, owned))

    def allocate(self, page: int) -> None:
        self.machine.emit(Kind.ALLOC, pfn=page, order=0, gfp_mask=0xCC0, pid=7, tgid=7, comm="sh")
        self.owned_since[page] = self.machine.ts

    def end(self, page: int) -> None:
        self.machine.emit(Kind.FREE, pfn=page, order=0, pid=7, tgid=7, comm="sh")
        del self.owned_since[page]
        self.said.pop(page, None)

    def dump(self, pages: set[int], word: int) -> None:
        m = self.machine
        m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="d", window_begin=m.ts, window_end=m.ts, entries=len(pages)))
        for page in sorted(pages):
            born = self.owned_since.setdefault(page, m.ts - 500_000_000)
            words = {
                "cgroup": (None, "", "web.service", "/")[word % 4], "memcg_flags": (None, 2)[word % 2],
                "block_migratetype": word % 5, "page_flags": (1 << 4) | word << 60, "migrate_reason": (None, 0)[page % 2],
            }  # fmt: skip
            m.emit(
                Kind.BASELINE_ENTRY, pfn=page, order=0, gfp_mask=0xCC0, pid=7, tgid=7, comm="sh", ts_nsec=born + OFFSET,
                free_ts_nsec=1, **words,
            )  # fmt: skip
            flags = words["page_flags"]
            self.said[page] = words | {"dump_ts": m.ts, "page_flags": flags - (flags >> 63 << 64)}
        m.emit(Kind.BASELINE_END, BaselineEnd(name="d", entries=len(pages)))


def signed(m: Machine) -> Machine:
    """Return the same with page flags as signed numbers, as events have them."""
    for event in m.recordings[-1]:
        if (flags := event.get("page_flags")) is not None:
            event["page_flags"] = flags - (flags >> 63 << 64)
    return m


ACTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 63), st.integers(0, 5)), min_size=1, max_size=25)


@pytest.mark.slow
@settings(max_examples=effort(7, 100))
@given(ACTS, st.sampled_from((3, 12, 1 << 40)))
def test_a_page_is_said_of_what_the_last_dump_said_of_its_present_allocation(
    acts: list[tuple[int, int, int]], floor: int
) -> None:
    told = Tracked()
    for act in acts:
        told.tell(*act)
    signed(told.machine).end()
    with tempfile.TemporaryDirectory() as folder:
        trail = trail_of(Path(folder) / "trail", to_frames(told.machine.recordings))
        fold(trail, correct=True, floor=floor)
        opened = api.open(trail)
        for ts, owned in told.expected:
            rows = opened.owner(range(PAGES), ts).to_pylist()
            nothing = dict.fromkeys(COLUMNS)
            found = {r["asked_pfn"]: {name: r[name] for name in COLUMNS} for r in rows if r["state"] == "owned"}
            assert found == {page: said or nothing for page, said in owned.items()}
            free = [r for r in rows if r["state"] != "owned"]
            assert all(r[name] is None for r in free for name in COLUMNS)
            whole = {r["pfn"]: r["cgroup"] for r in opened.snapshot(ts).to_pylist()}
            assert whole == {page: (said or nothing)["cgroup"] for page, said in owned.items()}
        for page in range(PAGES):
            spans = opened.history(page).to_pylist()
            last = [r for r in spans if r["end_ts"] is None and r["state"] == "owned"]
            assert [r["cgroup"] for r in last] == [(told.said.get(page) or nothing)["cgroup"]] * len(last)


@pytest.mark.slow
@settings(max_examples=effort(7, 100))
@given(ACTS, st.integers(1, 40))
def test_a_stream_that_is_resumed_from_its_files_says_the_same(acts: list[tuple[int, int, int]], size: int) -> None:
    told = Tracked()
    for act in acts:
        told.tell(*act)
    signed(told.machine).end()
    frames = to_frames(told.machine.recordings, (size,))
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, stops in (("whole", False), ("stopped", True)):
            trail = trail_of(Path(folder) / name, frames[: len(frames) // 2] if stops else frames)
            fold(trail, correct=True, floor=5)
            if stops:
                with SqliteLogWriter(trail) as log:
                    log.append(frames[len(frames) // 2 :])
                fold(trail, correct=True, floor=5)
            opened = api.open(trail)
            found.append((opened.snapshot("-0s").to_pylist(), opened.streams()["digest"].to_pylist()))
        assert found[0] == found[1]


def dumped(folder: Path, *records: dict[str, Any]) -> api.Trail:
    """Return a trail of one dump with *records* beside pages 8, 9, ..."""
    m = Machine()
    m.begin()
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="d", window_begin=m.ts, window_end=m.ts, entries=len(records)))
    for place, record in enumerate(records):
        common = {"pfn": 8 + place, "order": 0, "gfp_mask": 0xCC0, "pid": 7, "tgid": 7, "comm": "sh", "ts_nsec": 9}
        m.emit(Kind.BASELINE_ENTRY, **common | record)
    m.emit(Kind.BASELINE_END, BaselineEnd(name="d", entries=len(records)))
    m.end()
    trail = trail_of(folder / "trail", to_frames(m.recordings))
    fold(trail, correct=True)
    return api.open(trail)


def test_pages_without_a_cgroup_are_a_group_of_their_own_and_none_is_certain_of_its_cgroup(tmp_path: Path) -> None:
    trail = dumped(tmp_path, {"cgroup": "/"}, {}, {"cgroup": "web"}, {}, {"memcg_flags": 1})
    groups = {r["key"]: (r["pages"], r["certain_pages"]) for r in trail.top("-0s", "cgroup").to_pylist()}
    assert groups == {"/": (1, 0), "web": (1, 0), None: (3, 0)}


def test_filters_select_by_cgroup_and_type_of_the_pageblock(tmp_path: Path) -> None:
    trail = dumped(
        tmp_path,
        {"cgroup": "web.service", "block_migratetype": 4},
        {"cgroup": "db.service", "block_migratetype": 4},
        {"block_migratetype": 1},
    )

    def pages(**filters: list[str]) -> list[int]:
        given = api.Filters(**filters)  # type: ignore[arg-type]
        rows = trail.snapshot("-0s", columns=("pfn",), filters=given)["pfn"].to_pylist()
        text = trail.page_owner_text("-0s", filters=given)
        assert [f"\nPFN {pfn} " in text for pfn in (8, 9, 10)] == [pfn in rows for pfn in (8, 9, 10)]
        return list(rows)

    assert pages(cgroup=["web"]) == [8]
    assert pages(cgroup=["service"]) == [8, 9]
    assert pages(block_type=["cma"]) == [8, 9]
    assert pages(block_type=["CMA"], cgroup=["db"]) == [9]
    assert pages(cgroup=["nobody"]) == []


@pytest.mark.parametrize(("filters", "word"), [({"cgroup": [""]}, "cgroup"), ({"block_type": ["x"]}, "CMA")])
def test_a_filter_that_names_nothing_is_refused(tmp_path: Path, filters: dict[str, list[str]], word: str) -> None:
    with pytest.raises(BadArgument, match=f"(?i){word}"):
        dumped(tmp_path, {}).top("-0s", "pid", filters=api.Filters(**filters))  # type: ignore[arg-type]


def test_what_is_said_of_a_block_is_said_of_its_tails_until_it_is_split(tmp_path: Path) -> None:
    m = Machine()
    m.begin(covered=("alloc", "free", "split"))
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="d", window_begin=m.ts, window_end=m.ts, entries=1))
    m.emit(Kind.BASELINE_ENTRY, pfn=8, order=2, gfp_mask=0x40CC0, pid=7, ts_nsec=9, cgroup="web")
    m.emit(Kind.BASELINE_END, BaselineEnd(name="d", entries=1))
    m.ts += 1000
    m.emit(Kind.SPLIT, pfn=8, nr_pages=4, order=0)
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings))
    fold(trail, correct=True)
    opened = api.open(trail)
    assert opened.owner(range(8, 12), 0)["cgroup"].to_pylist() == ["web"] * 4
    assert opened.owner(range(8, 12), "-0s")["cgroup"].to_pylist() == ["web", None, None, None]
    assert sum(opened.snapshot("-0s")["nr_pages"].to_pylist()) == 4


def test_a_page_that_the_dump_read_while_it_was_touched_has_nothing_said(tmp_path: Path) -> None:
    m = Machine()
    m.begin(covered=("alloc", "free"))
    m.ts += 2000
    m.emit(Kind.ALLOC, pfn=8, order=0, gfp_mask=0xCC0, pid=7, tgid=7, comm="sh")
    born, window = m.ts, m.ts - 1000
    m.ts += 1000
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="d", window_begin=window, window_end=m.ts, entries=1))
    m.emit(
        Kind.BASELINE_ENTRY,
        pfn=8,
        order=0,
        gfp_mask=0xCC0,
        pid=7,
        tgid=7,
        comm="sh",
        ts_nsec=born + OFFSET,
        cgroup="web",
    )
    m.emit(Kind.BASELINE_END, BaselineEnd(name="d", entries=1))
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings))
    fold(trail, correct=True)
    (row,) = api.open(trail).owner([8], "-0s").to_pylist()
    assert (row["state"], row["cgroup"], row["dump_ts"]) == ("owned", None, None)


def test_what_is_kept_of_many_dumps_is_no_more_than_what_is_owned() -> None:
    """GIVEN many dumps of the same pages WHEN segments end THEN only what the last dump said is kept."""
    told = Tracked()
    for word in range(30):
        told.tell(0, 63, word % 6)
    engine = StreamEngine(host="h", boot_id="b", options=FoldOptions(floor=8, events_a_live=1))
    for frame in to_frames(signed(told.machine).recordings):
        header, batch = decode_frame(frame.payload)
        for stretch in engine.apply(header, batch):
            assert stretch.said.rows.pfn.size <= 4 * PAGES
    assert engine.state.said.rows.pfn.size <= 4 * PAGES
