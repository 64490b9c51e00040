"""What was known of a stream at an earlier time: its facts without those that were told later."""

import dataclasses

from pagetrail.replay.facts.extension import Extension
from pagetrail.replay.facts.facts import Facts, StreamRecording
from pagetrail.schemas.owner import OPEN_END


def facts_as_of(facts: Facts, ts: int, seq: int | None = None) -> Facts:
    """Return the facts that events up to *ts* (trace clock, ns) tell, those of that time included.

    With *seq* (stream_seq), of the events of that time only those up to it. A fact counts from the event that told it on: a
    loss from its report, coverage of a stretch that was past from the reading that declared it. Counts of events are of the
    whole stream, so they are left out.
    """

    def told(when: int, event: int | None = None) -> bool:
        return when < ts or (when == ts and (seq is None or event is None or event <= seq))

    lost = [i for i, (event, _, _) in enumerate(facts.gaps) if told(facts.gap_ts[i], event)]
    parts = [_part(part, ts) for part in facts.recordings if part.first_ts is not None and told(part.first_ts)]
    clients = [name for name, when in zip(facts.clients, facts.client_ts, strict=True) if told(when)]
    complete = {part.recording for part in parts if part.complete}
    return Facts(
        boots=[(when, boot) for when, boot in facts.boots if told(when)],
        pages_per_section=facts.pages_per_section,
        clocks=[(when, clock) for when, clock in facts.clocks if told(when)],
        coverage=[(when, said) for when, said in facts.coverage if told(when)],
        gaps=[facts.gaps[i] for i in lost],
        gap_ts=[facts.gap_ts[i] for i in lost],
        markers=[marker for marker in facts.markers if told(marker[1], marker[0])],
        hotplug=[call for call in facts.hotplug if told(call.ts, call.seq)],
        audits=[audit for audit in facts.audits if told(audit.ts, audit.seq)],
        recordings=parts,
        accounts=[account for account in facts.accounts if account[0] in complete],
        sections=[
            e if told(e.end_ts, e.end_seq) else _still_there(e) for e in facts.sections if told(e.begin_ts, e.begin_seq)
        ],
        clients=clients,
        client_ts=[when for when in facts.client_ts if told(when)],
        fields=[name for name in facts.fields if name.split(".")[0] in clients],
    )


def _part(part: StreamRecording, ts: int) -> StreamRecording:
    """A recording that went on afterwards was not complete then."""
    if part.last_ts is None or part.last_ts <= ts:
        return part
    return dataclasses.replace(part, last_ts=ts, complete=False)


def _still_there(extension: Extension) -> Extension:
    return dataclasses.replace(extension, end_seq=OPEN_END, end_ts=OPEN_END, end_how=None)
