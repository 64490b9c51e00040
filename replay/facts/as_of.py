"""The facts of a stream as of an earlier time: without those that later events added."""

import dataclasses

from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.hotplug import Extension
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.schemas.owner import OPEN_END


def facts_as_of(facts: Facts, ts: int, seq: int | None = None) -> Facts:
    """Return the facts that follow from events up to and including *ts* (trace clock, ns).

    With *seq* (stream_seq), events at *ts* count only up to it. A fact counts from the event that reported it: a loss from its
    report, coverage of a past stretch from the reading that declared it. Counts of events are kept for the whole stream only, so
    they are left out.
    """

    def known(when: int, event: int | None = None) -> bool:
        return when < ts or (when == ts and (seq is None or event is None or event <= seq))

    lost = [i for i, (event, _, _) in enumerate(facts.gaps) if known(facts.gap_ts[i], event)]
    recordings = [_until(r, ts) for r in facts.recordings if r.first_ts is not None and known(r.first_ts)]
    clients = [name for name, when in zip(facts.clients, facts.client_ts, strict=True) if known(when)]
    complete = {recording.recording for recording in recordings if recording.complete}
    return Facts(
        boots=[(when, boot) for when, boot in facts.boots if known(when)],
        pages_per_section=facts.pages_per_section,
        chosen_rules=facts.chosen_rules,
        clocks=[(when, clock) for when, clock in facts.clocks if known(when)],
        coverage=[(when, detail) for when, detail in facts.coverage if known(when)],
        gaps=[facts.gaps[i] for i in lost],
        gap_ts=[facts.gap_ts[i] for i in lost],
        lost_until=None,  # only the fold asks for it
        markers=[marker for marker in facts.markers if known(marker[1], marker[0])],
        hotplug=[call for call in facts.hotplug if known(call.ts, call.seq)],
        open_ranges={pid: opened for pid, opened in facts.open_ranges.items() if known(opened.ts, opened.seq)},
        earlier=facts.earlier,
        audits=[audit for audit in facts.audits if known(audit.ts, audit.seq)],
        recordings=recordings,
        accounts=[account for account in facts.accounts if account[0] in complete],
        sections=[
            e if known(e.end_ts, e.end_seq) else _still_open(e)
            for e in facts.sections
            if known(e.begin_ts, e.begin_seq)
        ],
        clients=clients,
        client_ts=[when for when in facts.client_ts if known(when)],
        fields=[name for name in facts.fields if name.split(".")[0] in clients],
    )


def _until(recording: StreamRecording, ts: int) -> StreamRecording:
    """Return a recording as of *ts*: one that continued afterwards was not yet complete."""
    if recording.last_ts is None or recording.last_ts <= ts:
        return recording
    return dataclasses.replace(recording, last_ts=ts, complete=False)


def _still_open(extension: Extension) -> Extension:
    return dataclasses.replace(extension, end_seq=OPEN_END, end_ts=OPEN_END, end_how=None)
