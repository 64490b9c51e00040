"""A kernel with FLATMEM, from end to end: one extension a node, from the boot on; no page beyond the nodes, and no hotplug."""

from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.producers.log.ingest import ingest, origin_of
from pagetrail.producers.log.sink_sqlite import SqliteLogWriter
from pagetrail.queries.questions.doctor import findings
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot, Hotplug, Zone
from tests.model.config import ModelConfig
from tests.model.recording import ModelHost, ModelRecording, model_recording
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames

NODES = (
    Zone(node=0, name="DMA", start_pfn=16, stop_pfn=1024),
    Zone(node=0, name="Normal", start_pfn=1024, stop_pfn=4096),
    Zone(node=1, name="Normal", start_pfn=8192, stop_pfn=9000),
)
BOOT = Boot(memory_model="FLATMEM", max_order=11, zones=NODES, page_ext_clients=("owner",), release="6.1.0")


@pytest.fixture
def machine() -> Machine:
    """Return a machine of two nodes, of which the second ends in the middle of the largest block, with some owners."""
    m = Machine()
    m.recordings.append([])
    m.reference.apply = lambda event: None  # type: ignore[method-assign]
    m.emit(Kind.BOOT, BOOT)
    for pfn, order in ((16, 0), (1024, 10), (4095, 0), (8192, 3), (8999, 0)):
        m.ts += 10
        m.emit(Kind.ALLOC, pfn=pfn, order=order, gfp_mask=0xCC0, pid=7)
    return m


def opened(m: Machine, folder: Path) -> api.Trail:
    m.end()
    trail = trail_of(folder / "trail", to_frames(m.recordings))
    replay(trail)
    return api.open(trail)


def test_pages_of_a_node_are_in_its_one_extension(machine: Machine, tmp_path: Path) -> None:
    trail = opened(machine, tmp_path)
    answers = trail.owner([16, 1500, 4095, 8192, 8199, 8999, 17, 3000, 8500], "-0s").to_pylist()
    assert [row["state"] for row in answers] == ["owned"] * 6 + ["unknown"] * 3
    assert {row["generation"] for row in answers} == {1}


def test_a_page_beyond_every_node_is_absent_not_free(machine: Machine, tmp_path: Path) -> None:
    trail = opened(machine, tmp_path)
    assert trail.owner([4096, 8191, 9216, 1 << 30], "-0s")["state"].to_pylist() == ["absent"] * 4


def test_an_event_beyond_every_node_is_set_aside_and_opens_nothing(machine: Machine, tmp_path: Path) -> None:
    """In a hole between nodes as well as behind the last; nothing else of the node is doubted for it."""
    machine.emit(Kind.ALLOC, pfn=5000, order=0, gfp_mask=0, pid=9)
    machine.emit(Kind.MIGRATE, pfn=4095, src_pfn=5001)
    machine.emit(Kind.FREE, pfn=9216, order=0, pid=9)
    trail = opened(machine, tmp_path)
    assert trail.owner([5000, 5001, 9216], "-0s")["state"].to_pylist() == ["absent"] * 3
    assert trail.owner([4095], "-0s")["pid"].to_pylist() == [7]
    (found,) = [f for f in findings(trail.stream()) if f.what == "beyond machine"]
    assert (found.level, found.count) == ("quarantined", 3)


def test_the_bytes_of_a_nodes_extension_are_those_that_the_kernel_allocates(machine: Machine, tmp_path: Path) -> None:
    """All that it spans, and MAX_ORDER_NR_PAGES more if it is not aligned: mm/page_ext.c, alloc_node_page_ext."""
    rows = opened(machine, tmp_path).sections().to_pylist()
    assert [(r["section_nr"], r["node"], r["start_pfn"], r["stop_pfn"], r["page_ext_bytes"]) for r in rows] == [
        (None, 0, 0, 4096, 64 * (4096 - 16 + 1024)), (None, 1, 8192, 9000, 64 * (9000 - 8192 + 1024)),
    ]  # fmt: skip
    assert {(r["how"], r["end_ts"]) for r in rows} == {("boot", None)}


def test_a_node_that_is_aligned_takes_no_more_than_it_spans(tmp_path: Path) -> None:
    m = Machine()
    m.recordings.append([])
    m.reference.apply = lambda event: None  # type: ignore[method-assign]
    m.emit(Kind.BOOT, BOOT.model_copy(update={"zones": (), "present": ((0, 16384),)}))
    m.ts += 1
    m.emit(Kind.ALLOC, pfn=0, order=0, gfp_mask=0, pid=1)
    assert opened(m, tmp_path).sections()["page_ext_bytes"].to_pylist() == [64 * 16384]


@pytest.mark.parametrize("phase", ["entry", "notified"])
def test_hotplug_is_an_error_that_the_doctor_shows(machine: Machine, tmp_path: Path, phase: str) -> None:
    machine.emit(Kind.HOTPLUG, Hotplug(call="online_pages", phase=phase), pfn=16384, nr_pages=1024, pid=5)  # type: ignore[arg-type]
    trail = opened(machine, tmp_path)
    assert len(trail.sections()) == 2
    (found,) = [f for f in findings(trail.stream()) if f.what == "hotplug on flatmem"]
    assert (found.level, found.count) == ("quarantined", 1)


def test_a_recording_of_the_model_goes_from_ingest_to_answers(tmp_path: Path) -> None:
    config = ModelConfig(memory_model="FLATMEM", flags=True)
    host = ModelHost(host="flat", seed=3, events=600, boot_id="boot")
    recording = model_recording(ModelRecording(host, config=config))
    trail = tmp_path / "trail"
    with SqliteLogWriter(trail) as log:
        ingest(recording, origin_of(recording, producer_version="1"), log)
    api.replay(trail)
    answers = api.open(trail)
    (node,) = answers.sections().to_pylist()
    assert (node["start_pfn"], node["stop_pfn"], node["page_ext_bytes"]) == (0, config.nr_pages, 64 * config.nr_pages)
    everywhere = answers.owner(list(range(config.nr_pages + 10)), "-0s").to_pylist()
    assert {row["state"] for row in everywhere[: config.nr_pages]} == {"owned", "free", "unknown"}
    assert {row["state"] for row in everywhere[config.nr_pages :]} == {"absent"}
    assert all(row["page_ext"] == [] for row in everywhere[config.nr_pages :])
    free = [row for row in everywhere if row["state"] == "free" and row["how"] == "free"]
    flags = [{said["field"]: said["value"] for said in row["page_ext"]}["poison"] for row in free]
    assert flags
    assert set(flags) == {1}  # what the model frees, it fills with poison
