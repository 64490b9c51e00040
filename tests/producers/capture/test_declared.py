"""What a capture declares to be covered: by its markers, probes, rings, and what the operator says."""

import pytest

from pagetrail.producers.capture.directory import Capture
from pagetrail.schemas.columns import Kind
from tests.producers.capture.capture_samples import DMESG, FILES, RINGS, TRACE, kinds_of, of_kind, rows_of


def test_coverage_is_declared_from_the_first_marker_on(make):
    assert of_kind(rows_of(Capture(make())), Kind.COVERAGE) == [
        (2000, {"kinds": ["alloc", "free"], "begins": True, "declared_by": "set_event.txt, ring_stats.txt"})
    ]


PROBED = {
    "trace.txt": TRACE.replace("     1.000000: mm_page_alloc", "     0.001000: mm_page_alloc", 1),
    "dmesg.txt": f"[    0.000000] Linux version 6.1.192\n{DMESG}[    0.500000] Run /init as init process\n",
    "set_event.txt": f"{FILES['set_event.txt']}po:split_owner\n",
    "kprobe_events.txt": "p:po/split_owner __split_page_owner page=%di:x64 nr=%si:u32\n",
    "cmdline.txt": "kprobe_event=p:po/split_owner,__split_page_owner,page=%di:x64,nr=%si:u32\n",
}


def test_probes_of_the_command_line_are_declared_since_init_ran(make):
    early = of_kind(rows_of(Capture(make(**PROBED))), Kind.COVERAGE)[-1]
    by = "kprobe_event= in cmdline.txt, set_event.txt, kprobe_events.txt, ring_stats.txt"
    stretch = {"since": 500_000_000 + 1000 + 1_000_000, "until": 2_000_000_000}
    assert early == (2000, {"kinds": ["split"], "begins": True, **stretch, "declared_by": by})


@pytest.mark.parametrize(
    "damage",
    [
        {"trace.txt": TRACE},  # it begins after the boot
        {"dmesg.txt": PROBED["dmesg.txt"].partition("\n")[2]},  # its beginning is missing
        {"dmesg.txt": PROBED["dmesg.txt"] + "[    0.000100] trace_kprobe: Failed to add event(-2): p:po/split_owner\n"},
        {"dmesg.txt": f"[    0.000000] Linux version 6.1.192\n{DMESG}"},
        {"kprobe_events.txt": "p:po/split_owner __split_page_owner page=%di:x64 nr=%dx:u32\n"},
    ],
    ids=["late", "cut", "refused", "no init", "another probe later"],
)
def test_what_does_not_show_that_probes_were_on_declares_no_time_before_the_marker(make, damage):
    declared = of_kind(rows_of(Capture(make(**PROBED | damage))), Kind.COVERAGE)
    assert all("since" not in detail for _, detail in declared)


@pytest.mark.parametrize("damage", ["overrun: 5 commit overrun: 0", "overrun: 0 commit overrun: 5"])
def test_a_cpu_whose_ring_lost_events_silently_is_not_covered(make, damage):
    rings = RINGS.replace("final cpu1 entries: 1 overrun: 0 commit overrun: 0", f"final cpu1 entries: 1 {damage}")
    capture = Capture(make(**{"ring_stats.txt": rings}))
    assert [d["cpus"] for _, d in of_kind(rows_of(capture), Kind.COVERAGE)] == [[0]]
    assert any("CPU 1" in note for note in capture.info.notes)


def test_a_cpu_whose_losses_the_trace_names_is_covered(make):
    rings = RINGS.replace("final cpu1 entries: 1 overrun: 0", "final cpu1 entries: 1 overrun: 5")
    trace = TRACE.replace("# tracer: nop\n", "CPU:1 [LOST 2 EVENTS]\n") + "CPU:1 [LOST 3 EVENTS]\n"
    rows = rows_of(Capture(make(**{"ring_stats.txt": rings, "trace.txt": trace})))
    assert [d.get("cpus") for _, d in of_kind(rows, Kind.COVERAGE)] == [None]


@pytest.mark.parametrize("missing", ["set_event.txt", "ring_stats.txt"])
def test_without_its_files_nothing_is_declared(make, missing):
    capture = Capture(make(**{missing: None}))
    assert Kind.COVERAGE not in kinds_of(rows_of(capture))
    assert any(missing in note for note in capture.info.notes)


def test_what_the_operator_declares_comes_first(make):
    assert of_kind(rows_of(Capture(make(), covers=("migrate",))), Kind.COVERAGE)[0] == (
        1000,
        {"kinds": ["migrate"], "begins": True, "declared_by": "the operator"},
    )
