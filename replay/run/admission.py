"""Which recordings of a partition are folded, and where: some are refused, and some take the place of earlier ones."""

import enum
from collections.abc import Callable

from pagetrail.replay.rules.engine import StreamEngine
from pagetrail.replay.run.remaking import HeldFrame, lost_for_a_fold
from pagetrail.replay.run.report import ReplayReport, StreamKey
from pagetrail.replay.run.superseding import Coming, not_remade_message, superseded_message
from pagetrail.replay.store.cut import Cut, Successor
from pagetrail.schemas.frames import FrameHeader, RecordingKey, is_readable
from pagetrail.schemas.log.contract import LogRecord
from pagetrail.schemas.log.stored import other_kernel, release_of, superseded_by


class Verdict(enum.Enum):
    """What is to be done with a frame."""

    FOLD = "fold it"
    SKIP = "do not fold it here"
    SUCCESSOR = "fold here what takes the place of its recording"
    ANEW = "begin its stream anew: from now on, another recording counts"


class Admission:
    """Decides on the frames of a partition. It depends on the log alone, so that all replays decide alike.

    Parameters
    ----------
    cut
        What was decided before.
    report
        Is told of every recording that is refused or set aside.
    held
        Returns the frames of a stream that the log still holds, up to an offset.
    """

    def __init__(self, cut: Cut, report: ReplayReport, held: Callable[[StreamKey, int], list[HeldFrame]]) -> None:
        self._report, self._held, self._newest = report, held, -1
        self.refused = dict(cut.refused)
        self.superseded = dict(cut.superseded)
        self.coming: dict[RecordingKey, Coming] = {}
        report.refused.update(self.refused)
        report.superseded.update({key: superseded_message(key, found) for key, found in self.superseded.items()})

    def on_arrival(self, engine: StreamEngine, record: LogRecord) -> Verdict:
        """Decide on a frame whatever came before it: its recording may be refused, set aside, or folded elsewhere.

        The first frame of a recording that is set aside keeps its place: there, its successor is folded.
        """
        header, self._newest = record.header, max(self._newest, record.offset)
        if header.recording_key in self.refused:
            return Verdict.SKIP
        if header.recording_key not in self.superseded:
            self._remember(engine, header)
        if header.recording_key in self.superseded:
            return Verdict.SKIP if header.first_seq else Verdict.FOLD
        if header.recording_key in self.coming:
            return self._come(engine, record)
        return Verdict.SKIP if self._is_of_another_reader(engine, header) else Verdict.FOLD

    def in_turn(self, engine: StreamEngine, record: LogRecord) -> Verdict:
        """Decide on a frame when everything before it is folded.

        Nothing is decided of one that cannot be read: its stream halts there, until someone can.
        """
        if not is_readable(record.header):
            return Verdict.FOLD
        if record.header.recording_key in self.superseded:
            return Verdict.SUCCESSOR
        verdict = self._superseding(engine, record) if record.header.first_seq == 0 else Verdict.FOLD
        refused = verdict is Verdict.FOLD and (
            self._overlaps(engine, record.header) or self._is_of_another_kernel(engine, record)
        )
        return Verdict.SKIP if refused else verdict

    def begin_anew(self, host: str, boot_id: str) -> None:
        """Forget what was refused of a stream that begins anew: it is found again."""
        stream = (host, boot_id)
        for found in [found for found in self.refused if found[:2] == stream]:
            del self.refused[found]
            self._report.refused.pop(found, None)
        self.coming = {found: coming for found, coming in self.coming.items() if found[:2] != stream}

    def _superseding(self, engine: StreamEngine, record: LogRecord) -> Verdict:
        """Set the recording aside whose place the one that begins here takes, if there is one."""
        header, old = record.header, superseded_by(record.payload)
        folded = {known.recording: known.next_seq for known in engine.state.facts.recordings}
        key = (header.host, header.boot_id, old or "")
        if old is None or key in self.superseded or key in self.refused or header.recording in folded:
            return Verdict.FOLD
        if self._names_another_kernel(engine, record, old):
            return Verdict.SKIP
        if old in folded and old != [*folded][-1]:
            self.coming[header.recording_key] = Coming(old, header, record.offset)
            return self._come(engine, record)
        successor = Successor(recording=header.recording)
        if old not in folded:
            self._set_aside(key, successor)
            return Verdict.FOLD
        others = {name: events for name, events in folded.items() if name != old}
        return self._anew(engine, record, key, successor, others)

    def _come(self, engine: StreamEngine, record: LogRecord) -> Verdict:
        """Take note of a frame of a recording that is to take an earlier place; with the last one, its stream begins anew."""
        key = record.header.recording_key
        coming = self.coming[key]
        coming.take(record)
        if not coming.complete:
            return Verdict.SKIP
        recordings = engine.state.facts.recordings
        why = coming.misfit(recordings)
        if why:
            self._refuse(key, why)
            verdict = Verdict.SKIP
        else:
            whose = {r.recording: (r.recording, r.next_seq) for r in recordings}
            wanted = dict((whose | {coming.old: (key[2], coming.next_seq)}).values())
            verdict = self._anew(engine, record, (key[0], key[1], coming.old), coming.successor, wanted)
        del self.coming[key]
        return verdict

    def _anew(
        self, engine: StreamEngine, record: LogRecord, old: RecordingKey, successor: Successor, wanted: dict[str, int]
    ) -> Verdict:
        """Begin a stream anew with *successor*, unless the log no longer holds the events (by recording) that it needs then."""
        held = self._held(old[:2], self._newest)
        lost = lost_for_a_fold(engine.state.facts, held, self.superseded | {old: successor}, wanted)
        if lost:
            self._refuse(record.header.recording_key, not_remade_message(old, successor, lost))
            return Verdict.SKIP
        self._set_aside(old, successor)
        return Verdict.ANEW

    def _is_of_another_reader(self, engine: StreamEngine, header: FrameHeader) -> bool:
        """Whether a frame would go on with a recording that has ended, or whose frames have another version: it is refused."""
        known = next((r for r in engine.state.facts.recordings if r.recording == header.recording), None)
        if (
            known is None
            or not is_readable(header)
            or header.last_seq < known.next_seq
            or not (known.complete or known.version != header.version)
        ):
            return False
        why = (
            f"recording {header.recording} of {header.host} {header.boot_id} is in the log as two readers made it, and the two "
            "are never mixed: the first counts; ingest the same bytes with --again, and the new one takes its place"
        )
        self._refuse((header.host, header.boot_id, f"{header.recording} by another reader"), why)
        return True

    def _overlaps(self, engine: StreamEngine, header: FrameHeader) -> bool:
        """Whether a frame is already folded, or its recording is refused because it does not follow the boot's earlier ones."""
        if header.recording_key in self.refused:
            return True
        recordings = engine.state.facts.recordings
        known = next((r for r in recordings if r.recording == header.recording), None)
        if known is not None:
            if header.last_seq < known.next_seq:
                return True
            if known is recordings[-1]:
                return False
        elif engine.last_ts is None or header.first_ts > engine.last_ts:
            return False
        why = (
            f"recording {header.recording} of {header.host} {header.boot_id} has events at {header.first_ts} ns, which is "
            f"not after the end of another recording of the same boot ({engine.last_ts} ns): recordings of the same time are "
            "never merged; ingest it into another trail"
        )
        self._refuse(header.recording_key, why)
        return True

    def _is_of_another_kernel(self, engine: StreamEngine, record: LogRecord) -> bool:
        """Whether a recording that begins names another kernel than the earlier ones of its boot: it is refused."""
        header, facts = record.header, engine.state.facts
        if header.first_seq or not facts.recordings or header.recording == facts.recordings[-1].recording:
            return False
        why = other_kernel(release_of(record.payload), facts.release)
        if why:
            whole = f"recording {header.recording} of {header.host} {header.boot_id}: {why}; ingest it with another --boot-id"
            self._refuse(header.recording_key, whole)
        return bool(why)

    def _names_another_kernel(self, engine: StreamEngine, record: LogRecord, old: str) -> bool:
        """Whether what is to take the place of *old* names another kernel than the rest of the boot: it is refused, *old* stays."""
        header, facts = record.header, engine.state.facts
        place = next((known for known in facts.recordings if known.recording == old), None)
        if place is None or place.first_ts is None or place.last_ts is None:
            return False
        rest = (boot.release for ts, boot in facts.boots if not place.first_ts <= ts <= place.last_ts)
        why = other_kernel(release_of(record.payload), next((release for release in rest if release is not None), None))
        if why:
            whole = (
                f"recording {header.recording} of {header.host} {header.boot_id} was to take the place of recording {old}, and "
                f"{why.replace('earlier', 'other')}: recording {old} keeps its place; if that release is wrong, ingest it again "
                "with the right one, --kernel-release"
            )
            self._refuse(header.recording_key, whole)
        return bool(why)

    def _remember(self, engine: StreamEngine, header: FrameHeader) -> None:
        """Set aside again what a recording that is folded took the place of: only the cut knew it, and it may be lost."""
        taken = next(
            (r for r in engine.state.facts.recordings if r.supersedes == header.recording and r.complete), None
        )
        if taken is not None:
            self._set_aside(header.recording_key, Successor(recording=taken.recording))

    def _refuse(self, recording: RecordingKey, why: str) -> None:
        self.refused[recording] = self._report.refused[recording] = why

    def _set_aside(self, old: RecordingKey, successor: Successor) -> None:
        self.superseded[old], self._report.superseded[old] = successor, superseded_message(old, successor)
