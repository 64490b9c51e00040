"""A perf.data whose structure is harmed: types and sizes of records, its header, cuts.

No page is certain and different from what the unharmed file says, and nothing ends otherwise than with rows or an error of our own.
"""

import random
import struct
from pathlib import Path
from typing import get_args

import pytest

from pagetrail import api
from pagetrail.schemas.details import Covered
from pagetrail.schemas.errors import PagetrailError
from tests.effort import effort
from tests.producers.formats.perf_data import maker as mk
from tests.producers.formats.perf_data.maker import ALLOC, FREE, ROUND, Made
from tests.properties.test_harmed_files import AT, COMPARED, bounded

REPLAYED = effort(16, 3_000)
PARTS = effort(1, 4)
FIRST = 0
SECOND = 1_000_000_000
PFNS = [*range(0x100, 0x140)]
MADE = Made(sample_type=mk.USUAL | mk.CALLCHAIN, host="harmed")
Answers = dict[tuple[str, int], dict[str, object]]


def records() -> list[bytes]:
    """Return what two CPUs did in four seconds: pages that are taken and given back, in rounds."""
    rng = random.Random(31)
    made, owned, ts = [MADE.comm(0, 7, "first"), MADE.comm(0, 8, "second")], set[int](), SECOND
    while ts < 4 * SECOND:
        rounds: list[list[bytes]] = [[], []]
        for _ in range(12):
            ts += rng.randrange(1, SECOND // 50)
            pfn, cpu = rng.choice(PFNS), rng.randrange(2)
            if pfn in owned:
                rounds[cpu].append(MADE.sample(FREE, ts, pfn, 0, cpu=cpu, tid=8))
            else:
                rounds[cpu].append(MADE.sample(ALLOC, ts, pfn, 0, 0xCC0, 1, cpu=cpu))
            owned ^= {pfn}
        made += [*rounds[0], *rounds[1], ROUND]
    return made


RECORDS = records()
FILES = {"file": MADE.file(RECORDS), "pipe": MADE.pipe(RECORDS), "packed": MADE.file(mk.packed(RECORDS, step=2_000))}
BEFORE = {name: len(made([])) for name, made in (("file", MADE.file), ("pipe", MADE.pipe))}


def places(data: bytes, start: int) -> list[int]:
    """Return where records begin."""
    found = []
    while start + 8 <= len(data):
        length = struct.unpack_from("<H", data, start + 6)[0]
        if length < 8:
            break
        found.append(start)
        start += length
    return found


def harmed(seed: int) -> tuple[str, bytes]:
    """Return a file with harm of its structure, and what was done to it."""
    rng = random.Random(seed)
    name = sorted(FILES)[seed % 3]
    data = bytearray(FILES[name])
    start = len(MADE.pipe([])) if name == "pipe" else struct.unpack_from("<Q", data, 40)[0]
    stop = len(data) if name == "pipe" else start + struct.unpack_from("<Q", data, 48)[0]
    at = rng.choice([place for place in places(bytes(data[:stop]), start) if place < stop])
    way = rng.randrange(6)
    if way == 0:
        kind = rng.choice((*range(24), *range(62, 90), 1 << 16, (1 << 32) - 1))
        struct.pack_into("<I", data, at, kind)
        return f"{name}: the record at byte {at} has type {kind}", bytes(data)
    if way == 1:
        length = struct.unpack_from("<H", data, at + 6)[0]
        other = rng.choice((0, 1, 7, 8, length - 8, length + 8, length + 88, 2 * length, rng.randrange(1 << 16)))
        struct.pack_into("<H", data, at + 6, other & 0xFFFF)
        return f"{name}: the record at byte {at} has {other} bytes", bytes(data)
    if way == 2:
        cut = rng.randrange(start, len(data))
        return f"{name}: cut at byte {cut}", bytes(data[:cut])
    if way == 3:
        field = rng.randrange(8, 104 if name != "pipe" else 16)
        data[field] ^= 1 << rng.randrange(8)
        return f"{name}: byte {field} of the header", bytes(data)
    if way == 4:
        size = rng.choice((1, 4, 8, 40, 400))
        del data[at + rng.randrange(1, 8) : at + size]
        return f"{name}: {size} bytes from within byte {at} on are missing", bytes(data)
    size = rng.choice((8, 16, 64, 1000))
    data[at : at + size] = bytes(size)
    return f"{name}: {size} bytes of zeros at byte {at}", bytes(data)


def answers(folder: Path, data: bytes) -> Answers:
    """Return the owner of each page at each instant by a file; none if it is refused."""
    (folder / "perf.data").write_bytes(data)
    trail = folder / f"trail-{len(list(folder.iterdir()))}"
    try:
        api.ingest(trail, folder / "perf.data", covers=get_args(Covered))
        api.replay(trail)
    except PagetrailError:
        return {}
    asked = api.open(trail)
    asked.doctor()
    found: Answers = {}
    for instant in AT:
        try:
            found |= {(instant, row["pfn"]): row for row in asked.owner(PFNS, instant).to_pylist()}
        except PagetrailError:  # it lies outside of what was read
            continue
    return found


def sure(row: dict[str, object]) -> dict[str, object]:
    """Return what is certain of a page: no file here relates its clock to page_owner's, so no time is."""
    unsure = row["uncertain"] or (() if row["certain"] else COMPARED)
    if "state" in unsure:  # type: ignore[operator]
        return {}
    return {name: row[name] for name in COMPARED if name not in unsure}  # type: ignore[operator]


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    found = {name: answers(tmp_path_factory.mktemp("unharmed"), data) for name, data in FILES.items()}
    assert sum("state" in sure(row) for row in found["file"].values()) > len(PFNS)
    same = [{key: row["state"] for key, row in rows.items()} for rows in found.values()]
    assert same[0] == same[1] == same[2]
    return found["file"]


@pytest.mark.parametrize("part", range(PARTS))
def test_of_harm_of_structure_no_page_is_certain_and_different(tmp_path: Path, unharmed: Answers, part: int) -> None:
    certain, parts = 0, PARTS
    for seed in range(FIRST + part, FIRST + REPLAYED, parts):
        harm, data = harmed(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        with bounded(seed, harm):
            for key, row in answers(folder, data).items():
                certain += "state" in sure(row)
                assert sure(row).items() <= unharmed[key].items(), key
    assert certain
