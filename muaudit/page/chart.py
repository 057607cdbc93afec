"""Charts of the HTML page: figures of Plotly as plain dicts of its schema, which the page's script draws.

https://plotly.com/javascript/reference/index/ has the schema; a test holds the figures against `plotly.graph_objects`,
which takes longer to import than the page takes to write. Scheme and selection are the script's: it reads the `meta`
of every trace, where `colors` are for light and dark, `lines` the numbers of the lines in it, and `of` what it shows.
"""

from __future__ import annotations

import base64
import gzip
import importlib.metadata
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Trace = dict[str, Any]
Axis = dict[str, Any]
Of = Literal["curve", "guesses", "leaders", "labels", "beside"]

COLORS = tuple(zip(
    ("#5b2a86", "#463f9e", "#1955a9", "#006ba8", "#007e9a", "#008d82", "#009664", "#4d9a3f"),
    ("#8ab0ff", "#66c0ff", "#3fcff3", "#2ddbdd", "#52e3bf", "#85e69d", "#b8e47b", "#e6dd62"),
    strict=True,
))  # fmt: skip
"""On white and on black, from the first line to the last: even steps in OKLCH, one way in lightness as well as in hue,
so that they are told apart with any colour blindness, and at a contrast of 3 or more against the page."""

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
_LINE = 44  # letters of a label beside the pointer


@dataclass(frozen=True)
class Chart:
    """A figure. title: what it is, for those who do not see it."""

    title: str
    figure: dict[str, Any]


@cache
def packed_script() -> str:
    """Plotly's script as its package has it: compressed, in base64. A browser unpacks it with `DecompressionStream`."""
    script = Path(str(importlib.metadata.distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))
    return base64.b64encode(gzip.compress(script.read_bytes(), 6, mtime=0)).decode()


def plain(text: str) -> str:
    """A text that Plotly shows as it is: in its labels, tags are markup, and `%{…}` is a value."""
    for letter, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("{", "&#123;")):
        text = text.replace(letter, written)
    return text


def wrapped(*lines: str) -> str:
    """The label beside the pointer, the first line bold; long lines are broken."""
    head, *others = ["<br>".join(map(plain, textwrap.wrap(line, _LINE) or [""])) for line in lines if line]
    return "<br>".join([f"<b>{head}</b>", *others])


def colors(place: int, of: int) -> tuple[str, str]:
    """Of one of several lines, on a light page and on a dark one."""
    return COLORS[round((len(COLORS) - 1) * place / max(1, of - 1))]


def trace(of: Of, lines: Sequence[int], colors: tuple[str, str], **more: Any) -> Trace:
    """Points of these lines, as many of each; where a curve's are several lines, the last point of each is a gap."""
    return {"type": "scatter", "mode": "lines", "showlegend": False, **more,
            "meta": {"of": of, "lines": list(lines), "colors": list(colors)}}  # fmt: skip


def axis(
    title: str, low: float, high: float, logarithmic: bool = False, ticks: Sequence[tuple[float, str]] = ()
) -> Axis:
    """An axis over all of its chart; ticks: where, and what stands there, as Plotly has it."""
    ends = [math.log10(low), math.log10(high)] if logarithmic else [low, high]
    found: Axis = {"type": "log" if logarithmic else "linear", "range": ends, "zeroline": False,
                   "title": {"text": plain(title)}}  # fmt: skip
    if ticks:
        return found | {"tickvals": [value for value, _ in ticks], "ticktext": [text for _, text in ticks]}
    decades = ends[1] - ends[0] if logarithmic else 0.0
    return found | {"dtick": max(1, round(decades / 6))} if decades > 1.5 else found


def chart(title: str, x: Axis, y: Axis, data: Sequence[Trace], **more: Any) -> Chart:
    """A figure on these axes. more: its `frames`, `told` (the labels of its lines), and parts of its layout."""
    frames, told = more.pop("frames", ()), more.pop("told", ())
    layout = {
        "xaxis": x, "yaxis": y | {"exponentformat": "power", "automargin": True}, "hovermode": "closest",
        "margin": {"l": 64, "r": 40, "t": 12, "b": 48}, "showlegend": False, "uirevision": "kept",
        "meta": {"told": list(told)}, **more,
    }  # fmt: skip
    return Chart(title, {"data": list(data), "layout": layout, "frames": list(frames)})


def known(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """Numbers as JSON has them: a gap where one is not finite."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


def around(values: Iterable[float], room: float = 0.06) -> tuple[float, float]:
    """The ends of a linear axis that shows all of these."""
    seen = [value for value in values if math.isfinite(value)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    more = room * (high - low) or 0.5 * abs(high) or 0.5
    return low - more, high + more


def between(low: float, high: float, share: float, logarithmic: bool = False) -> float:
    """The value so far up an axis."""
    return low * (high / low) ** share if logarithmic else low + (high - low) * share
