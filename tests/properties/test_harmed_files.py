"""Inputs of every kind that are harmed in any way: each ends as an error of pagetrail's own, or is read with its losses counted.

Of harm that can be seen, no page is certain and different from what the unharmed input gives.
"""

import random
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.producers.inputs import source_of
from pagetrail.producers.log.framing import Framer
from pagetrail.producers.log.ingest import origin_of
from pagetrail.producers.recordings import open_recording
from pagetrail.producers.unpacking import Unpacking, kind_of
from pagetrail.schemas.errors import InputError, PagetrailError
from tests.effort import effort
from tests.properties.harm import NODES, Mutant, harmed, mutant, put
from tests.properties.harmed_samples import CAPTURE, FILES

PARTS = 4
MUTANTS = effort(200, 20_000)
REPLAYED = effort(8, 600)
SEEN = effort(16, 2_000)
MOST_SECONDS = 20
"""Of a processor, for one mutant: a bound, not an expectation. They take milliseconds."""
MOST_BYTES = 1 << 29
AT = ("1.5s", "2s", "2.5s", "3s", "3.5s")
PFNS = [*range(0xF8, 0x138), 4096]
LONG = 40
"""Shorter lines are left as they are by ``harmed``."""
COMPARED = ("state", "order", "pid", "gfp_mask")
SECRET = "not of this capture"


@contextmanager
def bounded(seed: int, harm: str) -> Iterator[None]:
    """Hold what is done to a mutant to its bounds, and name the mutant where anything fails."""
    begun = time.process_time()
    try:
        yield
        assert time.process_time() - begun < MOST_SECONDS
    except BaseException as error:
        error.add_note(f"seed {seed}: {harm}")
        raise


def of_seed(seed: int) -> Mutant:
    """Return a mutant of a capture, or of a file alone."""
    if seed % 2:
        return mutant(CAPTURE, seed)
    name = sorted(FILES)[seed // 2 % len(FILES)]
    return mutant({name: FILES[name]}, seed)


def placed(found: Mutant, folder: Path) -> Path:
    """Write a mutant into *folder*; return what is to be ingested."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "outside").write_text(SECRET)
    put(found.files, folder / "input", folder / "outside")
    return folder / "input" if len(found.files) > 1 else next((folder / "input").iterdir())


def frames_of(path: Path) -> int:
    """Read an input to its end, as ingest does, and return how many frames it gives."""
    if path.is_dir():
        return framed(path)
    kind = kind_of(source_of(path))
    if kind is None:
        return framed(path)
    count = 0
    for found in Unpacking(source_of(path), kind, None).recordings():
        try:
            count += framed(found.path)
        except InputError:  # the others are read all the same
            continue
    return count


def framed(path: object) -> int:
    recording = open_recording(path)  # type: ignore[arg-type]  # a path or a source
    try:
        framer = Framer(origin_of(recording, producer_version="0"))
        frames = sum(1 for batch in recording.parser.batches() for _ in framer.add(batch))
        return frames + sum(1 for _ in framer.finish())
    finally:
        if recording.file is not None:
            recording.file.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_harmed_input_ends_as_an_error_of_our_own_or_is_read(tmp_path: Path, part: int) -> None:
    read = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(part, MUTANTS, PARTS):
        found = of_seed(seed)
        with bounded(seed, found.harm):
            said = ""
            try:
                read += frames_of(placed(found, tmp_path / "mutant"))
            except PagetrailError as error:
                said = str(error)
            assert SECRET not in said
    assert read
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MOST_BYTES


def answers(trail: Path) -> dict[tuple[str, int], dict[str, object]]:
    """Ask a trail for all that a user asks for; return the owner of each page at each instant, and whether it is certain."""
    asked = api.open(trail)
    streams = asked.streams()
    assert streams.num_rows == 1
    asked.doctor()
    asked.sections()
    asked.history(PFNS[20])
    found: dict[tuple[str, int], dict[str, object]] = {}
    for at in AT:
        try:
            found |= {(at, row["pfn"]): row for row in asked.owner(PFNS, at).to_pylist()}
        except PagetrailError:  # the instant lies outside of what was read
            continue
    return found


def replayed(path: Path, trail: Path) -> dict[tuple[str, int], dict[str, object]]:
    """Return the answers from an input; none if it is refused."""
    shutil.rmtree(trail, ignore_errors=True)
    try:
        (report,) = api.ingest_all(trail, path)
    except PagetrailError:
        return {}
    assert SECRET not in f"{report.origin} {report.notes}"
    api.replay(trail)
    return answers(trail)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_harmed_capture_is_replayed_and_asked_like_any_other(tmp_path: Path, part: int) -> None:
    asked = 0
    for seed in range(part, REPLAYED, PARTS):
        found = mutant(CAPTURE, seed)
        with bounded(seed, found.harm):
            asked += len(replayed(placed(found, tmp_path / "mutant"), tmp_path / "trail"))
    assert asked


def seen(seed: int) -> Mutant:
    """Return a capture with harm that can be seen: lines of a file that no kernel prints, a file that is cut off or is none."""
    rng = random.Random(seed)
    found: dict[str, bytes | str] = dict(CAPTURE)
    name = rng.choice(sorted(CAPTURE)) if rng.randrange(3) else "trace.txt"
    lines = [line for line in CAPTURE[name].split(b"\n")[:-1] if len(line) > LONG]
    if lines and rng.randrange(4):
        found[name] = harmed(CAPTURE[name], seed, min(1 + seed % 4, len(lines))).text
        return Mutant(files=found, harm=f"{name}: harmed lines")
    if name == "trace.txt":
        whole = CAPTURE[name].splitlines(keepends=True)
        found[name] = b"".join(whole[: rng.randrange(len(whole) // 2, len(whole))])
        return Mutant(files=found, harm=f"{name}: the last lines are missing")
    found[name] = rng.choice(NODES)
    return Mutant(files=found, harm=f"{name}: {found[name]}")


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, object]]:
    folder = tmp_path_factory.mktemp("unharmed")
    put(CAPTURE, folder / "input", folder / "outside")
    found = replayed(folder / "input", folder / "trail")
    assert sum(bool(row["certain"]) for row in found.values()) > len(AT)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_of_harm_that_is_seen_no_page_is_certain_and_different(
    tmp_path: Path, unharmed: dict[tuple[str, int], dict[str, object]], part: int
) -> None:
    certain = 0
    for seed in range(part, SEEN, PARTS):
        found = seen(seed)
        with bounded(seed, found.harm):
            for key, row in replayed(placed(found, tmp_path / "mutant"), tmp_path / "trail").items():
                if row["certain"]:
                    certain += 1
                    sure = [name for name in COMPARED if name not in (row["uncertain"] or ())]  # type: ignore[operator]
                    assert {name: row[name] for name in sure} == {name: unharmed[key][name] for name in sure}, key
    assert certain
