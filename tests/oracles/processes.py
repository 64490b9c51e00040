"""Which rows with one pid are one process, found row by row."""

from collections import defaultdict
from typing import Any

Row = dict[str, Any]
Process = tuple[Any, Any, Any]


def process_of(rows: list[Row], offset: int) -> list[Process]:
    """Return (pid, name, tgid) of the process of each row; *offset*: what page_owner's clock is ahead of the trace clock."""
    of_pid: dict[Any, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        of_pid[row["pid"]].append(i)
    found: dict[int, Process] = {}
    for pid, which in of_pid.items():
        which.sort(key=lambda i: (born(rows[i], offset) is not None, born(rows[i], offset) or 0))
        tgids = filled([rows[i]["tgid"] for i in which])
        for tgid in set(tgids):
            same = [i for i, known in zip(which, tgids, strict=True) if known == tgid]
            comms = [rows[i]["comm"] for i in same]
            if tgid is not None and tgid != pid:
                names = [next((comm for comm in reversed(comms) if comm is not None), None)] * len(same)
            else:
                names = last_names(filled(comms), [born(rows[i], offset) for i in same])
            found |= {i: (pid, name, tgid) for i, name in zip(same, names, strict=True)}
    return [found[i] for i in range(len(rows))]


def born(row: Row, offset: int) -> int | None:
    if row["alloc_ts"] is not None:
        return int(row["alloc_ts"])
    return None if row["ts_nsec"] is None else int(row["ts_nsec"]) - offset


def filled(values: list[Any]) -> list[Any]:
    """Return values without null: each takes that before it, the first ones that behind them."""
    known = [value for value in values if value is not None]
    last, found = (known[0] if known else None), []
    for value in values:
        last = last if value is None else value
        found.append(last)
    return found


def last_names(names: list[Any], times: list[int | None]) -> list[Any]:
    """Join names while the time of one lies within that of another."""
    groups = [{name} for name in set(names)]

    def span(group: set[Any]) -> list[int]:
        return [time for name, time in zip(names, times, strict=True) if name in group and time is not None]

    joined = True
    while joined:
        joined = False
        for one in groups:
            for other in groups:
                if one is other or not span(one) or not span(other):
                    continue
                if min(span(one)) < max(span(other)) and min(span(other)) < max(span(one)):
                    one |= other
                    groups.remove(other)
                    joined = True
                    break
            if joined:
                break
    newest = {}
    for group in groups:
        timed = [(time, name) for name, time in zip(names, times, strict=True) if name in group and time is not None]
        newest |= dict.fromkeys(group, max(timed, key=lambda pair: pair[0])[1] if timed else next(iter(group)))
    return [newest[name] for name in names]
