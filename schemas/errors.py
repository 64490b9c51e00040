"""Every error that pagetrail raises on purpose.

    PagetrailError
    ├── InputError            a file or argument from outside is wrong                         exit 2
    │   ├── UnrecognisedInput     an unknown format
    │   ├── TruncatedInput        a file that ends in the middle
    │   └── BadArgument           a TIME, PFN, stream or option that is invalid here
    ├── NotFound              the trail does not have what was asked for                       exit 3
    ├── TrailError            the trail itself: missing, of a newer version, in use, damaged   exit 4
    │   ├── TrailMissing
    │   ├── TrailTooNew
    │   ├── TrailBusy
    │   ├── LogError              an append or a read that would break the log's promises
    │   │   ├── FrameConflict         one (recording, frame number), two contents
    │   │   ├── OffsetGap             the log skips offsets
    │   │   ├── FrameDamaged          bytes that are not the expected frame
    │   │   │   └── ForeignMessage        a message in the topic that is not pagetrail's
    │   │   ├── FrameTooLarge         an event that is too large for a message of the topic
    │   │   ├── LogUnreachable        brokers that do not answer, or refuse the client
    │   │   ├── TopicMissing          no such topic
    │   │   └── TopicUnfit            a topic with a setting that would lose frames
    │   ├── SchemaTooNew          a frame of a version that this pagetrail does not read
    │   ├── SegmentDamaged        a segment that was cut short or changed
    │   │   ├── SegmentGone           a segment that was removed after it was looked up
    │   │   └── NotAFolder            a link or a file where a folder of segments has to be
    │   ├── SegmentMissing        a segment between two others that is not there
    │   ├── SegmentsDiffer        two segments of the same events with other facts
    │   ├── StorageFull           no space left
    │   ├── StorageFailed         a medium that fails, or that may not be read or written
    │   └── MemoryShort           a stream that takes more memory than it may
    └── StackConflict         one stack id, two contents

The command line turns them into exit codes in one place: ``pagetrail/cli.py``.
"""


class PagetrailError(Exception):
    """The root: a problem that pagetrail noticed and can explain."""

    exit_code = 1


class InputError(PagetrailError):
    """Input from outside is wrong. Nothing of it was stored, except what the message names."""

    exit_code = 2


class UnrecognisedInput(InputError):
    """The content of a file has an unknown format."""

    def __init__(self, *, source: str, found: str, expected: str) -> None:
        super().__init__(f"{source}: expected {expected}; found {found}")
        self.source, self.found, self.expected = source, found, expected


class TruncatedInput(InputError):
    """A file ends in the middle."""

    def __init__(self, *, source: str, offset: int, reason: str) -> None:
        super().__init__(
            f"{source}: cut short at byte {offset} of the uncompressed data: {reason}; "
            "make the file again, or decompress its intact part and use that"
        )
        self.source, self.offset, self.reason = source, offset, reason


class BadArgument(InputError):
    """A TIME, PFN, stream or option that is invalid here."""


class NotFound(PagetrailError):
    """The trail does not have what was asked for."""

    exit_code = 3


class TrailError(PagetrailError):
    """The trail itself is the problem."""

    exit_code = 4


class TrailMissing(TrailError):
    """There is no trail at that place."""

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"no trail at {path}: expected a directory made by 'pagetrail ingest'; give --trail DIR or set $PAGETRAIL"
        )
        self.path = path


class TrailTooNew(TrailError):
    """The trail was written by a newer pagetrail."""

    def __init__(self, *, path: str, found: int, supported: int) -> None:
        super().__init__(
            f"{path}: expected trail format {supported} or older, found {found}; a newer pagetrail wrote it: "
            "upgrade this one; nothing was changed"
        )
        self.path, self.found, self.supported = path, found, supported


class TrailBusy(TrailError):
    """Another process does something that only one process may do at a time."""

    def __init__(self, *, path: str, what: str, holder: str) -> None:
        super().__init__(f"{path}: another {what} is running on this trail ({holder}); wait for it, or stop it")
        self.path, self.what, self.holder = path, what, holder


class LogError(TrailError):
    """An append or a read that would break the log's promises."""


class FrameConflict(LogError):
    """One (recording, frame number) with two contents."""

    def __init__(self, *, recording: str, frame: int, stored: str, offered: str) -> None:
        super().__init__(
            f"recording {recording} frame {frame}: expected the bytes that the log already holds (BLAKE2 {stored}), "
            f"found other bytes ({offered}); was it ingested with other options? use another trail"
        )
        self.recording, self.frame, self.stored, self.offered = recording, frame, stored, offered


class OffsetGap(LogError):
    """A partition skipped offsets: to continue folding would invent history."""

    def __init__(self, *, partition: int, expected: int, found: int) -> None:
        super().__init__(
            f"partition {partition}: expected offset {expected}, found {found}; "
            "frames are missing from the log: restore them, or ingest the recording again"
        )
        self.partition, self.expected, self.found = partition, expected, found


class FrameDamaged(LogError):
    """Bytes that are not the expected frame. *stream* is (host, boot_id), where the log shows it."""

    def __init__(self, *, where: str, reason: str, stream: tuple[str, str] | None = None) -> None:
        super().__init__(
            f"{where}: expected a whole pagetrail frame, found {reason}; ingest the recording again, into a new trail or topic"
        )
        self.where, self.reason, self.stream = where, reason, stream


class ForeignMessage(FrameDamaged):
    """A message that no producer of pagetrail sent: its key is no name of a host. Skipping it loses no frame."""


class FrameTooLarge(LogError):
    """An event that is too large for a message of the topic, even in a part of its own."""

    def __init__(self, *, recording: str, frame: int, size: int, limit: int) -> None:
        super().__init__(
            f"recording {recording} frame {frame}: expected frames or parts of frames of at most {limit} bytes, found an "
            f"event of {size} bytes; raise the topic's max.message.bytes, and run the same command again"
        )
        self.recording, self.frame, self.size, self.limit = recording, frame, size, limit


class LogUnreachable(LogError):
    """The brokers do not answer, or refuse the client. *done* says what was finished before, and is kept."""

    def __init__(self, *, log: str, reason: str, done: str = "") -> None:
        super().__init__(
            f"{log}: expected brokers that serve this topic, found: {reason}; "
            f"{done}check the address, the brokers and --kafka-config, and run the same command again"
        )
        self.log, self.reason, self.done = log, reason, done


class TopicMissing(LogError):
    """There is no such topic."""

    def __init__(self, *, log: str) -> None:
        super().__init__(
            f"{log}: expected a topic, found none of that name, or no permission to see it; 'pagetrail topic create' makes it"
        )
        self.log = log


class TopicUnfit(LogError):
    """A topic with a setting that would lose frames."""

    def __init__(self, *, log: str, setting: str, expected: str, found: str, why: str) -> None:
        super().__init__(f"{log}: expected {setting}={expected}, found {found}: {why}; change it, or use another topic")
        self.log, self.setting, self.expected, self.found = log, setting, expected, found


class SchemaTooNew(TrailError):
    """A frame, or an event, of a later version than this pagetrail reads. It stays in the log."""

    def __init__(self, *, where: str, found: int, supported: int) -> None:
        super().__init__(
            f"{where}: expected version {supported} or older, found {found}; upgrade this pagetrail: "
            "the frame stays in the log, and its stream continues after the upgrade"
        )
        self.where, self.found, self.supported = where, found, supported


class SegmentDamaged(TrailError):
    """A segment that was cut short or changed. Segments can always be rebuilt from the log."""

    expected = "a sealed segment"
    remedy = "remove the file and run 'pagetrail replay'"

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: expected {self.expected}, found {reason}; {self.remedy}: segments are rebuilt from the log"
        )
        self.path, self.reason = path, reason


class SegmentGone(SegmentDamaged):
    """A segment that no longer exists; if it was a tip, a newer file has replaced it."""

    remedy = "run 'pagetrail replay'"

    def __init__(self, *, path: str) -> None:
        super().__init__(path=path, reason="nothing: it was removed meanwhile")


class NotAFolder(SegmentDamaged):
    """A link, a file or something else in the place of a folder of segments: nothing below it is read."""

    expected = "a folder of segments"
    remedy = "put the folder back, or remove what is there and run 'pagetrail replay'"


class SegmentMissing(TrailError):
    """Segments between two others, or at the end of a chain, are not there, or are damaged: what they hold is not known."""

    def __init__(self, *, before: str, events: str, why: str = "is missing") -> None:
        super().__init__(
            f"{before}: the segment after it, of events {events}, {why}, and with it what it says of earlier instants; "
            "run 'pagetrail replay', which makes it anew from the log"
        )
        self.before, self.events = before, events


class SegmentsDiffer(TrailError):
    """A segment that another replay made of the same events has other facts: the log or the rules changed under the store."""

    def __init__(self, *, path: str, expected: str, found: str) -> None:
        super().__init__(
            f"{path}: expected digest {expected} of this stretch, found {found} from another replay: "
            "the log or the rules changed under the store; keep the log, remove this stream's segments, replay again"
        )
        self.path, self.expected, self.found = path, expected, found


class MemoryShort(TrailError):
    """A stream takes more memory than the replay may. *what* takes it."""

    def __init__(self, *, what: str, needed: int, limit: int) -> None:
        super().__init__(
            f"{what} take {needed >> 20:,} MiB of memory, expected at most {limit >> 20:,} MiB; "
            "replay again with a larger --memory: what is folded is kept"
        )
        self.what, self.needed, self.limit = what, needed, limit


class StorageFull(TrailError):
    """No space is left for a write."""

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: no space left ({reason}); stored data is intact: free some space and run the same command again"
        )
        self.path, self.reason = path, reason


class StorageFailed(TrailError):
    """The system failed to read or write a file of the trail, or refused to."""

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: expected files that can be read and written, found: {reason}; check the medium, its free space and the "
            "permissions, and run the same command again: stored data is intact"
        )
        self.path, self.reason = path, reason


class StackConflict(PagetrailError):
    """One 64-bit stack id with two contents."""

    def __init__(self, *, stack_id: int, first: str, second: str) -> None:
        super().__init__(f"stack id {stack_id & (2**64 - 1):016x} stands for two stacks: {first!r} and {second!r}")
        self.stack_id, self.first, self.second = stack_id, first, second
