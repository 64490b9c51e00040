"""What a capture directory declares as recorded completely: from the events that were on, and the statistics of the ring.

Never from the events that are there: a ring that overwrites is silent about it.
"""

import re
from itertools import groupby
from pathlib import Path
from typing import Final

from pagetrail.producers.inputs import blocks, find_compressed, open_input, read_text
from pagetrail.schemas.details import Coverage, Covered
from pagetrail.schemas.linux.kmem_events import TRACEPOINTS
from pagetrail.schemas.linux.probes import HOTPLUG_PROBES, PAGE_OWNER_PROBES, Probe

_PROBE: Final = re.compile(r"[pr]\d*:(\w+)/(\w+) (\S+)")
_RING: Final = re.compile(r"\S+ cpu(\d+) entries: \d+ overrun: (\d+) commit overrun: (\d+) .*dropped events: (\d+)")
_MISSED: Final = re.compile(r"\s*(\w+)\s+\d+\s+(\d+)\s*$")
_LOST: Final = re.compile(rb"^CPU:(\d+) \[LOST (\d+) EVENTS\]$", re.MULTILINE)
_LOST_LONGEST: Final = 64


def declared_coverage(directory: Path, trace: Path, *, probes: bool) -> tuple[Coverage | None, list[str]]:
    """Return what *directory* declares of its *trace*, and notes on why it is less than it could be.

    Null where it declares nothing. A CPU counts when its ring neither overran nor dropped an event, or when the trace
    itself names every event that was overrun: then the gaps say what is missing.
    """
    texts = {name: _optional(directory, name) for name in ("set_event.txt", "kprobe_events.txt", "ring_stats.txt")}
    events, rings = texts["set_event.txt"], texts["ring_stats.txt"]
    if events is None or rings is None:
        missing = " and ".join(name for name in ("set_event.txt", "ring_stats.txt") if texts[name] is None)
        return None, [f"no coverage is declared: no {missing}; nothing can be certain unless you declare it"]
    missed = _missed(_optional(directory, "kprobe_profile.txt") or "")
    kinds = _kinds(set(events.split()), texts["kprobe_events.txt"] or "", missed, probes=probes)
    cpus, notes = _cpus(rings, trace)
    if not kinds or not cpus:
        return None, [*notes, "no coverage is declared: no kind of event, or no CPU, is known to be complete"]
    declared_by = ", ".join(name for name, text in texts.items() if text is not None)
    every = len(cpus) == len({found[1] for found in _RING.finditer(rings)})
    return Coverage(kinds=kinds, cpus=None if every else cpus, declared_by=declared_by), notes


def boot_coverage(declared: Coverage, cmdline: str) -> Coverage | None:
    """Return what was complete from the first event on: tracepoints that the kernel's command line switched on.

    Source: kernel/trace/trace_events.c, setup_trace_event (Linux 6.1): they are on before the first page is allocated by the
    buddy allocator. Probes come later in boot: they count from the first marker on.
    """
    words = [word.partition("=")[2] for word in cmdline.split() if word.startswith("trace_event=")]
    on = {event for word in words for event in word.split(",")}
    kinds = tuple(kind for kind, event in TRACEPOINTS.items() if event in on and kind in declared.kinds)
    if not kinds:
        return None
    return Coverage(kinds=kinds, cpus=declared.cpus, declared_by=f"trace_event= in cmdline.txt, {declared.declared_by}")


def _kinds(events: set[str], kprobes: str, missed: set[str], *, probes: bool) -> tuple[Covered, ...]:
    functions = {f"{found[1]}:{found[2]}": found[3] for found in _PROBE.finditer(kprobes)}
    kinds: list[Covered] = [kind for kind, event in TRACEPOINTS.items() if event in events]
    wanted = (*(PAGE_OWNER_PROBES if probes else ()), *HOTPLUG_PROBES)
    for kind, needed in groupby(wanted, lambda probe: probe.shows):
        if all(_is_complete(probe, events, functions, missed) for probe in needed):
            kinds.append(kind)
    return tuple(kinds)


def _is_complete(probe: Probe, events: set[str], functions: dict[str, str], missed: set[str]) -> bool:
    """Whether a probe was on, on the function that it is meant for, and missed no hit."""
    return probe.event in events and functions.get(probe.event) == probe.function and probe.name not in missed


def _missed(profile: str) -> set[str]:
    """Return the probes that missed hits (tracefs' kprobe_profile: event, hits, misses)."""
    found = (_MISSED.match(line) for line in profile.splitlines())
    return {match[1] for match in found if match and int(match[2])}


def _cpus(rings: str, trace: Path) -> tuple[tuple[int, ...], list[str]]:
    """Return the CPUs whose last statistics account for every event, and notes on the others."""
    last = {int(m[1]): (int(m[2]), int(m[3]) + int(m[4])) for m in _RING.finditer(rings)}
    reported = lost_events(trace) if any(overrun for overrun, _ in last.values()) else {}
    notes = []
    for cpu, (overrun, dropped) in last.items():
        if dropped or overrun != reported.get(cpu, 0):
            notes.append(
                f"CPU {cpu} lost events that the trace does not show ({overrun} overrun, {dropped} dropped, "
                f"{reported.get(cpu, 0)} reported): nothing of it is certain"
            )
    return tuple(
        cpu for cpu, (overrun, dropped) in last.items() if not dropped and overrun == reported.get(cpu, 0)
    ), notes


def lost_events(trace: Path) -> dict[int, int]:
    """Return by CPU how many events the LOST lines of a text trace name."""
    counts: dict[int, int] = {}
    held = b""
    with open_input(trace, text=True) as stream:
        for block in blocks(stream):
            data = held + bytes(block)
            whole = data.rfind(b"\n") + 1
            if b" [LOST " in data:
                for found in _LOST.finditer(data[:whole]):
                    cpu = int(found[1])
                    counts[cpu] = counts.get(cpu, 0) + int(found[2])
            held = data[whole:][:_LOST_LONGEST]
    return counts


def _optional(directory: Path, name: str) -> str | None:
    path = find_compressed(directory, name)
    return None if path is None else read_text(path)
