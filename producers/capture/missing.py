"""Compare what was read of a capture's trace with what the statistics of its rings count: what is missing is a gap."""

from collections.abc import Iterator

from pagetrail.producers.capture.statistics import Rings
from pagetrail.producers.parsed import ReadAccount
from pagetrail.schemas.details import Gap


def missing_entries(rings: Rings, account: ReadAccount, end: int) -> Iterator[Gap]:
    """Yield the gaps, up to *end*, of what the rings count and the trace does not have."""
    counted = {cpu: ring.entries + ring.read for cpu, ring in rings.final.items() if ring is not None}
    for cpu, count in counted.items():
        found = account.entries.get(cpu, 0)
        if found > count:
            both = f"the trace has {found:,} events of CPU {cpu}, ring_stats.txt counts {count:,}"
            yield Gap(t_lo=0, t_hi=end, reason=f"{both}: one of the two is not whole")
    if missing := account.missing_of(counted):
        reason = f"ring_stats.txt counts {missing:,} events that are not in the trace"
        yield Gap(t_lo=0, t_hi=end, lost=missing, reason=reason)


def unknown_cpus(rings: Rings, account: ReadAccount, end: int) -> Iterator[Gap]:
    """Yield the gaps, up to *end*, of CPUs that are in the trace and of which the statistics say nothing."""
    for cpu in sorted(account.entries.keys() - rings.final.keys()):
        yield Gap(
            t_lo=0, t_hi=end, reason=f"CPU {cpu} is in the trace and not in ring_stats.txt: what it lost is unknown"
        )
