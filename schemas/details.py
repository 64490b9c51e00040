"""What the rare kinds of events say beyond the columns: one pydantic model each, carried as JSON in the column ``detail``.

These are the models of the current version: version 3 has them all. A version that changes one has its own, and it is named here.
Kinds that are not here (alloc, free, split, ...) say everything in columns. All times are ns of the trace clock unless a
field says otherwise.
"""

from typing import Final

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.versions.fields import Contract as Detail
from pagetrail.schemas.versions.v3_details import (
    BaselineBegin,
    BaselineEnd,
    Boot,
    Clock,
    Coverage,
    Covered,
    Extfrag,
    Gap,
    Hotplug,
    Marker,
    NotUnderstood,
    RecordingBegin,
    RecordingEnd,
    Zone,
)

__all__ = [
    "CLOCK_SKEW_OPTION",
    "DETAIL_MODELS",
    "BaselineBegin",
    "BaselineEnd",
    "Boot",
    "Clock",
    "Coverage",
    "Covered",
    "Detail",
    "Extfrag",
    "Gap",
    "Hotplug",
    "Marker",
    "NotUnderstood",
    "RecordingBegin",
    "RecordingEnd",
    "Zone",
]

CLOCK_SKEW_OPTION: Final = "clock_skew_nsec"
"""Option of a recording: the clocks of two of its CPUs differ by at most so much, ns."""

DETAIL_MODELS: Final[dict[Kind, type[Detail]]] = {
    Kind.RECORDING_BEGIN: RecordingBegin,
    Kind.RECORDING_END: RecordingEnd,
    Kind.BOOT: Boot,
    Kind.CLOCK: Clock,
    Kind.COVERAGE: Coverage,
    Kind.GAP: Gap,
    Kind.MARKER: Marker,
    Kind.EXTFRAG: Extfrag,
    Kind.HOTPLUG: Hotplug,
    Kind.BASELINE_BEGIN: BaselineBegin,
    Kind.BASELINE_END: BaselineEnd,
}
