"""What is known of every capture is what it was: the state digests are written down, and no change of layout may change them.

``python -m tests.captures.test_state_digests`` writes them anew: a change of a rule, which the changelog has to name.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pagetrail import api
from tests.captures.conftest import ReplayedCapture
from tests.conftest import REPOSITORY, captures_folder

FILE = REPOSITORY / "tests" / "golden" / "state_digests.json"
GOLDEN: dict[str, dict[str, str]] = json.loads(FILE.read_text())


def streams(trail: Path, *, correct: bool) -> dict[str, Any]:
    (row,) = api.open(trail, correct=correct).streams().to_pylist()
    return {"stream": f"{row['host']}/{row['boot_id']}", "digest": row["state_digest"]}


@pytest.mark.parametrize("capture", GOLDEN)
def test_a_capture_that_dumps_only_audit_is_what_it_was(replayed_capture: ReplayedCapture, capture: str) -> None:
    found = streams(replayed_capture(capture).path, correct=False)
    assert found == {"stream": GOLDEN[capture]["stream"], "digest": GOLDEN[capture]["audited"]}


@pytest.mark.slow
@pytest.mark.parametrize("capture", ["small", "probes", "fleet/host-a"])
def test_a_capture_that_dumps_correct_is_what_it_was(
    replayed_capture: ReplayedCapture, tmp_path: Path, capture: str
) -> None:
    trail = tmp_path / "trail"
    trail.mkdir()
    (trail / "log").symlink_to(replayed_capture(capture).path / "log")
    api.replay(trail, correct=True)
    assert streams(trail, correct=True)["digest"] == GOLDEN[capture]["correct"]


def main() -> None:
    """Replay every capture in both folds, and write what is known of it."""
    found = {}
    for capture in GOLDEN:
        with tempfile.TemporaryDirectory() as folder:
            trail = Path(folder) / "trail"
            api.ingest(trail, captures_folder() / capture)
            for correct in (True, False):
                api.replay(trail, correct=correct)
            told = {name: streams(trail, correct=value) for name, value in (("audited", False), ("correct", True))}
        found[capture] = {"stream": told["audited"]["stream"], **{name: one["digest"] for name, one in told.items()}}
        sys.stdout.write(f"{capture}: {'as before' if found[capture] == GOLDEN[capture] else 'changed'}\n")
    FILE.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
