"""A capture whose trace.dat is harmed in its structure: no page is certain and different from what the unharmed one gives."""

import random
import struct
from pathlib import Path

import pytest

from tests.effort import effort
from tests.properties.harm import put
from tests.properties.harmed_samples import CAPTURE, binary_trace
from tests.properties.test_harmed_files import AT, COMPARED, PARTS, bounded, replayed

HARMED = effort(12, 2_000)
PAGE = 4096
REST = {name: text for name, text in CAPTURE.items() if name != "trace.txt"}
WHOLE = binary_trace().version_6()
START = len(WHOLE) - sum(len(pages) for pages in binary_trace().cpus) * PAGE
Answers = dict[tuple[str, int], dict[str, object]]


def harmed(seed: int) -> tuple[bytes, str]:
    """Return the file with harm that can be seen, and what it is."""
    rng = random.Random(seed)
    data, at = bytearray(WHOLE), START + PAGE * rng.randrange((len(WHOLE) - START) // PAGE)
    written = struct.unpack_from("<Q", data, at + 8)[0]
    head = at + 16 + 8  # of the first event, behind the first extend
    way = rng.choice(["commit", "time", "size", "type", "cut", "gone", "twice", "moved", "zeros", "offset"])
    if way == "commit":
        struct.pack_into(
            "<Q", data, at + 8, rng.choice([0, written - 4, written + 24, 1 << 20, 1 << 40, (1 << 64) - 1])
        )
    elif way == "time":
        struct.pack_into("<Q", data, at, rng.choice([0, 1, 1 << 50, 1 << 62, 1 << 63, (1 << 64) - 1]))
    elif way == "size":
        struct.pack_into("<I", data, head, rng.choice([0, 1, 28, 29, 30, 31]))
    elif way == "type":
        struct.pack_into("<H", data, head + 4, rng.choice([0, 1, 299, 999, 65535]))
    elif way == "cut":
        del data[rng.randrange(START, len(data)) :]
    elif way == "gone":
        data[at : at + PAGE] = b""
    elif way == "twice":
        data[at:at] = data[at : at + PAGE]
    elif way == "moved":
        other = START + PAGE * rng.randrange((len(WHOLE) - START) // PAGE)
        data[at : at + PAGE], data[other : other + PAGE] = WHOLE[other : other + PAGE], WHOLE[at : at + PAGE]
    elif way == "zeros":
        data[at : at + PAGE] = bytes(PAGE)
    else:
        place = WHOLE.find(struct.pack("<Q", START))
        struct.pack_into("<Q", data, place, rng.choice([0, 1, START + 8, START + PAGE, len(data), 1 << 62]))
    return bytes(data), f"{way} at byte {at}"


def answers_of(trace: bytes, folder: Path) -> Answers:
    put({**REST, "trace.dat": trace}, folder / "input", folder / "outside")
    return replayed(folder / "input", folder / "trail")


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    found = answers_of(WHOLE, tmp_path_factory.mktemp("unharmed"))
    assert sum(bool(row["certain"]) for row in found.values()) > len(AT)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_of_harm_of_a_trace_dat_no_page_is_certain_and_different(tmp_path: Path, unharmed: Answers, part: int) -> None:
    for seed in range(part, HARMED, PARTS):
        data, harm = harmed(seed)
        with bounded(seed, harm):
            for key, row in answers_of(data, tmp_path / str(seed)).items():
                if row["certain"]:
                    sure = [name for name in COMPARED if name not in (row["uncertain"] or ())]  # type: ignore[operator]
                    assert {name: row[name] for name in sure} == {name: unharmed[key][name] for name in sure}, key
