"""Memory that filters of zones and nodes leave out: a recording lists its zones once, and memory may come later."""

import numpy as np

from pagetrail.queries.core.filters import listed, touching, union
from pagetrail.queries.core.instant import Instant
from pagetrail.queries.core.rows import sections_at
from pagetrail.queries.core.stream import Stream
from pagetrail.schemas.owner import RUN_DTYPE


def outside_zones(stream: Stream, at: Instant) -> str:
    """Return the sections that were online at an instant and are in none of the recording's zones, as text: ``32-35, 40``."""
    pages = stream.facts.pages_per_section
    online = np.array([nr for nr, _ in sections_at(stream.facts_at(at), at)], np.int64)
    runs = np.zeros(online.size, RUN_DTYPE)
    runs["pfn"], runs["nr_pages"] = online * pages, pages
    inside = touching(runs, union((zone.start_pfn, zone.stop_pfn) for zone in stream.facts.zones))
    return listed(online[~inside].tolist())
