"""Rows that are kept until they are needed are those that were added, wherever they are meanwhile."""

import copy
import os
import pickle
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from pagetrail.schemas.errors import StorageFull
from pagetrail.schemas.store.kept_rows import KEPT_BYTES, KeptRows
from tests.faults.forked import Forked


def noise(size: int) -> pa.RecordBatch:
    """Return rows that cannot be compressed."""
    return pa.RecordBatch.from_arrays([pa.array([os.urandom(1 << 10) for _ in range(size >> 10)], pa.binary())], ["x"])


def test_they_take_no_more_memory_than_their_limit() -> None:
    kept, added = KeptRows(), [noise(1 << 18) for _ in range(9)]
    assert [kept.add(rows) for rows in added] == list(range(9))
    assert 0 < kept.nbytes <= KEPT_BYTES
    assert list(kept.batches()) == added
    assert kept.batch(7) == added[7]


def test_what_is_added_later_is_not_in_a_snapshot() -> None:
    kept, added = KeptRows(), [noise(KEPT_BYTES - (1 << 17)), noise(1 << 18), noise(1 << 18)]
    for rows in added[:2]:
        kept.add(rows)
    before = kept.snapshot()
    kept.add(added[2])
    assert list(before.batches()) == added[:2]
    assert list(kept.batches()) == added


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
def test_a_copy_outlives_the_file_of_the_original(copied) -> None:  # type: ignore[no-untyped-def]
    kept, added = KeptRows(), [noise(1 << 18) for _ in range(9)]
    for rows in added:
        kept.add(rows)
    again = copied(kept)
    del kept
    again.add(added[0])
    assert list(again.batches()) == [*added, added[0]]


def two_writers() -> None:
    """Add rows, fork, and add others in both processes; say whether each has its own."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    kept, added = KeptRows(), [noise(1 << 18) for _ in range(9)]
    for rows in added[:7]:
        kept.add(rows)
    child = os.fork()
    own = added[7] if child else added[8]
    kept.add(own)
    right = list(kept.batches()) == [*added[:7], own]
    if not child:
        os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)
    right = right and status == 0 and list(kept.batches()) == [*added[:7], own]
    sys.stdout.write(f"{right}\n")
    sys.stdout.flush()


def test_a_forked_process_writes_to_a_file_of_its_own() -> None:
    assert Forked(two_writers).outcome() == (0, "True\n")


def full_file() -> None:
    """Keep more than a file may have."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    kept = KeptRows()
    try:
        for _ in range(9):
            kept.add(noise(1 << 18))
    except StorageFull as error:
        sys.stdout.write(f"{error.path}: {error}\n")
        sys.stdout.flush()


def test_a_full_disk_is_told_with_the_folder_and_what_names_another() -> None:
    code, said = Forked(full_file, most=1 << 19).outcome()
    assert (code, said.split(":")[0]) == (0, tempfile.gettempdir())
    assert "no space left" in said
    assert "$TMPDIR names another folder" in said


def test_another_error_of_the_system_is_not_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    kept = KeptRows()
    with pytest.raises(FileNotFoundError, match="missing"):
        kept.add(noise(KEPT_BYTES + 1024))
