"""What a capture directory declares: what is cut, missing or garbled declares nothing, and is told."""

import pytest

from pagetrail.producers.capture.coverage import Declared, declared_coverage, lost_events, probes_of_boot
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.schemas.details import Coverage
from pagetrail.schemas.linux.releases import rules_of

TRACE = "# tracer: nop\n"
RING = (
    "{} cpu{} entries: 2 overrun: {} commit overrun: 0 bytes: 9 oldest event ts:     1.000000 now ts:     2.000000 "
    "dropped events: 0 read events: 0 \n"
)
FINAL_0, FINAL_1 = RING.format("final", 0, 0), RING.format("final", 1, 0)
RINGS = RING.format("1-boot", 0, 0) + RING.format("1-boot", 1, 0) + FINAL_0 + FINAL_1
EVENTS = "kmem:mm_page_alloc\nkmem:mm_page_free\npo:split_owner\n"
PROBES = "p:po/split_owner __split_page_owner page=%di:x64 nr=%si:u32\n"
PROFILE = "  split_owner                                             2677               0\n"


@pytest.fixture
def declared(tmp_path):
    """Return a function that says what a directory declares, whose files are whole but for those given; None: left out."""

    def declared(trace=TRACE, release=None, **texts) -> Declared:
        files = {"set_event": EVENTS, "kprobe_events": PROBES, "kprobe_profile": PROFILE, "ring_stats": RINGS} | texts
        for name, text in files.items():
            if text is not None:
                (tmp_path / f"{name}.txt").write_text(text)
        (tmp_path / "trace.txt").write_text(trace)
        return declared_coverage(CaptureFolder(tmp_path), tmp_path / "trace.txt", probes=True, rules=rules_of(release))

    return declared


def test_whole_files_declare_every_cpu_and_kind_without_a_note(declared):
    said = declared()
    assert (said.coverage.kinds, said.coverage.cpus, said.notes) == (("alloc", "free", "split"), None, [])


@pytest.mark.parametrize(
    "final_1",
    [
        "",
        FINAL_1[:40] + "\n",
        FINAL_1.rstrip() + " and more\n",
        FINAL_1[: FINAL_1.index("read events")] + "\n",
        FINAL_1.replace("overrun: 0", "overrun: -1"),
        FINAL_1.replace("overrun: 0", "overrun: 0x0"),
        FINAL_1.replace("entries", "entr\0es"),
        RING.format("final", 1, 0).replace("final", "finel"),
        FINAL_1 + RING.format("final", 1, 3),
        FINAL_1.strip("\n"),
    ],
    ids=[
        "missing",
        "cut",
        "longer",
        "cut at a word",
        "negative",
        "another number",
        "NUL",
        "misnamed",
        "twice",
        "no end",
    ],
)
def test_a_cpu_without_a_readable_final_line_of_its_own_declares_nothing_and_is_told(declared, final_1):
    said = declared(ring_stats=RINGS.removesuffix(FINAL_1) + final_1)
    assert said.coverage.cpus == (0,)
    assert any("CPU 1" in note for note in said.notes)


def test_a_line_that_may_be_of_a_further_cpu_leaves_not_every_cpu_declared(declared):
    said = declared(ring_stats=RINGS + "final c\0u2 entries: 2 overrun: 7\n")
    assert said.coverage.cpus == (0, 1)
    assert any("ring_stats.txt" in note for note in said.notes)


def test_an_older_line_that_cannot_be_read_changes_nothing_but_is_told(declared):
    said = declared(ring_stats="1-boot cpu0 entries: x\n" + RINGS)
    assert said.coverage.cpus is None
    assert len(said.notes) == 1


def test_two_lines_that_were_joined_declare_nothing(declared):
    assert declared(ring_stats=RINGS.replace(FINAL_0, FINAL_0.strip("\n"))).coverage is None


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        (EVENTS.replace("free\n", "fr\n"), ("alloc", "split")),
        (EVENTS.replace("free\n", "free kmem:mm_page_pcpu_drain\n"), ("alloc", "split")),
        (EVENTS.replace("alloc\n", "alloc"), ("split",)),
        (EVENTS + "kmem:mm_page_pcpu_drain", ("alloc", "free", "split")),
        (EVENTS.replace("kmem:mm_page_free", "\0"), ("alloc", "split")),
    ],
    ids=["cut", "two in a line", "joined", "without an end: it may be longer", "NUL"],
)
def test_an_event_that_is_not_on_a_line_of_its_own_is_not_declared(declared, events, kinds):
    assert declared(set_event=events).coverage.kinds == kinds


@pytest.mark.parametrize("damage", ["\0", " and more", "kmem"])
def test_an_unreadable_line_of_set_event_is_told(declared, damage):
    said = declared(set_event=EVENTS.replace("kmem:mm_page_free", damage))
    assert any("set_event.txt" in note for note in said.notes)


@pytest.mark.parametrize(
    "texts",
    [
        {"kprobe_events": PROBES[:36]},
        {"kprobe_events": PROBES.replace("p:", "q:")},
        {"kprobe_events": PROBES + PROBES.replace("__split_page_owner", "__free_pages")},
        {"kprobe_profile": ""},
        {"kprobe_profile": PROFILE.replace("0\n", "-1\n")},
        {"kprobe_profile": PROFILE.replace("0\n", "5\n")},
        {"kprobe_profile": PROFILE.strip("\n")},
        {"kprobe_profile": PROFILE.replace("split", "spl\0t")},
    ],
    ids=["cut", "garbled", "on two functions", "no line", "negative", "missed", "no end", "NUL"],
)
def test_a_probe_is_complete_only_if_its_lines_say_so(declared, texts):
    assert declared(**texts).coverage.kinds == ("alloc", "free")


ORDERS = "p:po/split_orders __split_page_owner page=%di:x64 old_order=%si:u32 new_order=%dx:u32\n"
BOTH = {"kprobe_events": PROBES + ORDERS, "set_event": EVENTS + "po:split_orders\n", "kprobe_profile": None}


@pytest.mark.parametrize(
    ("release", "shown", "misfits"),
    [
        ("5.10.223", True, ["po:split_orders"]), ("6.1.192", True, ["po:split_orders"]), ("6.12.117", True, ["po:split_owner"]),
        ("7.2.13", True, ["po:split_owner"]), ("6.6.1", False, []),
    ],
)  # fmt: skip
def test_a_probe_declares_its_act_on_kernels_whose_function_has_its_arguments(declared, release, shown, misfits):
    """Of a kernel between two that differ, what the arguments mean is not known."""
    said = declared(release=release, **BOTH)
    assert ("split" in said.coverage.kinds) == shown
    assert [note.split()[1] for note in said.notes] == misfits


@pytest.mark.parametrize(("base", "shown"), [("@vmemmap_base", True), ("@vmalloc_base", False)])
def test_a_probe_may_record_the_base_of_the_struct_pages_besides(declared, base, shown):
    said = declared(kprobe_events=PROBES.replace("nr=%si:u32", f"nr=%si:u32 base={base}:x64"))
    assert ("split" in said.coverage.kinds) == shown


NR, NEW_ORDER = "page=%di:x64 nr=%si:u32", "page=%di:x64 old_order=%si:u32 new_order=%dx:u32"
MIGRATE = "p:po/copy_owner folio_migrate_flags new=%di:x64 old=%si:x64\n"
WITHOUT_PAGE_OWNER = {
    "5.10.223": f"p:po/split_owner split_page_memcg {NR}\n" + MIGRATE.replace("folio_migrate_flags", "migrate_page_states"),
    "6.1.192": f"p:po/split_owner split_page_memcg {NR}\n" + MIGRATE,
    "6.12.117": f"p:po/split_orders split_page_memcg {NEW_ORDER}\n" + MIGRATE,
    "7.2.13": f"p:po/split_orders folio_split_memcg_refs {NEW_ORDER}\n" + MIGRATE
    + "p:po/split_page split_page_memcg page=%di:x64 order=%si:u32\n",
}  # fmt: skip
NAMES = ("split_owner", "split_orders", "split_page", "copy_owner")
ALL_ON = {"set_event": EVENTS + "".join(f"po:{name}\n" for name in NAMES), "kprobe_profile": None}


@pytest.mark.parametrize("release", [*WITHOUT_PAGE_OWNER, "6.18.44"])
@pytest.mark.parametrize("set_for", WITHOUT_PAGE_OWNER)
def test_without_page_owner_migration_and_splits_are_seen_by_functions_that_every_kernel_has(
    declared, release, set_for
):
    said = declared(release=release, kprobe_events=WITHOUT_PAGE_OWNER[set_for], **ALL_ON)
    moved = "folio" in MIGRATE and (release == "5.10.223") == (set_for == "5.10.223")
    assert ("migrate" in said.coverage.kinds) == moved
    assert ("split" in said.coverage.kinds) == (release == set_for or {release, set_for} <= {"5.10.223", "6.1.192"})


@pytest.mark.parametrize("missing", ["split_orders", "split_page"])
def test_folios_and_other_blocks_of_7_2_are_split_by_two_functions_and_both_are_needed(declared, missing):
    lines = WITHOUT_PAGE_OWNER["7.2.13"].splitlines(keepends=True)
    without = "".join(line for line in lines if missing not in line)
    assert "split" not in declared(release="7.2.13", kprobe_events=without, **ALL_ON).coverage.kinds


def test_a_probe_on_other_registers_declares_nothing_and_is_named(declared):
    said = declared(kprobe_events=PROBES.replace("nr=%si", "nr=%dx"))
    assert said.coverage.kinds == ("alloc", "free")
    assert any("po:split_owner" in note and "nr=%si:u32" in note for note in said.notes)


SPLIT, COPY = (
    "p:po/split_owner,__split_page_owner,page=%di:x64,nr=%si:u32",
    "p:po/copy_owner,__folio_copy_owner,new=%di:x64",
)
ISOLATE = "p:po/iso_owner,__set_page_owner,page=%di:x64,order=%si:u16,gfp=%dx:x32"
HOTPLUG = ";".join(
    f"p:hp/{name},{name},pfn=%di:x64,nr_pages=%si:u64;r:hp/{name}_ret,{name},ret=$retval:s32"
    for name in ("online_pages", "offline_pages")
)
EVERYTHING = Coverage(kinds=("alloc", "free", "split", "migrate", "isolate", "hotplug"), declared_by="set_event.txt")


@pytest.mark.parametrize(
    ("cmdline", "kinds"),
    [
        (f"quiet kprobe_event={SPLIT} page_owner=on", ("split",)),
        (f"kprobe_event={SPLIT};{HOTPLUG}", ("split", "hotplug")),
        (f"kprobe_event={SPLIT} kprobe_event={HOTPLUG}", ("split", "hotplug")),
        (f"kprobe_event={SPLIT};{COPY}", ("split",)),  # copy_owner does not record what it has to
        (f"kprobe_event={SPLIT.replace('%si', '%dx')}", None),
        (f"kprobe_event={HOTPLUG.partition(';')[0]}", None),  # the other three are not there
        (f"kprobe_event={ISOLATE}", None),  # without its filter
        ("kprobe_event=", None),
        ("trace_event=po:split_owner", None),
    ],
)
def test_probes_of_the_command_line_were_on_before_init_ran(cmdline, kinds):
    found = probes_of_boot(EVERYTHING, cmdline, rules_of("6.1.192"), 2_000, 5_000)
    assert (found and found.kinds) == kinds
    assert found is None or (found.since, found.until, found.begins) == (2_000, 5_000, True)


@pytest.mark.parametrize(
    ("changes", "stretch", "release"),
    [
        ({"kinds": ("alloc", "free")}, (2_000, 5_000), "6.1.192"),  # it missed hits, or its definition changed
        ({"cpus": (0,)}, (2_000, 5_000), "6.1.192"),
        ({}, (5_000, 5_000), "6.1.192"),
        ({}, (2_000, 5_000), "6.12.1"),  # whose function has other arguments
    ],
)
def test_probes_of_the_command_line_declare_no_more_than_is_declared_from_then_on(changes, stretch, release):
    declared = EVERYTHING.model_copy(update=changes)
    assert probes_of_boot(declared, f"kprobe_event={SPLIT}", rules_of(release), *stretch) is None


def test_without_statistics_of_probes_their_misses_are_a_known_exception(declared):
    assert "split" in declared(kprobe_profile=None).coverage.kinds


@pytest.mark.parametrize(
    "lines", ["CPU:1 [LOST 5 EVENTS]\n", "CPU:1 [5 EVENTS DROPPED]\n", "  CPU:1 [LOST 5 EVENTS]\n"]
)
def test_an_overrun_that_the_trace_names_is_covered_in_whatever_words(declared, lines):
    assert (
        declared(trace=TRACE + lines, ring_stats=RINGS.replace(FINAL_1, RING.format("final", 1, 5))).coverage.cpus
        is None
    )


@pytest.mark.parametrize("lines", ["CPU:1 [LOST EVENTS]\n", "CPU:1 [LOST 4 EVENTS]\n", "CPU:1 [LOST 5 EVENT]\n"])
def test_an_overrun_that_the_trace_does_not_name_in_full_is_not(declared, lines):
    assert declared(
        trace=TRACE + lines, ring_stats=RINGS.replace(FINAL_1, RING.format("final", 1, 5))
    ).coverage.cpus == (0,)


def test_a_loss_without_a_number_makes_the_number_of_its_cpu_unknown(tmp_path):
    (tmp_path / "trace").write_text(
        "CPU:0 [LOST 2 EVENTS]\nCPU:0 [EVENTS DROPPED]\nCPU:1 [3 EVENTS DROPPED]\nCPU:1 [LOST 4 EVENTS]\n"
    )
    assert lost_events(tmp_path / "trace") == {0: None, 1: 7}
