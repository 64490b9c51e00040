"""Hosts and boots may have any name: each has files of its own, and answers for itself; a file that is not its own is refused."""

import shutil
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.replay.store.local import store_of
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import SegmentDamaged
from pagetrail.schemas.frames import make_frame
from pagetrail.schemas.store.names import fold_name
from tests.replay.states import chained, replay, store, trail_of
from tests.replay.strategies import Event, Machine, origin, to_batch

FOLD = fold_name(correct=True)

HOSTS = (
    "host", f"{FOLD}.lock", f"{FOLD}.cut.json", "h" * 300, "h" * 299 + "H", "a\u2028b", "a 28b", "a%28b", "..", ".", "", "%", "%2e",
    "%2e.", "A", "a", "\N{GRINNING FACE}", "\N{ANGSTROM SIGN}", "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", "a/b", "hosts",
    "cuts", "a\x1b[31mb", "a\0b", "\N{RIGHT-TO-LEFT OVERRIDE}a", "con", "a.", "a ",
)  # fmt: skip


def recording(pages: int, events: int = 0) -> list[Event]:
    """Return a recording that ends with so many pages owned, by a task of that number; *events* before are of a single page."""
    m = Machine()
    m.begin()
    for nr in range(events):
        m.ts += 1
        m.emit((Kind.ALLOC, Kind.FREE)[nr % 2], pfn=0, order=0, gfp_mask=0, pid=1)
    for pfn in range(pages):
        m.ts += 1
        m.emit(Kind.ALLOC, pfn=pfn, order=0, gfp_mask=0, pid=pages)
    m.end()
    return m.recordings[0]


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trail of hosts with such names, each with a boot of that name, too, and as many pages as its place in ``HOSTS``."""
    frames = [
        make_frame(to_batch(recording(nr)), origin(f"recording {nr}", host=host, boot_id=host), 0)
        for nr, host in enumerate(HOSTS, 1)
    ]
    made = trail_of(tmp_path_factory.mktemp("names") / "trail", frames)
    replay(made)
    return made


def test_every_host_answers_for_itself(trail: Path) -> None:
    opened = api.open(trail)
    rows = opened.streams().to_pylist()
    assert {(row["host"], row["boot_id"]) for row in rows} == {(host, host) for host in HOSTS}
    assert all(row["complete"] for row in rows)
    for pages, host in enumerate(HOSTS, 1):
        found = opened.snapshot("-0s", stream=f"{host}/{host}")
        assert found["pid"].to_pylist() == [pages] * pages, host


def test_every_host_has_a_folder_of_its_own_in_the_room_of_hosts(trail: Path) -> None:
    folders = [file.parent.parent for file in (store_of(trail).root / "hosts").glob("*/*/*/*.duckdb")]
    assert len({str(folder).casefold() for folder in folders}) == len(HOSTS)
    assert sorted(path.name for path in store_of(trail).root.iterdir()) == [".locks", "cuts", "hosts"]


def test_a_second_replay_has_nothing_to_do(trail: Path) -> None:
    before = store(trail)
    report, _ = replay(trail)
    assert (report.events, report.halted, store(trail)) == (0, {}, before)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Return a trail of two hosts with segments alike."""
    events = recording(1, 60)
    made = trail_of(tmp_path / "trail", [
        make_frame(to_batch(events[start : start + 7]), origin(f"of {host}", host=host), number)
        for host in ("one", "other") for number, start in enumerate(range(0, len(events), 7))])  # fmt: skip
    replay(made)
    return made


def ask(trail: Path) -> None:
    """Ask for an instant in each of the first files, and in the last."""
    opened = api.open(trail)
    for time in ("2ns", "9ns", "16ns", "22ns", "-0s"):
        opened.snapshot(time, stream="one")


@pytest.mark.parametrize("harm", ["of another host", "swapped", "an older one over the last", "renamed"])
def test_a_file_that_is_not_what_its_name_says_is_refused(two: Path, harm: str) -> None:
    before = store(two)
    ours, theirs = chained(two, host="one"), chained(two, host="other")
    assert len(ours) > 3
    if harm == "of another host":
        shutil.copy(theirs[-1], ours[-1])
    elif harm == "swapped":
        aside = ours[1].rename(two / "aside")
        ours[2].rename(ours[1])
        aside.rename(ours[2])
    elif harm == "an older one over the last":
        shutil.copy(ours[0], ours[-1])
    else:
        ours[-1].rename(ours[-1].with_name("TIP-0000000000000000999.duckdb"))
    with pytest.raises(
        SegmentDamaged, match=r"found what belongs at hosts/.*; remove the file and run 'pagetrail replay'"
    ):
        ask(two)
    shutil.rmtree(ours[0].parent)
    replay(two)
    assert store(two) == before
