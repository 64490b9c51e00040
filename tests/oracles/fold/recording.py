"""What a recording says of itself: where it begins and ends, its clocks, coverage and losses."""

from typing import TYPE_CHECKING, Any

from tests.oracles.fold.values import Event

if TYPE_CHECKING:
    from tests.oracles.fold.oracle import Reference


def take_recording_begin(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.dump = None
    oracle.skew = max(oracle.skew, int(said.get("options", {}).get("clock_skew_nsec", 0)))
    if oracle.last_ts is not None:
        oracle.gap_ends.append(oracle.ts)


def take_recording_end(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.dump = None


def take_clock(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    if oracle.clock is None and said.get("ts_nsec") is not None:
        valid = said.get("valid_from")
        oracle.clock = (said["ts_nsec"] - oracle.ts, oracle.ts if valid is None else valid)


def take_coverage(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    if said.get("begins", True):
        oracle.coverage_begins.append(oracle.ts)
    if "hotplug" in said["kinds"]:
        begun = oracle.ts if oracle.hotplug_covered is None else oracle.hotplug_covered
        oracle.hotplug_covered = begun if said.get("begins", True) else None
    if "split" in said["kinds"]:
        oracle.split_covered = said.get("begins", True)
    if "refill" in said["kinds"]:
        oracle.refill_covered = said.get("begins", True)


def take_gap(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    oracle.gap_ends.append(said["t_hi"])


def take_marker(oracle: "Reference", event: Event, said: dict[str, Any]) -> None:
    pass
