"""A sweep as a part of an HTML page: losses against a hyperparameter, a curve a width, as it is beside as converted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..findings.power import number
from ..page.chart import SYMBOLS, Axis, Chart, Trace, around, axis, between, chart, colors, known, trace, wrapped
from ..page.html_document import Section, Style, section, whole_page
from .along import Along, wider_along
from .gap import gap, gap_words
from .knobs import KNOBS
from .optimum import Array
from .ranges import shown
from .result import SweepResult
from .sweep_lines import described, next_steps
from .sweep_plot import LOGARITHMIC, seen_losses
from .sweep_verdict import Status, SweepVerdict, at
from .sweep_words import cost_words, drift_words, larger, title

_STYLES: dict[Status, Style] = {"pass": "good", "fail": "error", "undecided": "warning"}
_MOST_TICKS = 9
_KEY = {"showlegend": True, "margin": {"l": 64, "r": 24, "t": 40, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}}  # fmt: skip


def sweep_page(measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> str:
    """The whole document of `sweep --format html`."""
    return whole_page(described(measured, verdicts), [sweep_section(measured, verdicts)])


def sweep_section(measured: SweepResult, verdicts: Sequence[SweepVerdict], name: str = "sweep") -> Section:
    """All tables of a sweep; the colour is that of the worst verdict on what the sweep is about."""
    order = ("pass", "undecided", "fail")
    main = [each.status for each in verdicts if each.curves.variant == measured.main]
    worst: Status = max(main, key=order.index, default="undecided")
    found = gap(verdicts)
    words = [*(gap_words(found) if found is not None else []), *([measured.base_init] if measured.base_init else [])]
    return section(
        "sweep.html", name, f"Sweep of {described(measured, verdicts)}", _STYLES[worst], charts=True,
        measured=measured, words=words, to_do=list(next_steps(measured, verdicts)),
        plots=[_plot(measured, verdict, verdicts, f"{name}-{place}") for place, verdict in enumerate(verdicts, 1)],
        along=[_along(measured, each, f"{name}-along-{place}") for place, each in enumerate(measured.along, 1)],
    )  # fmt: skip


def _plot(measured: SweepResult, verdict: SweepVerdict, all_: Sequence[SweepVerdict], name: str) -> dict[str, Any]:
    """One table as a chart, on the axes of all tables of its hyperparameter."""
    curves = verdict.curves
    alike = [each for each in all_ if each.curves.knob == curves.knob]
    said = title(measured.titles, verdict, measured.seconds_of_seed(verdict))
    fixed = "" if curves.at is None else f"at lr {shown(curves.at)}, the best of {curves.along} {curves.widths[0]}"
    means = curves.means()
    return {
        "id": name, "title": said, "style": _STYLES[verdict.status], "chart": _chart(verdict, alike, said),
        "fixed": fixed, "reasons": [*verdict.reasons, *verdict.remarks],
        "lines": [drift_words(verdict), cost_words(verdict),
                  f"{larger(curves)} is better: {verdict.wider} ({verdict.wider_detail})"],
        "along": curves.along, "knob": curves.knob, "rows": list(_rows(verdict)),
        "numbers": _numbers(curves.knob, curves.along, curves.widths, map(shown, curves.values), means.T),
    }  # fmt: skip


def _chart(verdict: SweepVerdict, alike: Sequence[SweepVerdict], said: str) -> Chart:
    low, high, logarithmic = seen_losses(alike)
    x = _values(alike)
    tops = [between(low, high, 1 - 0.03 * (place + 1), logarithmic) for place in range(len(verdict.curves.widths))]
    told = [wrapped(row["told"]) for row in _rows(verdict)]
    return chart(f"{said}. The table below has the numbers.", x, axis("loss", low, high, logarithmic),
                 list(_traces(verdict, x["range"], tops)), told=told, **_KEY)  # fmt: skip


def _traces(verdict: SweepVerdict, ends: tuple[float, float], tops: Sequence[float]) -> Iterator[Trace]:
    """Of every width its range over seeds, its curve, its best value, and crosses where a run of it diverged."""
    curves = verdict.curves
    place_of, means, lost = np.array(curves.axis), curves.means(), curves.diverged()
    there = np.isfinite(place_of)
    names = [
        f"{KNOBS[curves.knob].meaning} {shown(value)}" for value, each in zip(curves.values, there, strict=True) if each
    ]
    for place, (width, optimum) in enumerate(zip(curves.widths, verdict.optima, strict=True)):
        ink = colors(place, len(curves.widths))
        yield from _curve(place, f"{curves.along} {width}", ink, place_of[there], means[place][there],
                          curves.losses[place][:, there], names)  # fmt: skip
        if optimum is not None:
            low, high = max(ends[0], optimum.place - optimum.error), min(ends[1], optimum.place + optimum.error)
            error = {"type": "data", "symmetric": False, "array": [high - optimum.place],
                     "arrayminus": [optimum.place - low], "thickness": 1.6, "width": 5}  # fmt: skip
            yield trace("beside", [place], ink, mode="markers", x=[optimum.place], y=[optimum.loss], error_x=error,
                        marker={"symbol": "star", "size": 15})  # fmt: skip
        crossed = place_of[there & (lost[place] > 0)].tolist()
        if crossed:
            yield trace("beside", [place], ink, mode="markers", x=crossed, y=[tops[place]] * len(crossed),
                        marker={"symbol": "x", "size": 9})  # fmt: skip


def _curve(
    place: int, name: str, ink: tuple[str, str], x: Array, means: Array, losses: Array, where: Sequence[str]
) -> Iterator[Trace]:
    """A line of means, with the range over seeds where there are several. losses: [seed, point]."""
    seen = [column[np.isfinite(column)] for column in losses.T]
    several = [at for at, column in enumerate(seen) if len(column) > 1]
    if len(several) > 1:
        around_ = [(x[at], seen[at].max()) for at in several] + [(x[at], seen[at].min()) for at in reversed(several)]
        yield trace("beside", [place], ink, mode="none", x=known(a for a, _ in around_), y=known(b for _, b in around_),
                    fill="toself", opacity=0.18)  # fmt: skip
    details = [f"{at}: {mean:.4g}{_range(column)}" for at, mean, column in zip(where, means, seen, strict=True)]
    yield trace("curve", [place], ink, mode="lines+markers", x=known(x), y=known(means), name=name, showlegend=True,
                line={"width": 2}, marker={"size": 6, "symbol": SYMBOLS[place % len(SYMBOLS)]}, customdata=details,
                hovertemplate="%{text}<br>%{customdata}<extra></extra>")  # fmt: skip


def _range(losses: Array) -> str:
    return f" ({losses.min():.4g} to {losses.max():.4g} over {len(losses)} seeds)" if len(losses) > 1 else ""


def _values(verdicts: Sequence[SweepVerdict]) -> Axis:
    """The axis of a hyperparameter: what was run, whatever the error of an optimum is."""
    curves = max((each.curves for each in verdicts), key=lambda each: len(each.values))
    places = {x: value for each in verdicts for x, value in zip(each.curves.axis, each.curves.values, strict=True)}
    there = sorted(x for x in places if math.isfinite(x))
    every = -(-len(there) // _MOST_TICKS)
    ticks = [(x, re.sub(r"\^-(\d+)$", r"<sup>−\1</sup>", shown(places[x]))) for x in there[::every]]
    return axis(KNOBS[curves.knob].meaning, *around(there, 0.04), ticks=ticks)


def _numbers(knob: str, along: str, sizes: Sequence[int], where: Iterable[str], losses: Array) -> dict[str, Any]:
    """The curves as a table: a row a point, a column a size."""
    rows = [(name, [f"{loss:.4g}" if np.isfinite(loss) else "-" for loss in row])
            for name, row in zip(where, losses, strict=True)]  # fmt: skip
    return {"head": [knob, *(f"{along} {size}" for size in sizes)], "rows": rows}


def _rows(verdict: SweepVerdict) -> Iterator[dict[str, Any]]:
    curves, lost = verdict.curves, verdict.curves.diverged()
    for place, (width, optimum) in enumerate(zip(curves.widths, verdict.optima, strict=True)):
        row = {"line": place, "colors": colors(place, len(curves.widths)), "width": width, "best": "-",
               "log": "-", "loss": "-", "value": None, "diverged": int(lost[place].sum())}  # fmt: skip
        if optimum is not None:
            sign = {"": "", "low": "≤ ", "high": "≥ "}[optimum.edge]
            row |= {"best": sign + number(at(curves, optimum)), "loss": f"{optimum.loss:.4g}", "value": optimum.place,
                    "log": f"{sign}{optimum.place:.2f} ± {optimum.error:.2f}"}  # fmt: skip
        row["told"] = f"{curves.along} {width}: best {curves.knob} {row['best']}, loss {row['loss']}"
        yield row


def _along(measured: SweepResult, along: Along, name: str) -> dict[str, Any]:
    """Losses along training at one learning rate."""
    finite = along.losses[np.isfinite(along.losses)]
    logarithmic = bool(finite.size and finite.min() > 0 and finite.max() > LOGARITHMIC * finite.min())
    low, high = (float(finite.min()) / 1.1, float(finite.max()) * 1.1) if logarithmic else around(finite.tolist())
    said = f"{measured.titles[along.variant]} along training, lr {shown(along.lr)}"
    names = [f"{along.of} {width}" for width in along.widths]
    steps = np.array(along.steps, dtype=np.float64)
    means = np.array([
        [float(np.mean(part[np.isfinite(part)])) if np.isfinite(part).any() else math.nan for part in losses.T]
        for losses in along.losses
    ])  # fmt: skip
    inks = [colors(place, len(names)) for place in range(len(names))]
    data = [
        each
        for place, name_ in enumerate(names)
        for each in _curve(place, name_, inks[place], steps, means[place], along.losses[place],
                           [f"step {step}" for step in along.steps])
    ]  # fmt: skip
    x, y = axis("step", 0.0, 1.02 * float(along.steps[-1])), axis("training loss", low, high, logarithmic)
    drawn = chart(f"{said}. The table below has the numbers.", x, y, data, told=list(map(wrapped, names)), **_KEY)
    picks = [{"line": place, "colors": inks[place], "told": name_} for place, name_ in enumerate(names)]
    return {"id": name, "title": said, "chart": drawn, "picks": picks, "words": wider_along(along),
            "numbers": _numbers("step", along.of, along.widths, map(str, along.steps), means.T)}  # fmt: skip
