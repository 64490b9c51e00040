"""What a stream's rare events cost does not grow with what came before: each call, loss and section is looked at once."""

import pytest

from pagetrail.replay.facts.hotplug import Extension, HotplugCall, OpenCalls
from pagetrail.replay.facts.losses import LossTimes
from pagetrail.replay.rules.sections import Sections
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Gap, Hotplug
from tests.replay.rules.test_state import PAGES, state, tell

CALLS = 300


class Once(list[object]):
    """A list that counts what is read of it."""

    read = 0

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        found = super().__getitem__(place)
        Once.read += len(found) if isinstance(place, slice) else 1
        return found

    def __iter__(self):  # type: ignore[no-untyped-def]
        Once.read += len(self)
        return super().__iter__()


@pytest.mark.parametrize("paired", [True, False])
def test_each_hotplug_call_and_each_loss_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, paired: bool) -> None:
    of = state()
    of.facts.hotplug, of.facts.gaps, of.facts.sections = Once(), Once(), Once()  # type: ignore[assignment]
    of.sections = Sections(of.facts.sections)
    monkeypatch.setattr(Once, "read", 0)
    phases = ("entry", "return") if paired else ("return",)
    for at in range(CALLS):
        for phase in phases:
            detail = Hotplug(call="online_pages" if at % 2 else "offline_pages", phase=phase)  # type: ignore[arg-type]
            pfn = {"pfn": at // 2 % 4 * PAGES, "nr_pages": PAGES} if paired else {}
            tell(of, Kind.HOTPLUG, detail, ts=10 + at, pid=1, ret=0, **pfn)
        tell(of, Kind.GAP, Gap(t_lo=at, t_hi=at + 1, reason="a test"), ts=11 + at)
        of.not_there(at // 2 % 4)
    assert len(of.facts.hotplug) == CALLS * len(phases)
    assert Once.read <= 2 * (len(of.facts.hotplug) + len(of.facts.gaps) + len(of.facts.sections))


def test_open_calls_of_a_list_that_grows_are_those_of_the_whole_list() -> None:
    calls: list[HotplugCall] = []
    grows = OpenCalls()
    for seq in range(200):
        call, phase = ("online_pages", "offline_pages")[seq % 2], ("entry", "return", "notified", "entry")[seq * 7 % 4]
        calls.append(
            HotplugCall(seq=seq, ts=seq * 5 % 17, call=call, phase=phase, pfn=seq, nr_pages=1, ret=0, pid=seq * 3 % 5)
        )
        anew = OpenCalls().read(list(calls))
        found = grows.read(calls)
        assert (found.all(), found.last, found.range_of("online_pages")) == (
            anew.all(),
            anew.last,
            anew.range_of("online_pages"),
        )
        pending = [c for c in anew.all() if c.call == "online_pages"]
        assert found.range_of("online_pages") == ((pending[0].pfn, pending[0].pfn + 1) if pending else None)  # type: ignore[operator]
    assert grows.read(calls[:3]).all() == OpenCalls().read(calls[:3]).all()


def test_losses_of_another_list_are_read_anew() -> None:
    read, gaps = LossTimes(), [(0, None, Gap(t_lo=5, t_hi=9, reason="a")), (1, None, Gap(t_lo=7, t_hi=20, reason="b"))]
    assert (read.read(gaps).first, read.last, read.reach(20), read.reach(21)) == (5, 20, True, False)
    assert (read.read(gaps[:1]).last, read.read([]).last) == (9, None)


def test_generations_and_slots_of_a_history_go_on_as_those_that_were_kept() -> None:
    of = state()
    for at in range(60):
        nr = at * 7 % 5
        if of.sections.is_open(nr):
            of.free(nr, at, at, "a test")
        else:
            of.allocate(nr, at, at, "a test")
            of.seat(nr)
    again = Sections([Extension(**{n: getattr(e, n) for n in Extension.__slots__}) for e in of.facts.sections])
    for nr in range(5):
        assert again.ended_at(nr) == of.sections.ended_at(nr)
    taken = of.tables.slot[of.tables.slot >= 0]
    assert sorted(taken.tolist()) == sorted(set(taken.tolist()))
    assert again._free_slot(of.tables) == of.sections._free_slot(of.tables)
