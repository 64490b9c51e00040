"""What a capture directory declares as recorded completely: from the events that were on, and the statistics of the ring.

Never from the events that are there: a ring that overwrites is silent about it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.producers.capture.statistics import (
    Probed,
    Rings,
    SideFile,
    events_on,
    probe_definitions,
    probe_misses,
    ring_statistics,
)
from pagetrail.producers.formats.text.stated import LOST_WORDS, ring_loss
from pagetrail.producers.inputs import blocks, open_input
from pagetrail.schemas.details import Coverage, Covered
from pagetrail.schemas.linux.kmem_events import TRACEPOINTS
from pagetrail.schemas.linux.probes import (
    HOTPLUG_PROBES,
    MIGRATE_REASON_OF,
    PROBES_OF,
    PROBES_WITHOUT_PAGE_OWNER,
    Probe,
    registers,
)
from pagetrail.schemas.linux.releases import Either, KernelRules, rules_of

_LOST_LONGEST: Final = 64

Losses = Callable[[], Mapping[int, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a capture directory declares.

    Attributes
    ----------
    coverage
        Null where it declares nothing.
    rings
        What ring_stats.txt says; null where there is none.
    notes
        Why it declares less than it could.
    """

    coverage: Coverage | None
    rings: Rings | None
    notes: list[str]


def declared_coverage(
    folder: CaptureFolder,
    trace: Path,
    *,
    probes: bool,
    rules: KernelRules | None = None,
    losses: Losses | None = None,
    elsewhere: Collection[str] = (),
) -> Declared:
    """Return what the capture in *folder* declares of its *trace*; *rules* are those of the recorded kernel.

    *losses* returns by CPU how many events the trace says were lost; null: its lines do. Of
    events whose names are *elsewhere*, nothing is declared: they are of rings of which the statistics do not speak.

    A CPU counts when its ring neither overran nor dropped an event, or when the trace itself names every event that was
    overrun: then the gaps say what is missing. What cannot be read declares nothing.
    """
    names = ("set_event.txt", "kprobe_events.txt", "ring_stats.txt")
    texts = {name: folder.text(name) for name in names}
    events, stats = texts["set_event.txt"], texts["ring_stats.txt"]
    if events is None or stats is None:
        missing = " and ".join(name for name in ("set_event.txt", "ring_stats.txt") if texts[name] is None)
        why = f"no coverage is declared: no {missing}; nothing can be certain unless you declare it"
        return Declared(coverage=None, rings=None, notes=[why])
    files = {name: SideFile(name, text or "") for name, text in texts.items()}
    profile = folder.text("kprobe_profile.txt")
    misses = None
    if profile is not None:
        files["kprobe_profile.txt"] = SideFile("kprobe_profile.txt", profile)
        misses = probe_misses(files["kprobe_profile.txt"])
    on, there = events_on(files["set_event.txt"]), probe_definitions(files["kprobe_events.txt"])
    rules = rules or rules_of(None)
    counted = {event for event in on if event.partition(":")[2] not in elsewhere}
    kinds = _kinds(counted, there, misses, rules, probes=probes)
    rings = ring_statistics(files["ring_stats.txt"])
    cpus, notes = _cpus(rings, losses or (lambda: lost_events(trace)))
    notes = [*(note for file in files.values() for note in file.notes()), *_misfits(on, there, rules), *notes]
    if others := sorted(on - counted):
        notes.append(
            f"{', '.join(others)}: nothing is declared, as the trace has such events of another buffer than the top one, of which "
            "ring_stats.txt does not speak"
        )
    if not kinds or not cpus:
        notes.append("no coverage is declared: no kind of event, or no CPU, is known to be complete")
        return Declared(coverage=None, rings=rings, notes=notes)
    declared_by = ", ".join(name for name, text in texts.items() if text is not None)
    every = rings.every_cpu and len(cpus) == len(rings.final)
    coverage = Coverage(kinds=kinds, cpus=None if every else cpus, declared_by=declared_by)
    return Declared(coverage=coverage, rings=rings, notes=notes)


def boot_coverage(declared: Coverage, cmdline: str) -> Coverage | None:
    """Return what was complete from the first event on: tracepoints that the kernel's command line switched on.

    Source: kernel/trace/trace_events.c, setup_trace_event (Linux 6.1): they are on before the first page is allocated by the
    buddy allocator. Probes come later in boot: see ``probes_of_boot``.
    """
    words = [word.partition("=")[2] for word in cmdline.split() if word.startswith("trace_event=")]
    on = {event for word in words for event in word.split(",")}
    kinds = tuple(kind for kind, event in TRACEPOINTS.items() if event in on and kind in declared.kinds)
    if not kinds:
        return None
    return Coverage(kinds=kinds, cpus=declared.cpus, declared_by=f"trace_event= in cmdline.txt, {declared.declared_by}")


def probes_of_boot(declared: Coverage, cmdline: str, rules: KernelRules, since: int, until: int) -> Coverage | None:
    """Return what was complete from *since*, when all initcalls had returned, to *until*: probes that the command line set.

    A probe counts if it is the one that is *declared* from then on. The command line sets no filters.

    Source: kernel/trace/trace_kprobe.c, init_kprobe_trace: an fs_initcall sets the probes of kprobe_event= and enables their events
    (Linux 6.1).
    """
    words = [word.partition("=")[2] for word in cmdline.split() if word.startswith("kprobe_event=")]
    lines = "".join(f"{line.replace(',', ' ')}\n" for word in words for line in word.split(";"))
    there = probe_definitions(SideFile("cmdline.txt", lines))
    filtered = {probe.event for probes in PROBES_OF.values() for probe in probes if probe.filter}
    unfiltered = {event: found for event, found in there.items() if event not in filtered}
    kinds = tuple(kind for kind in _probed(set(unfiltered), unfiltered, None, rules) if kind in declared.kinds)
    if not kinds or since >= until or declared.cpus is not None:
        return None
    by = f"kprobe_event= in cmdline.txt, {declared.declared_by}"
    return Coverage(kinds=kinds, since=since, until=until, declared_by=by)


def _kinds(
    events: set[str],
    there: Mapping[str, Probed],
    misses: Mapping[str, int] | None,
    rules: KernelRules,
    *,
    probes: bool,
) -> tuple[Covered, ...]:
    kinds: list[Covered] = [kind for kind, event in TRACEPOINTS.items() if event in events]
    if probes:
        return (*kinds, *_probed(events, there, misses, rules))
    return (*kinds, *_complete(HOTPLUG_PROBES, events, there, misses))


def _probed(
    events: set[str], there: Mapping[str, Probed], misses: Mapping[str, int] | None, rules: KernelRules
) -> list[Covered]:
    """Return the kinds that probes show completely, on page_owner's functions or on those of kernels without it."""
    releases = (rules.release, *rules.others)
    complete = [_complete(PROBES_OF[release], events, there, misses) for release in releases]
    kinds = list(dict.fromkeys(kind for found in complete for kind in found))
    without = [_complete(PROBES_WITHOUT_PAGE_OWNER[release], events, there, misses) for release in releases]
    kinds += [kind for kind in without[0] if kind not in kinds and all(kind in found for found in without)]
    if rules.split_has_new_order == Either.UNKNOWN:
        kinds = [kind for kind in kinds if kind != "split"]  # what the probe's arguments mean is not known
    return [*kinds, *_complete(HOTPLUG_PROBES, events, there, misses)]


def _complete(
    wanted: tuple[Probe, ...], events: set[str], there: Mapping[str, Probed], misses: Mapping[str, int] | None
) -> list[Covered]:
    """Return the kinds all of whose probes are complete."""
    return [
        kind
        for kind, needed in groupby(wanted, lambda probe: probe.shows)
        if all(_is_complete(probe, events, there, misses) for probe in needed)
    ]


def _is_complete(probe: Probe, events: set[str], there: Mapping[str, Probed], misses: Mapping[str, int] | None) -> bool:
    """Whether a probe was on, on the function and arguments that it is meant for, and missed no hit, if that is known."""
    whole = misses is None or misses.get(probe.name) == 0
    return whole and probe.event in events and probe.event in there and _fits(probe, there[probe.event])


def _fits(probe: Probe, found: Probed) -> bool:
    return probe.fits(found.function, registers(found.arguments))


def _misfits(events: set[str], there: Mapping[str, Probed], rules: KernelRules) -> list[str]:
    """Return a note on each probe that was on and whose definition is not the one for the recorded kernel."""
    wanted: dict[str, list[Probe]] = {}
    tables = (PROBES_OF, PROBES_WITHOUT_PAGE_OWNER, {release: (probe,) for release, probe in MIGRATE_REASON_OF.items()})
    releases = (rules.release, *rules.others)
    for probe in (*(p for table in tables for release in releases for p in table[release]), *HOTPLUG_PROBES):
        wanted.setdefault(probe.event, []).append(probe)
    known = {probe.event for table in tables for probes in table.values() for probe in probes}
    notes = []
    for event, found in there.items():
        fitting = wanted.get(event, [])
        if event not in events or event not in known | set(wanted) or any(_fits(probe, found) for probe in fitting):
            continue
        meant = " or ".join(f"{probe.function} {probe.arguments}" for probe in fitting)
        notes.append(
            f"kprobe_events.txt: {event} is on {found}; for a kernel of {rules.name} "
            + (f"it has to be on {meant}" if meant else "it means nothing")
            + ": it declares nothing"
        )
    return notes


def _cpus(rings: Rings, losses: Losses) -> tuple[tuple[int, ...], list[str]]:
    """Return the CPUs whose last statistics account for every event, and notes on the others."""
    overran = any(ring is not None and ring.overrun for ring in rings.final.values())
    reported = losses() if overran else {}
    complete, notes = [], []
    for cpu, ring in rings.final.items():
        told = reported.get(cpu, 0)
        if ring is None:
            notes.append(
                f"CPU {cpu} has no readable line of the last reading in ring_stats.txt ('final cpu{cpu} …'): "
                "what it lost is unknown, and nothing is certain"
            )
        elif ring.dropped or ring.overrun != told:
            number = "an unknown number of" if told is None else told
            notes.append(
                f"CPU {cpu} lost events that the trace does not show ({ring.overrun} overrun, {ring.dropped} dropped, "
                f"{number} reported): nothing of it is certain"
            )
        else:
            complete.append(cpu)
    return tuple(complete), notes


def lost_events(trace: Path) -> dict[int, int | None]:
    """Return by CPU how many events the lines of a text trace say were lost; null where one of them gives no number."""
    counts: dict[int, int | None] = {}
    held = b""
    with open_input(trace, text=True) as stream:
        for block in blocks(stream):
            data = held + bytes(block)
            whole = data.rfind(b"\n") + 1
            if any(word in data for word in LOST_WORDS):
                for line in data[:whole].split(b"\n"):
                    _count_loss(counts, line)
            held = data[whole:][:_LOST_LONGEST]
    return counts


def _count_loss(counts: dict[int, int | None], line: bytes) -> None:
    loss = ring_loss(line) if len(line) <= _LOST_LONGEST else None
    if loss is not None and loss.cpu is not None:
        before = counts.get(loss.cpu, 0)
        counts[loss.cpu] = None if before is None or loss.lost is None else before + loss.lost
