"""Cost against size as a picture: seconds and memory of ingest and replay, by the number of events."""

import math
from collections.abc import Sequence

from benchmarks.performance.results import MEMORY, SECONDS, Line, Results, number

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 320, 240, 60, 40, 110
_COLOURS = {"ingest": "#1f77b4", "replay": "#d62728"}
_STYLE = "font-family: sans-serif; font-size: 12px"

Points = Sequence[tuple[float, float]]


def picture(results: Results) -> str | None:
    """Return the picture as SVG; null: fewer than two sizes were measured."""
    series = {what: _series(results, what) for what in _COLOURS}
    if min(len(lines) for lines in series.values()) < 2:
        return None
    panels = "".join(
        _panel(
            k, unit, {what: [(events, line.median(unit)) for events, line in lines] for what, lines in series.items()}
        )
        for k, unit in enumerate((SECONDS, MEMORY))
    )
    width, height = _LEFT + 2 * _WIDTH + _GAP + 20, _TOP + _HEIGHT + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{_STYLE}">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{panels}</svg>\n'
    )


def _series(results: Results, what: str) -> list[tuple[int, Line]]:
    """Return (events, line) of each size that was measured of *what*."""
    found = []
    for line in results.lines:
        head, _, rest = line.name.partition(" of ")
        if line.part.startswith("6.") and head == what:
            found.append((int(rest.split()[0].replace(",", "")), line))
    return sorted(found, key=lambda item: item[0])


def _panel(number_of: int, unit: str, series: dict[str, Points]) -> str:
    """Return one panel: both axes are logarithmic for seconds; memory begins at zero."""
    left = _LEFT + number_of * (_WIDTH + _GAP)
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    logarithmic = unit == SECONDS
    low, high = (min(ys), max(ys)) if logarithmic else (0.0, max(ys) * 1.1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = _part(math.log(x), math.log(min(xs)), math.log(max(xs)))
        up = _part(math.log(y), math.log(low), math.log(high)) if logarithmic else _part(y, low, high)
        return left + across * _WIDTH, _TOP + (1 - up) * _HEIGHT

    parts = [
        f'<text x="{left}" y="{_TOP - 18}">{unit}, by events</text>\n',
        f'<path d="M{left} {_TOP}V{_TOP + _HEIGHT}H{left + _WIDTH}" fill="none" stroke="black"/>\n',
    ]
    for x in sorted(set(xs)):
        at = place(x, high)[0]
        parts.append(f'<text x="{at:.0f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{x:,.0f}</text>\n')
    for what, points in series.items():
        placed = [place(x, y) for x, y in points]
        colour = _COLOURS[what]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>\n')
        for (x, y), (_, value) in zip(placed, points, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>\n')
            parts.append(f'<text x="{x + 6:.1f}" y="{y - 6:.1f}" fill="{colour}">{number(value)}</text>\n')
    for k, (what, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<text x="{left + 20 + 70 * k}" y="{_TOP + _HEIGHT + 38}" fill="{colour}">{what}</text>\n')
    return "".join(parts)


def _part(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)
