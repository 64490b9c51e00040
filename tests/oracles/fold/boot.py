"""The boot: what its constants say of sections and nodes."""

from typing import TYPE_CHECKING, Any

from tests.oracles.fold.kernels import kernel_of
from tests.oracles.fold.sections import online
from tests.oracles.fold.values import MAX_SECTIONS, Event

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def take_boot(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    said = {name: value for name, value in said.items() if value not in (None, (), [], {})}
    if oracle.release is None:
        oracle.release = said.get("release")
        oracle.kernel_does = kernel_of(oracle.release)
    if not set(said) - {"release", "gfp_flags", "page_shift"}:
        return  # a trace alone, of whose kernel something is known, says nothing of the machine
    oracle.flatmem = said.get("memory_model") == "FLATMEM"
    oracle.debug |= "debug" in said.get("page_ext_clients", ())
    oracle.largest = 2 ** ((said.get("max_order") or 11) - 1)
    if oracle.booted:
        return
    oracle.booted = True
    bits = said.get("section_size_bits")
    if bits is not None and not oracle.generation:
        oracle.pages_per_section = 2 ** (bits - said.get("page_shift", 12))
    if oracle.flatmem:
        nodes(oracle, said)
        return
    oracle.beyond = oracle.pages_per_section * MAX_SECTIONS
    for start, stop in said.get("present", ()):
        for section_nr in range(start // oracle.pages_per_section, -(-stop // oracle.pages_per_section)):
            if section_nr not in oracle.open:
                online(oracle, section_nr)


def nodes(oracle: "Reference", said: dict[str, Any]) -> None:
    """One extension a node, and no other memory; kept in pieces of the largest block."""
    size = oracle.pages_per_section = 2 ** (said["max_order"] - 1)
    for node in {zone["node"] for zone in said["zones"]}:
        zones = [zone for zone in said["zones"] if zone["node"] == node]
        for page in range(min(z["start_pfn"] for z in zones), max(z["stop_pfn"] for z in zones)):
            if page // size not in oracle.open:
                online(oracle, page // size)
    oracle.beyond = (max(oracle.open) + 1) * size
