"""A fact of Linux's stands once in the product, in ``schemas/linux``; and what is made from several of them is right."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pagetrail.schemas.linux import kmem_events, memory_notify, migrate, mmzone, page_ext, page_owner, probes, vmemmap
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1, gfp_migratetype
from pagetrail.schemas.linux.mmzone import NodeSpan
from pagetrail.schemas.linux.vm_event_item import VM_EVENTS
from tests.conftest import REPOSITORY

TABLES = (probes.PROBES_OF, probes.PROBES_WITHOUT_PAGE_OWNER)
PROBES = (
    *(probe for table in TABLES for found in table.values() for probe in found), *probes.MIGRATE_REASON_OF.values(),
    *probes.HOTPLUG_PROBES,
)  # fmt: skip
CALLS = {
    *memory_notify.CALL_OF_UEVENT.values(), probes.CONTIG_RANGE.name, probes.MIGRATE_REASON.name, probes.SPLIT_PAGE.name
}  # fmt: skip
"""Names that are also words of the events (which call was observed, which act, and why), or of functions that rules cite."""

FACTS: dict[object, str] = {
    **dict.fromkeys((probe.name for probe in PROBES), "probes"),
    **dict.fromkeys((probe.function for probe in PROBES), "probes"),
    **dict.fromkeys((event.split(":")[1] for event in kmem_events.TRACEPOINTS.values()), "kmem_events"),
    **dict.fromkeys((name for names in VM_EVENTS.values() for name in names), "vm_event_item"),
    **dict.fromkeys(mmzone.MIGRATETYPE_NAMES, "mmzone"),
    **dict.fromkeys(migrate.MIGRATE_REASON_NAMES, "migrate"),
    page_owner.EARLY_STAMP.comm: "page_owner",
    **dict.fromkeys((vmemmap.VMEMMAP_BASE_L4, vmemmap.VMEMMAP_BASE_L5), "vmemmap"),
}


CLOSED = {"schemas/stacks.py", *(f"schemas/versions/v4{part}.py" for part in ("", "_details"))}
"""What must not change with a table: the canonical form of stacks, and so their ids; and what was published."""


def product_files() -> list[Path]:
    rooms = [REPOSITORY / room for room in ("schemas", "producers", "replay", "queries")]
    door = [path for path in (REPOSITORY / "pagetrail").iterdir() if not path.is_symlink()]
    return [file for top in (*rooms, *door) for file in ([top] if top.suffix == ".py" else sorted(top.rglob("*.py")))]


def literals(tree: ast.Module) -> Iterator[object]:
    """Yield the literals of a module, without its docstrings; a text of several lines as its lines."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docs:
            value = node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value
            yield from value.split("\n") if isinstance(value, str) else (value,)


def test_a_fact_of_linuxs_stands_in_one_file() -> None:
    found: dict[object, set[str]] = defaultdict(set)
    for file in product_files():
        name = str(file.relative_to(REPOSITORY))
        for value in literals(ast.parse(file.read_text())):
            if isinstance(value, str | int) and not isinstance(value, bool) and value in FACTS and value not in CALLS:
                found[value] |= {name} - CLOSED
    assert found == {fact: {f"schemas/linux/{file}.py"} for fact, file in FACTS.items() if fact not in CALLS}


def test_the_guides_probes_are_those_that_are_recognised() -> None:
    guide = (REPOSITORY / "docs" / "guide.md").read_text()
    lines = {line for line in guide.splitlines() if line.startswith(("p:", "r:"))}
    assert lines == {probe.definition for probe in PROBES}
    filters = {f"echo '{p.filter}' > $T/events/{p.group}/{p.name}/filter" for p in PROBES if p.filter}
    assert filters <= set(guide.splitlines())


def test_every_act_that_a_recording_can_declare_is_one_that_linux_shows() -> None:
    shown = {*kmem_events.TRACEPOINTS, *VM_EVENTS, *(probe.shows for probe in PROBES)}
    assert shown == set(kmem_events.PageAct.__args__)  # type: ignore[attr-defined]


def test_page_exts_own_mask_is_the_one_that_dumps_show() -> None:
    assert page_ext.PAGE_EXT_GFP == 0x2DC0


@pytest.mark.parametrize(
    ("name", "migratetype"),
    [("GFP_KERNEL", "Unmovable"), ("GFP_HIGHUSER_MOVABLE", "Movable"), ("__GFP_RECLAIMABLE", "Reclaimable")],
)
def test_a_mask_asks_for_a_migratetype(name: str, migratetype: str) -> None:
    assert mmzone.MIGRATETYPE_NAMES[gfp_migratetype(GFP_FLAGS_6_1[name])] == migratetype


def test_a_reason_that_a_release_does_not_have_is_printed_as_its_number() -> None:
    names = migrate.MIGRATE_REASON_NAMES
    assert [migrate.migrate_reason_name(reason, names) for reason in (0, 8, 9, 127)] == [
        "compaction", "demotion", "unknown (9)", "unknown (127)"
    ]  # fmt: skip


def test_a_node_spans_its_zones_and_the_holes_between() -> None:
    zones = [NodeSpan(1, 8192, 9000), NodeSpan(0, 1024, 4096), NodeSpan(0, 16, 512), NodeSpan(2, 7, 7)]
    assert mmzone.node_spans(zones) == [(0, 16, 4096), (1, 8192, 9000)]


@pytest.mark.parametrize(
    ("cmdline", "config", "clients"),
    [
        ("ro page_owner=on", "", ("owner",)),
        ("page_owner=1 page_table_check=on", "", ("owner", "page_table_check")),
        ("page_owner=off", "CONFIG_PAGE_TABLE_CHECK_ENFORCED=y", ("page_table_check",)),
        ("", "", ()),
    ],
)
def test_command_line_and_config_switch_clients_on(cmdline: str, config: str, clients: tuple[str, ...]) -> None:
    assert page_ext.clients_on(cmdline, config) == clients
