"""Clients of page_ext: a new one is a file and a line; what they hold is kept, sealed and resumed like owners."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from pagetrail import api
from pagetrail.replay.fold.decode import Events
from pagetrail.replay.log.embedded import SqliteLogReader
from pagetrail.replay.rules import fold_options
from pagetrail.replay.rules.clients import CLIENTS
from pagetrail.replay.rules.clients.client import PAGE_KINDS, Client, FieldValues
from pagetrail.replay.rules.fold_options import FoldOptions
from pagetrail.replay.rules.page_ext import bytes_a_page
from pagetrail.replay.run.replayer import Replayer
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Hotplug
from pagetrail.schemas.errors import NotFound
from pagetrail.schemas.frames import Frame
from pagetrail.schemas.store.names import fold_name
from tests.effort import effort
from tests.replay.states import FLOOR, Run, chained, folded, live_flags, new_engine, replay, store, trail_of
from tests.replay.strategies import PAGES, Machine, history, to_frames


def last_user(events: Events) -> FieldValues:
    """Field 0: the pid that allocated last; field 1: the order of the last free. A drain says nothing."""
    allocated, freed = events.kind == Kind.ALLOC, events.kind == Kind.FREE
    field = np.where(allocated, 0, np.where(freed, 1, -1)).astype(np.int8)
    return FieldValues(field=field, value=np.where(allocated, events.pid, events.order).astype(np.int64))


THIRD = Client(
    name="last_user", size=0, need=lambda boot: True, fields=("pid", "freed_order"),
    kinds=frozenset({Kind.ALLOC, Kind.FREE, Kind.DRAIN}), says=last_user,
)  # fmt: skip
WITH_THIRD = FoldOptions(floor=FLOOR, events_a_live=1, clients=(*CLIENTS, THIRD))


def told() -> list[Frame]:
    m = Machine()
    m.begin(debug=True)
    for i in range(40):
        m.ts += 5
        m.emit(Kind.ALLOC, pfn=i - i % 2, order=i % 2, gfp_mask=0, pid=100 + i)
        m.emit(Kind.POISON, pfn=i, order=0)
        if i % 3 == 0:
            m.emit(Kind.FREE, pfn=i - i % 2, order=i % 2, pid=100 + i)
    m.end()
    return to_frames(m.recordings, [9])


def replayed(trail: Path, options: FoldOptions, frames: int | None = None) -> Path:
    """Replay a trail with *options*, perhaps only so many frames; return the last file of its stream."""
    with SqliteLogReader(trail) as reader:
        replayer = Replayer(trail, reader, options=options)
        replayer.run(stop=(lambda: False) if frames is None else (lambda: replayer.report.frames >= frames))
    return chained(trail, fold=options.name)[-1]


def held(last: Path, client: str) -> set[tuple[str, int, int, int]]:
    """Return (field, page, value, begin_seq) of what a client holds at the end of a stream."""
    with duckdb.connect(str(last), read_only=True) as db:
        query = "SELECT field, pfn, nr_pages, value, begin_seq FROM page_ext WHERE client = ? AND end_seq = 2^63 - 1"
        rows = db.execute(query, [client]).fetchall()
    return {(field, page, value, seq) for field, pfn, n, value, seq in rows for page in range(pfn, pfn + n)}


def expected() -> set[tuple[str, int, int, int]]:
    """Return the same from the events themselves, page by page."""
    m, found = Machine(), {}
    m.begin(debug=True)
    for i in range(40):
        block = range(i - i % 2, i - i % 2 + 2 ** (i % 2))
        m.emit(Kind.ALLOC, pfn=block[0], order=i % 2, gfp_mask=0, pid=100 + i)
        found |= {("pid", page): (100 + i, len(m.recordings[0]) - 1) for page in block}
        m.emit(Kind.POISON, pfn=i, order=0)
        if i % 3 == 0:
            m.emit(Kind.FREE, pfn=block[0], order=i % 2, pid=100 + i)
            found |= {("freed_order", page): (i % 2, len(m.recordings[0]) - 1) for page in block}
    return {(field, page, value, seq) for (field, page), (value, seq) in found.items()}


def test_a_new_client_is_filled_by_a_new_replay_of_an_old_log(tmp_path: Path) -> None:
    """GIVEN a log that was replayed WHEN a client is added THEN a replay fills it, beside what there was."""
    trail = trail_of(tmp_path / "trail", told())
    old = replayed(trail, FoldOptions(floor=FLOOR, events_a_live=1))
    before = store(trail)
    new = replayed(trail, WITH_THIRD)
    assert held(new, "last_user") == expected()
    assert held(new, "debug") == held(old, "debug") != set()
    assert new != old
    assert before.items() <= store(trail).items()


def test_a_new_client_gives_no_old_answers_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a store WHEN a client is added as documented THEN questions ask for a replay, and then answer by it."""
    trail = trail_of(tmp_path / "trail", told())
    api.replay(trail)
    assert "last_user.pid" not in api.open(trail).stream().facts.fields
    monkeypatch.setattr(fold_options, "CLIENTS", (*CLIENTS, THIRD))
    with pytest.raises(NotFound, match="run 'pagetrail replay'"):
        api.open(trail)
    api.replay(trail)
    assert "last_user.pid" in api.open(trail).stream().facts.fields


@pytest.mark.parametrize("frames", effort((1, 4, 7, 9), range(1, 10)))
def test_what_a_new_client_holds_survives_a_stop(tmp_path: Path, frames: int) -> None:
    whole, stopped = (trail_of(tmp_path / name, told()) for name in ("whole", "stopped"))
    replayed(whole, WITH_THIRD)
    replayed(stopped, WITH_THIRD, frames)
    replayed(stopped, WITH_THIRD)
    assert store(stopped) == store(whole)


def test_what_a_client_holds_is_part_of_the_digest() -> None:
    def digest(kind: Kind) -> str:
        m = Machine()
        m.begin(debug=True)
        m.emit(kind, pfn=0, order=0)
        return folded(to_frames(m.recordings)).digests[-1][2]

    assert digest(Kind.POISON) != digest(Kind.UNPOISON)


def test_clients_change_nothing_of_what_others_say() -> None:
    recordings = history(bytes(i * 89 % 256 for i in range(401))).recordings
    plain = folded(to_frames(recordings))
    more = Run(new_engine())
    more.engine = type(more.engine)(host="host", boot_id="boot", options=WITH_THIRD)
    more.apply(to_frames(recordings)).finish()
    assert more.spans == plain.spans
    flags = {flag for flag in live_flags(more.engine) if flag.field in ("poison", "guard")}
    assert flags == live_flags(plain.engine) != set()


def test_a_fold_that_knows_other_clients_has_another_name() -> None:
    assert FoldOptions().name == fold_name(correct=True) == "fold9"
    assert WITH_THIRD.name == "fold9+last_user"
    assert FoldOptions(correct=False, clients=CLIENTS[:2]).name == "fold9-without-debug-no-correct"


def test_a_client_that_is_not_needed_holds_nothing() -> None:
    m = Machine()
    m.begin()
    m.emit(Kind.POISON, pfn=0, order=0)
    run = folded(to_frames(m.recordings))
    assert run.engine.state.facts.clients == run.engine.state.facts.fields == []
    assert run.tables[-1]["page_ext"].num_rows == 0


@pytest.mark.parametrize(
    ("clients", "size"), [
        ((), None), (("owner",), 64), (("owner", "page_table_check"), 72), (("owner", "debug"), 64), (("debug",), 8),
    ],
)  # fmt: skip
def test_the_extensions_size_follows_from_the_clients_that_are_needed(
    clients: tuple[str, ...], size: int | None
) -> None:
    assert bytes_a_page(Boot(page_ext_clients=clients)) == size


def test_clients_have_names_and_kinds_of_their_own() -> None:
    names = [client.name for client in CLIENTS]
    assert len(set(names)) == len(names)
    for client in CLIENTS:
        assert client.kinds <= PAGE_KINDS
        assert bool(client.kinds) == bool(client.fields)


def test_flags_go_with_their_extension_and_the_next_one_has_none() -> None:
    """GIVEN a poisoned page WHEN its section goes and comes again THEN its flag ended there, and is clear (inferred)."""
    m = Machine()
    m.begin(debug=True)
    for call, phase, ret in (
        ("offline_pages", "entry", None),
        ("offline_pages", "return", 0),
        ("online_pages", "entry", None),
    ):
        if call == "offline_pages" and phase == "entry":
            m.emit(Kind.POISON, pfn=PAGES, order=6)
        m.ts += 10
        span = {"pfn": PAGES, "nr_pages": PAGES} if phase == "entry" else {}
        m.emit(Kind.HOTPLUG, Hotplug(call=call, phase=phase), ret=ret, pid=7, **span)  # type: ignore[arg-type]
    run = Run(new_engine(floor=1 << 30)).apply(to_frames(m.recordings)).finish()
    ((_, ended),) = {(flag.value, at) for flag, _, at in run.flags}
    assert ended == 20
    now = [flag for flag in live_flags(run.engine) if flag.pfn == PAGES]
    assert {(flag.field, flag.value, flag.generation, flag.evidence.name) for flag in now} == {
        ("poison", 0, 2, "INFERRED"), ("guard", 0, 2, "INFERRED"),
    }  # fmt: skip


def test_a_flag_event_that_cannot_be_is_set_aside_and_tells_of_no_page(tmp_path: Path) -> None:
    m = Machine()
    m.begin(debug=True)
    m.emit(Kind.POISON, pfn=1, order=1)
    m.emit(Kind.GUARD, pfn=0)
    run = folded(to_frames(m.recordings))
    assert len(run.quarantined) == 2
    assert live_flags(run.engine) == set()


def test_a_range_of_flags_is_of_pages_that_are_no_block() -> None:
    m = Machine()
    m.begin(debug=True)
    m.emit(Kind.GUARD, pfn=5, nr_pages=3)
    assert sorted(flag.pfn for flag in live_flags(folded(to_frames(m.recordings)).engine)) == [5, 6, 7]


def test_a_replay_of_the_log_by_the_command_holds_the_flags(tmp_path: Path) -> None:
    trail = trail_of(tmp_path / "trail", told())
    replay(trail)
    assert {page for field, page, value, _ in held(chained(trail, fold="fold9")[-1], "debug")} == set(range(40))
