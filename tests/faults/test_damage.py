"""Bytes that changed are noticed where they are read; what can be made again is made again."""

import dataclasses
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.replay.store.cut import cut_name
from pagetrail.replay.store.local import store_of
from pagetrail.replay.store.lock import replay_lock
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import SegmentDamaged, TrailBusy, TrailTooNew
from pagetrail.schemas.frames import FRAME_VERSION, Frame, encode_frame, frame_digest
from pagetrail.schemas.log.contract import log_directory
from pagetrail.schemas.store.names import fold_name
from tests.replay.states import chained, litter, replay, store, trail_of
from tests.replay.strategies import Machine, to_batch, to_frames


def machine(events: int = 90) -> Machine:
    m = Machine()
    m.begin()
    for nr in range(events):
        m.ts += 1
        m.emit((Kind.ALLOC, Kind.ALLOC, Kind.FREE)[nr % 3], pfn=nr % 4, order=0, gfp_mask=0, pid=1)
    m.end()
    return m


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Return a trail of several segments and a tip."""
    made = trail_of(tmp_path / "trail", to_frames(machine().recordings, [7])[:-1])
    replay(made)
    return made


# -- segments ------------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"garbage " * 1000,
    "a quarter": lambda content: content[: len(content) // 4],
    "half": lambda content: content[: len(content) // 2],
    "all but a block": lambda content: content[:-16_384],
    "header lost": lambda content: bytes(16_384) + content[16_384:],
    "blocks lost": lambda content: content[:20_000] + bytes(len(content) - 20_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_made_again(trail: Path, damage: str) -> None:
    before = store(trail)
    last = chained(trail)[-1]
    content = last.read_bytes()
    last.chmod(0o600)
    last.write_bytes(DAMAGES[damage](content))
    found = api.open(trail)
    with pytest.raises(SegmentDamaged) as caught:
        found.owner([1], found.stream().horizon + 1)
    assert caught.value.path == str(last)
    assert "remove the file and run 'pagetrail replay'" in str(caught.value)
    report, _ = replay(trail)
    assert [*report.remade] == [str(last)]
    assert store(trail) == before


@pytest.mark.parametrize("which", ["first", "middle", "last", "tip", "all", "all but the tip"])
def test_segments_that_are_gone_are_made_again_the_same(trail: Path, which: str) -> None:
    """The cut says that the whole log is in segments; it is not trusted when they do not reach so far."""
    before = store(trail)
    files = chained(trail)
    assert len(files) > 4
    gone = {
        "first": files[:1], "middle": files[2:3], "last": files[-2:-1], "tip": files[-1:], "all": files,
        "all but the tip": files[:-1],
    }[which]  # fmt: skip
    for path in gone:
        path.unlink()
    replay(trail)
    assert store(trail) == before
    assert litter(trail) == []


def test_a_segment_of_a_newer_format_is_refused(trail: Path) -> None:
    import duckdb

    last = chained(trail)[-1]
    with duckdb.connect(str(last)) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    store_of(trail).remove(cut_name(fold_name(correct=True)))
    content = last.read_bytes()
    report, _ = replay(trail)
    assert "found 99" in report.halted["host", "boot"]
    assert last.read_bytes() == content
    with pytest.raises(TrailTooNew, match="99"):
        api.open(trail)


def test_a_view_in_place_of_a_table_is_not_asked(trail: Path) -> None:
    import duckdb

    secret = trail / "secret.txt"
    secret.write_text("not for answers")
    last = chained(trail)[-1]
    with duckdb.connect(str(last)) as db:
        db.execute("DROP TABLE comms")
        db.execute(f"CREATE VIEW comms AS SELECT 0 AS id, content AS comm FROM read_text('{secret}')")
    with pytest.raises(SegmentDamaged, match="comms: expected tables, found views"):
        api.open(trail).snapshot("-0s")


def test_two_replays_at_once_are_one_too_many(trail: Path) -> None:
    before = store(trail)
    with replay_lock(trail, fold_name(correct=True)), pytest.raises(TrailBusy, match="another replay is running"):
        replay(trail)
    assert store(trail) == before
    replay(trail)


# -- the log -------------------------------------------------------------------------------------------------------------


def two_hosts(folder: Path, spoil: Callable[[Frame], Frame]) -> tuple[Path, Frame, Frame]:
    """Return a trail of two hosts, the third frame of host a spoiled; and that frame, whole and spoiled."""
    m = machine()
    a, b = (to_frames(m.recordings, [7], host=host) for host in ("a", "b"))
    b = [
        dataclasses.replace(
            f, header=(header := dataclasses.replace(f.header, recording="of b")),
            payload=(payload := encode_frame(to_batch(m.recordings[0][7 * i : 7 * i + 7]), header)),
            digest=frame_digest(payload),
        )
        for i, f in enumerate(b)
    ]  # fmt: skip
    mixed = [frame for pair in zip(a, b, strict=True) for frame in pair]
    return trail_of(folder, [spoil(f) if f is a[2] else f for f in mixed]), a[2], spoil(a[2])


def newer(frame: Frame) -> Frame:
    """Return a frame that says it is of the next version of the schema."""
    header = dataclasses.replace(frame.header, version=FRAME_VERSION + 1)
    batch = to_batch(machine().recordings[0][header.first_seq : header.last_seq + 1])
    payload = encode_frame(batch, header)
    return dataclasses.replace(frame, header=header, payload=payload, digest=frame_digest(payload))


def changed(frame: Frame) -> Frame:
    """Return a frame whose bytes are not those of its digest."""
    return dataclasses.replace(frame, payload=frame.payload[:-50] + bytes(50))


def cut_short(frame: Frame) -> Frame:
    """Return half a frame, stored as such."""
    half = frame.payload[: len(frame.payload) // 2]
    return dataclasses.replace(frame, payload=half, digest=frame_digest(half))


def no_frame(frame: Frame) -> Frame:
    """Return bytes that are no frame, stored as such."""
    return dataclasses.replace(frame, payload=b"no frame", digest=frame_digest(b"no frame"))


@pytest.mark.parametrize(
    ("spoil", "word"), [(newer, "version"), (changed, "digest"), (cut_short, "frame"), (no_frame, "Arrow")]
)
def test_a_frame_that_cannot_be_read_halts_its_stream_and_no_other(
    tmp_path: Path, spoil: Callable[[Frame], Frame], word: str
) -> None:
    trail, whole, spoiled = two_hosts(tmp_path / "trail", spoil)
    sound, _, _ = two_hosts(tmp_path / "sound", lambda frame: frame)
    replay(sound)
    for _ in range(2):  # it stays in the log, and is said again
        report, _ = replay(trail)
        assert list(report.halted) == [("a", "boot")]
        assert word in report.halted["a", "boot"]
        assert "offset 4" in report.halted["a", "boot"]
    ours, theirs = ({n: d for n, d in store(one).items() if n.startswith("hosts/b/")} for one in (trail, sound))
    assert ours == theirs != {}

    with sqlite3.connect(next(log_directory(trail).glob("*.sqlite"))) as db:
        found = db.execute(
            "UPDATE frames SET payload = ?, digest = ?, version = ? WHERE digest = ?",
            (whole.payload, whole.digest, whole.header.version, spoiled.digest),
        )
        assert found.rowcount == 1
    db.close()
    report, _ = replay(trail)
    assert report.halted == {}
    assert store(trail) == store(sound)
