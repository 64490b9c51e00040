"""Memory hotplug: how a call of online_pages or offline_pages changes the sections of its range, and what remains in doubt."""

from pagetrail.replay.facts.hotplug import HotplugCall
from pagetrail.replay.fold.notice_jit import doubt, note
from pagetrail.replay.fold.options import OPT_ONLINING_START, OPT_ONLINING_STOP
from pagetrail.replay.fold.tables import with_room
from pagetrail.replay.rules.event_row import EventRow
from pagetrail.replay.rules.sections import MAX_SECTIONS
from pagetrail.replay.rules.state import StreamState
from pagetrail.schemas.columns import absent
from pagetrail.schemas.details import Gap, Hotplug
from pagetrail.schemas.linux.memory_notify import (
    Call,
    ExtensionState,
    memory_action,
    page_ext_callback,
    refused,
)
from pagetrail.schemas.linux.mmzone import sections_of
from pagetrail.schemas.owner import ABSENT64, DOUBT_HOTPLUG, Anomaly

MAX_BLOCK_SECTIONS = 1 << 12
"""Largest number of sections in one hotplug call: a memory block has at most 16 on x86_64 (2 GiB)."""


def take_call(state: StreamState, event: EventRow) -> None:
    """Take a call of online_pages or offline_pages, at its entry or return, or a notification after it: see ``memory_notify``."""
    detail = event.detail(Hotplug)
    seen = HotplugCall(
        seq=event.seq, ts=event.ts, call=detail.call, phase=detail.phase,
        pfn=event.value("pfn"), nr_pages=event.value("nr_pages"), ret=event.value("ret"), pid=event.value("pid"),
    )  # fmt: skip
    if seen.pfn is not None and _is_beyond(seen.pfn, seen.nr_pages, state.facts.pages_per_section):
        state.quarantine(Anomaly.BEYOND_MACHINE, event.seq, event.ts, seen.pfn, absent("order"))
        return
    calls = state.calls
    entry, last_call = calls.of(seen.call, seen.pid), state.facts.last_call_of(calls)
    state.facts.hotplug.append(seen)
    if seen.phase == "return":
        _take_return(state, seen, entry, last_call)
    if state.facts.boot is not None and state.facts.boot.memory_model == "FLATMEM":
        pfn, nr_pages = _or(seen.pfn, ABSENT64), _or(seen.nr_pages, 1)
        state.quarantine(Anomaly.HOTPLUG_ON_FLATMEM, event.seq, event.ts, pfn, absent("order"), nr_pages)
    elif seen.pfn is not None and seen.nr_pages is not None:
        _notify(state, seen, entry)
    _set_onlining(state)


def _is_beyond(pfn: int, nr_pages: int | None, pages_per_section: int) -> bool:
    """Whether a range is impossible on every known machine."""
    if nr_pages is None:
        return False
    most = MAX_BLOCK_SECTIONS * pages_per_section
    return pfn < 0 or not 0 < nr_pages <= most or pfn > pages_per_section * MAX_SECTIONS - nr_pages


def _take_return(state: StreamState, seen: HotplugCall, entry: HotplugCall | None, last_call: int | None) -> None:
    """Pair a return with its entry, which may give the range."""
    if entry is None:
        note(state.tables, int(Anomaly.HOTPLUG_UNPAIRED), seen.nr_pages or 0, seen.seq)
        if seen.pfn is None:
            _lose_all(state, seen.seq, seen.ts, last_call)
        return
    if seen.pfn is None:
        seen.pfn, seen.nr_pages = entry.pfn, entry.nr_pages
    if seen.ret is None or state.losses.reach(entry.ts):
        _lose_all(
            state, seen.seq, seen.ts, last_call
        )  # the entry's own return may be lost, and this return belong to another call


def _lose_all(state: StreamState, seq: int, ts: int, last_call: int | None) -> None:
    """Record a loss for all pages: some memory went online or offline, and its range is unknown.

    The loss begins no earlier than the first gap, in which the call may have been entered, and no earlier than the last recorded
    call before, *last_call*, because calls are serialized.
    Source: drivers/base/core.c, device_hotplug_lock; mm/memory_hotplug.c, online_pages and offline_pages (Linux 6.1).
    """
    first_loss = state.facts.first_loss_of(state.losses)
    since = state.facts.recordings[-1].first_ts if first_loss is None else first_loss
    if since is not None and last_call is not None:
        since = max(since, last_call)
    reason = "a hotplug call returned whose range was not seen"
    state.lose(seq, ts, None, Gap(t_lo=ts if since is None else since, t_hi=ts, reason=reason))


def _notify(state: StreamState, seen: HotplugCall, entry: HotplugCall | None) -> None:
    """Change the sections of a call's range as the notifier does, as far as the event shows it."""
    assert seen.pfn is not None
    assert seen.nr_pages is not None
    pages, boot = state.facts.pages_per_section, state.facts.boot
    block = 1 << ((boot.pageblock_order if boot else None) or 0)
    action = memory_action(Call(seen.call, seen.phase, seen.ret))
    if seen.phase != "notified" and refused(seen.pfn, seen.nr_pages, block, pages):
        action = None
    why = "notified" if seen.phase == "notified" else seen.call
    sections = sections_of(seen.pfn, seen.nr_pages, pages)
    steps = page_ext_callback(action, sections, lambda nr: _extension(state, nr), why=why) if action is not None else ()
    for step in steps:
        if step.there:
            state.allocate(step.section_nr, seen.seq, seen.ts, step.why, fresh=step.fresh)
        else:
            state.free(step.section_nr, seen.seq, seen.ts, step.why)
    if seen.phase == "return" and entry is not None:
        state.tables = with_room(state.tables, 1)
        doubt(state.tables, seen.pfn, seen.nr_pages, entry.ts, seen.ts, seen.seq, DOUBT_HOTPLUG)


def _extension(state: StreamState, section_nr: int) -> ExtensionState:
    """Return what is known of a section's extension."""
    if not state.sections.is_open(section_nr):
        return ExtensionState.ABSENT
    slot = int(state.tables.slot[section_nr])
    if slot < 0:
        return ExtensionState.BLANK
    owned = bool((state.tables.owner[slot] >= 0).any() or (state.tables.kernel[slot] >= 0).any())
    return ExtensionState.USED if owned or state.values.known_of(slot) else ExtensionState.BLANK


def _set_onlining(state: StreamState) -> None:
    """Set the range of an online_pages in progress in the fold's options: its pages are freed for the first time."""
    state.opts[OPT_ONLINING_START], state.opts[OPT_ONLINING_STOP] = state.calls.range_of("online_pages") or (0, 0)


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
