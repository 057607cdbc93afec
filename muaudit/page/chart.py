"""Charts of the HTML page as plain SVG, laid out here: they print, follow light and dark, and stand without scripts.

The libraries that could be embedded cost more than they give here: plotly's script alone is 4.6 MB of a page that may
have 5, bokeh brings pandas and a web server, and what either draws is a canvas or nothing before its script has run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from muaudit.page.spread import spread

WIDE, HIGH = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 14, 46  # the margins around the axes
Dash = Literal["solid", "dashed", "dotted"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`. ticks: where, and what stands there; logarithmic: in equal ratios."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value stands: 0 at the low end, 1 at the high one; NaN where it stands nowhere."""
        if not math.isfinite(value) or (self.logarithmic and value <= 0):
            return math.nan
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Best:
    """A minimum with the interval that it lies in."""

    place: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A line of (x, y); NaN leaves a gap. line: its number in the chart; tone: its colour between the first and last.

    label: what stands at its end; band: (x, low, high); guesses: lines that were predicted; lost: where it diverged.
    """

    line: int
    points: tuple[Point, ...]
    tone: float
    dash: Dash = "solid"
    bad: bool = False
    label: str = ""
    band: tuple[tuple[float, float, float], ...] = ()
    guesses: tuple[tuple[Point, ...], ...] = ()
    best: Best | None = None
    lost: tuple[float, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What is shown at once: all curves at one step, in one view ("" for where there is one alone)."""

    curves: tuple[Curve, ...]
    step: int = 0
    view: str = ""
    shown: bool = True


@dataclass(frozen=True)
class Chart:
    """A chart. title: what it is, for those who do not see it."""

    title: str
    x: Scale
    y: Scale
    frames: tuple[Frame, ...] = field(default=())


def drawn(chart: Chart) -> dict[str, Any]:
    """What the template writes: places in pixels, and paths."""
    return {
        "title": chart.title, "wide": WIDE, "high": HIGH,
        "left": LEFT, "right": WIDE - RIGHT, "top": TOP, "bottom": HIGH - BOTTOM,
        "x_label": chart.x.label, "y_label": chart.y.label,
        "x_ticks": [(_x(chart, value), text) for value, text in chart.x.ticks],
        "y_ticks": [(_y(chart, value), text) for value, text in chart.y.ticks],
        "frames": [_frame(chart, frame) for frame in chart.frames],
    }  # fmt: skip


def powers_of_ten(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """The ticks of a logarithmic axis: a few, at 1, 2 and 5 where there are less than two decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, round((last - first) / 6))
    found = [10.0**power for power in range(first, last + 1, every) if low <= 10.0**power <= high]
    if len(found) < 3:
        found = [m * 10.0**p for p in range(first, last + 1) for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return tuple((value, _short(value)) for value in found)


def even(low: float, high: float, most: int = 6) -> tuple[tuple[float, str], ...]:
    """The ticks of a linear axis, at multiples of 1, 2 or 5."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next((times for times in (1, 2, 5) if (high - low) / (step * times) <= most), 10)
    first = math.ceil(low / step - 1e-9)
    values = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return tuple((value, f"{value:.10g}") for value in values)


def around(values: Iterable[float], room: float = 0.06) -> tuple[float, float]:
    """The ends of a linear axis that shows all of these."""
    seen = [value for value in values if math.isfinite(value)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    more = room * (high - low) or 0.5 * abs(high) or 0.5
    return low - more, high + more


def _short(value: float) -> str:
    power = math.floor(math.log10(value) + 1e-9)
    if -3 <= power <= 3:
        return f"{value:g}"
    return f"1e{power}" if abs(value - 10.0**power) < 1e-9 * value else f"{value:.0e}".replace("e-0", "e-")


def _frame(chart: Chart, frame: Frame) -> dict[str, Any]:
    labelled = [curve for curve in frame.curves if curve.label and _end(chart, curve) is not None]
    ends = {curve.line: _end(chart, curve) for curve in labelled}
    spans = HIGH - TOP - BOTTOM
    places = [min(1.0, max(0.0, 1 - (end[1] - TOP) / spans)) for end in ends.values() if end is not None]
    moved = dict(zip(ends, spread(places, 0.05), strict=True))
    curves = []
    for curve in frame.curves:
        end = ends.get(curve.line)
        label = None if end is None else {"x": WIDE - RIGHT + 14, "y": round(TOP + (1 - moved[curve.line]) * spans, 1),
                                          "from_x": end[0], "from_y": end[1], "text": curve.label}  # fmt: skip
        curves.append({
            "line": curve.line, "tone": f"{100 * curve.tone:.0f}", "dash": curve.dash, "bad": curve.bad,
            "path": _path(chart, curve.points), "dots": _dots(chart, curve.points), "label": label,
            "band": _band(chart, curve.band), "guesses": [_path(chart, guess) for guess in curve.guesses],
            "best": None if curve.best is None else _best(chart, curve.best),
            "lost": [_x(chart, value) for value in curve.lost],
        })  # fmt: skip
    return {"step": frame.step, "view": frame.view, "shown": frame.shown, "curves": curves}


def _x(chart: Chart, value: float) -> float:
    return round(LEFT + chart.x.place(value) * (WIDE - LEFT - RIGHT), 1)


def _y(chart: Chart, value: float) -> float:
    return round(HIGH - BOTTOM - chart.y.place(value) * (HIGH - TOP - BOTTOM), 1)


def _end(chart: Chart, curve: Curve) -> Point | None:
    there = [(_x(chart, x), y) for x, value in curve.points if math.isfinite(y := _y(chart, value))]
    return there[-1] if there else None


def _dots(chart: Chart, points: Sequence[Point]) -> list[Point]:
    """The points that no line connects to another, which a path does not show."""
    there = [math.isfinite(chart.y.place(y)) for _, y in points]
    return [
        (_x(chart, x), _y(chart, y))
        for at, (x, y) in enumerate(points)
        if there[at] and not any(there[near] for near in (at - 1, at + 1) if 0 <= near < len(points))
    ]


def _path(chart: Chart, points: Sequence[Point]) -> str:
    parts, broken = [], True
    for x, y in points:
        left, height = chart.x.place(x), chart.y.place(y)
        if math.isnan(left) or math.isnan(height):
            broken = True
            continue
        parts.append(f"{'M' if broken else 'L'}{_x(chart, x):g} {_y(chart, y):g}")
        broken = False
    return "".join(parts)


def _band(chart: Chart, band: Sequence[tuple[float, float, float]]) -> str:
    there = [each for each in band if math.isfinite(chart.y.place(each[1])) and math.isfinite(chart.y.place(each[2]))]
    if len(there) < 2:
        return ""
    upper = [(_x(chart, x), _y(chart, high)) for x, _, high in there]
    lower = [(_x(chart, x), _y(chart, low)) for x, low, _ in reversed(there)]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in [*upper, *lower]) + "Z"


def _best(chart: Chart, best: Best) -> dict[str, float]:
    """The error bar ends where the axis does: it must not stretch it."""
    low, high = max(chart.x.low, best.low), min(chart.x.high, best.high)
    return {"x": _x(chart, best.place), "y": _y(chart, best.value), "low": _x(chart, low), "high": _x(chart, high)}
