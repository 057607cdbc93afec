"""A sweep as a part of an HTML page: losses against a hyperparameter, a curve a width, as it is beside as converted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..findings.power import number
from ..page.chart import Best, Chart, Curve, Frame, Scale, around, drawn, even, powers_of_ten
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
        "sweep.html", name, f"Sweep of {described(measured, verdicts)}", _STYLES[worst], measured=measured, words=words,
        to_do=list(next_steps(measured, verdicts)),
        plots=[_plot(measured, verdict, verdicts, f"{name}-{place}") for place, verdict in enumerate(verdicts, 1)],
        along=[_along(measured, each, f"{name}-along-{place}") for place, each in enumerate(measured.along, 1)],
    )  # fmt: skip


def _plot(measured: SweepResult, verdict: SweepVerdict, all_: Sequence[SweepVerdict], name: str) -> dict[str, Any]:
    """One table as a chart, on the axes of all tables of its hyperparameter."""
    curves = verdict.curves
    alike = [each for each in all_ if each.curves.knob == curves.knob]
    said = title(measured.titles, verdict, measured.seconds_of_seed(verdict))
    chart = Chart(f"{said}. The table below has the numbers.", _values(alike), _losses(alike),
                  (Frame(tuple(_curves(verdict))),))  # fmt: skip
    fixed = "" if curves.at is None else f"at lr {shown(curves.at)}, the best of {curves.along} {curves.widths[0]}"
    return {
        "id": name, "title": said, "style": _STYLES[verdict.status], "chart": drawn(chart), "fixed": fixed,
        "reasons": [*verdict.reasons, *verdict.remarks],
        "lines": [drift_words(verdict), cost_words(verdict),
                  f"{larger(curves)} is better: {verdict.wider} ({verdict.wider_detail})"],
        "along": curves.along, "knob": curves.knob, "rows": list(_rows(verdict)),
    }  # fmt: skip


def _curves(verdict: SweepVerdict) -> Iterator[Curve]:
    curves = verdict.curves
    axis, means, lost = np.array(curves.axis), curves.means(), curves.diverged()
    for place, optimum in enumerate(verdict.optima):
        there = np.isfinite(axis)
        losses = np.where(np.isfinite(means[place]), means[place], np.nan)
        best = None
        if optimum is not None:
            best = Best(optimum.place, optimum.loss, optimum.place - optimum.error, optimum.place + optimum.error)
        points = tuple(zip(axis[there].tolist(), losses[there].tolist(), strict=True))
        yield Curve(
            place, points, _tone(place, curves.widths), band=tuple(_band(axis, curves.losses[place])), best=best,
            lost=tuple(axis[there & (lost[place] > 0)].tolist()),
        )  # fmt: skip


def _band(axis: Array, losses: Array) -> Iterator[tuple[float, float, float]]:
    """The range over seeds, where there are several."""
    for place, x in enumerate(axis.tolist()):
        seen = losses[:, place][np.isfinite(losses[:, place])]
        if len(seen) > 1 and math.isfinite(x):
            yield x, float(seen.min()), float(seen.max())


def _tone(place: int, widths: Sequence[int]) -> float:
    return place / max(1, len(widths) - 1)


def _values(verdicts: Sequence[SweepVerdict]) -> Scale:
    """The axis of a hyperparameter: what was run, whatever the error of an optimum is."""
    curves = max((each.curves for each in verdicts), key=lambda each: len(each.values))
    places = {x: value for each in verdicts for x, value in zip(each.curves.axis, each.curves.values, strict=True)}
    there = sorted(x for x in places if math.isfinite(x))
    every = -(-len(there) // _MOST_TICKS)
    low, high = around(there, 0.04)
    knob = KNOBS[curves.knob]
    return Scale(knob.meaning, low, high, tuple((x, shown(places[x])) for x in there[::every]))


def _losses(verdicts: Sequence[SweepVerdict]) -> Scale:
    low, high, logarithmic = seen_losses(verdicts)
    ticks = powers_of_ten(low, high) if logarithmic else even(low, high)
    return Scale("loss", low, high, ticks, logarithmic)


def _rows(verdict: SweepVerdict) -> Iterator[dict[str, Any]]:
    curves, lost = verdict.curves, verdict.curves.diverged()
    for place, (width, optimum) in enumerate(zip(curves.widths, verdict.optima, strict=True)):
        row = {"line": place, "tone": f"{100 * _tone(place, curves.widths):.0f}", "width": width, "best": "-",
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
    x = Scale("step", 0.0, float(along.steps[-1]), even(0.0, float(along.steps[-1])))
    y = Scale("training loss", low, high, powers_of_ten(low, high) if logarithmic else even(low, high), logarithmic)
    said = f"{measured.titles[along.variant]} along training, lr {shown(along.lr)}"
    curves = []
    for place in range(len(along.widths)):
        losses = along.losses[place]
        means = [float(np.mean(part[np.isfinite(part)])) if np.isfinite(part).any() else math.nan for part in losses.T]
        points = tuple(zip(map(float, along.steps), means, strict=True))
        curves.append(Curve(place, points, _tone(place, along.widths),
                            band=tuple(_band(np.array(along.steps, dtype=np.float64), losses))))  # fmt: skip
    picks = [{"line": place, "tone": f"{100 * _tone(place, along.widths):.0f}", "told": f"{along.of} {width}"}
            for place, width in enumerate(along.widths)]  # fmt: skip
    return {"id": name, "title": said, "chart": drawn(Chart(said, x, y, (Frame(tuple(curves)),))), "picks": picks,
            "words": wider_along(along)}  # fmt: skip
