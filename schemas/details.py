"""The fields of rare kinds of events beyond the columns: one pydantic model for each kind, as JSON in the column ``detail``.

These are the models of the current version, 4. Kinds without a model (alloc, free, split, ...) have all their fields in columns.
All times are ns of the trace clock unless a field's description gives another clock.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.versions.fields import Contract as Detail
from pagetrail.schemas.versions.v4_details import (
    BaselineBegin,
    BaselineEnd,
    Boot,
    Clock,
    ContigRange,
    Coverage,
    Covered,
    Extfrag,
    Gap,
    Hotplug,
    LineKind,
    LinesOfKind,
    Marker,
    NotUnderstood,
    RecordingBegin,
    RecordingEnd,
    Zone,
)

__all__ = [
    "CLOCK_SKEW_OPTION",
    "DETAIL_MODELS",
    "PAGE_BYTES_OPTION",
    "PAGE_SIZE_GUESSED",
    "BaselineBegin",
    "BaselineEnd",
    "Boot",
    "Clock",
    "ContigRange",
    "Coverage",
    "Covered",
    "Detail",
    "Extfrag",
    "Gap",
    "Hotplug",
    "LineKind",
    "LinesOfKind",
    "Marker",
    "NotUnderstood",
    "RecordingBegin",
    "RecordingEnd",
    "Zone",
]

CLOCK_SKEW_OPTION: Final = "clock_skew_nsec"
"""Option of a recording: the largest difference between the clocks of two of its CPUs, ns."""

PAGE_SIZE_GUESSED: Final[Mapping[str, str]] = MappingProxyType({"page_size": "guessed"})
"""Option of a recording whose boot has a page size that nothing says."""
PAGE_BYTES_OPTION: Final = "page_bytes"
"""Option of a recording: the bytes of a page, as the operator says."""

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
    Kind.CONTIG_RANGE: ContigRange,
    Kind.BASELINE_BEGIN: BaselineBegin,
    Kind.BASELINE_END: BaselineEnd,
}
