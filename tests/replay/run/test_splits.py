"""However the log is cut into frames and reads, the fold is the same."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay.states import folded, replay, store, trail_of
from tests.replay.strategies import History, histories, to_frames

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(histories(), sizes)
def test_split_batches_fold_to_the_same_segments(told: History, cut: list[int]) -> None:
    whole, parts = (folded(to_frames(told.recordings, s), correct=told.correct) for s in ((1 << 16,), cut))
    assert parts.digests == whole.digests


@settings(max_examples=max(settings().max_examples // 8, 4))
@given(histories(max_events=60), sizes, st.integers(1, 20_000))
def test_odd_frames_and_reads_make_the_same_store(told: History, cut: list[int], read_bytes: int) -> None:
    with TemporaryDirectory() as folder:
        stores = []
        for name, frame_sizes, most in (("whole", [1 << 16], 1 << 26), ("parts", cut, read_bytes)):
            trail = trail_of(Path(folder) / name, to_frames(told.recordings, frame_sizes))
            replay(trail, correct=told.correct, read_bytes=most)
            stores.append(store(trail))
        assert stores[0] == stores[1]
