"""What is in a trail: a line a stream, a line a marker, a line a finding."""

from collections.abc import Callable
from typing import Any

from pagetrail.text.printable import printable, printable_row
from pagetrail.text.tables import table_text

Row = dict[str, Any]
Time = Callable[[int], str]


def streams_text(found: list[Row], times: list[Time], *, lag: bool) -> str:
    """Return rows of ``Trail.streams``, and the snapshots of each stream; with *lag*, also how far replay is behind.

    *times* make text of a time of the trace clock, one of each stream; one without files has none.
    """
    columns = (
        "stream", "kernel", "fold", "recordings", "events", "first", "horizon", "wall time", "segments", "digest",
    ) + (("partition", "lag", "events/s") if lag else ())  # fmt: skip
    right = ("recordings", "events", "first", "horizon", "partition", "lag", "events/s")
    text = table_text(
        columns, [_cells(r, time) + (_lag(r) if lag else ()) for r, time in zip(found, times, strict=True)], right=right
    )
    found = [printable_row(r) for r in found]
    snapshots = (
        f"{r['host']}: snapshots {' '.join('@' + name for name in r['snapshots'])}\n" for r in found if r["snapshots"]
    )
    replaced = (
        f"{r['host']}: stored again by a later reader, which takes the place of {' '.join(r['superseded'])}\n"
        for r in found
        if r["superseded"]
    )
    refused = (f"{r['host']}: refused: {why}\n" for r in found for why in r["refused"] or ())
    held = (f"{r['host']}/{r['boot_id']}: held: {r['held']}\n" for r in found if r["held"])
    folds = (
        f"{r['host']}: folds {' '.join(r['folds'])}; choose one with --fold NAME\n"
        for r in found
        if len(r["folds"] or ()) > 1
    )
    damaged = (f"{r['host']}/{r['boot_id']}: damaged: {why}\n" for r in found for why in r["damaged"] or ())
    return text + "".join(snapshots) + "".join((*replaced, *refused, *held, *folds, *damaged))


def _cells(r: Row, time: Time) -> tuple[object, ...]:
    if r["events"] is None:  # none of its files can be read
        return (f"{r['host']}/{r['boot_id']}", *("" for _ in range(9)))
    return (
        f"{r['host']}/{r['boot_id']}", r["release"], r["fold"], r["recordings"], f"{r['events']:,}",
        "" if r["first_ts"] is None else time(r["first_ts"]), "" if r["horizon"] is None else time(r["horizon"]), r["horizon_wall"],
        f"{r['segments']}{' + tip' if r['tip'] else ''}", r["digest"],
    )  # fmt: skip


def _lag(r: Row) -> tuple[object, ...]:
    lag, rate = ("" if r[name] is None else f"{r[name]:,.0f}" for name in ("lag", "rate"))
    return r["partition"], lag, rate


def markers_text(found: list[Row], time: Time) -> str:
    """Return rows of ``Trail.markers``; *time* makes text of a time of the trace clock."""
    rows = [(time(r["ts"]), r["seq"], r["text"]) for r in found]
    return table_text(("at", "event", "marker"), rows, right=("at", "event"))


def findings_text(stream: str, found: list[Row]) -> str:
    """Return rows of ``Trail.doctor`` below the name of the stream."""
    rows = [("  " + f["level"], f["what"], f"{f['count']:,}", f["detail"]) for f in found]
    return f"{printable(stream)}\n" + table_text(("", "what", "count", ""), rows, right=("count",))
