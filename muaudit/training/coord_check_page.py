"""A coordinate check as a part of an HTML page: lines with a slider over steps, and the table of all activations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..locations import location
from ..page.chart import Chart, Curve, Dash, Frame, Point, Scale, drawn, powers_of_ten
from ..page.html_document import Section, Style, section, whole_page
from .coord_check_lines import BEYOND, at_sizes, beyond_prediction, count, next_steps, predicted_change, setup_line, why
from .drawn import KINDS, design_at, distinct, in_words, named, sizes_of
from .measurement import Array, Measurement
from .verdict import CheckVerdict, JudgedActivation, Status

Drawn = tuple[Measurement, CheckVerdict]
_STYLES: dict[Status, Style] = {"pass": "good", "fail": "error", "undecided": "warning"}
_DASHES: dict[str, Dash] = {
    "hidden": "solid", "output": "dashed", "logits": "dotted", "stream": "solid", "added": "dashed", "inside": "dotted",
}  # fmt: skip


def check_page(rows: Sequence[Drawn]) -> str:
    """The whole document of `coord-check --format html`."""
    return whole_page(", ".join(dict.fromkeys(run.target for run, _ in rows)), check_sections(rows))


def check_sections(rows: Sequence[Drawn]) -> list[Section]:
    """A section for every run."""
    extent = _extent(rows)
    return [_section(run, verdict, f"check-{number}", extent) for number, (run, verdict) in enumerate(rows, 1)]


def _section(run: Measurement, verdict: CheckVerdict, name: str, extent: tuple[float, float]) -> Section:
    lines = distinct(verdict.judged)
    labels = {id(judged): str(number) for number, judged in enumerate(named(verdict), 1)}
    tones = {id(judged): place / max(1, len(lines) - 1) for place, judged in enumerate(lines)}
    moved = any(design_at(judged, step) for judged in lines for step in range(run.steps + 1))
    frames = [
        Frame(
            tuple(_curve(run, judged, place, step, tones[id(judged)], labels.get(id(judged), ""), divided)
                  for place, judged in enumerate(lines)),
            step, ("divided" if divided else "raw") if moved else "", step == run.steps and divided == moved,
        )
        for step in range(run.steps + 1)
        for divided in ((True, False) if moved else (False,))
    ]  # fmt: skip
    title = f"Coordinate check of {run.target}, over {run.axis}"
    words = in_words(verdict.status, run.axis)
    x = Scale(run.width_name, *_around(run.widths), tuple((width, str(width)) for width in run.widths), True)
    y = Scale("root mean square", *extent, powers_of_ten(*extent), True)
    chart = Chart(f"Sizes of {len(lines)} activations. {title}: {words}. The table below has the numbers.", x, y,
                  tuple(frames))  # fmt: skip
    return section(
        "coord_check.html", name, title, _STYLES[verdict.status], run=run, verdict=verdict, words=words,
        describe=at_sizes(run.describe, run.width_name, run.widths),
        setup=setup_line(run), counts=_counts(verdict), wider=run.axis == "width", chart=drawn(chart), moved=moved,
        beyond=BEYOND if any(map(beyond_prediction, lines)) else "", to_do=list(next_steps(run, verdict)),
        first=run.steps, kinds=list(KINDS[run.axis].values()), disagreements=verdict.disagreements,
        rows=[_row(judged, place, tones[id(judged)], labels.get(id(judged), "")) for place, judged in enumerate(lines)],
    )  # fmt: skip


def _counts(verdict: CheckVerdict) -> str:
    return (f"{count(len(verdict.judged), 'activation')}: {len(verdict.offenders)} fail, "
            f"{len(verdict.undecided)} undecided")  # fmt: skip


def _curve(
    run: Measurement, judged: JudgedActivation, line: int, step: int, tone: float, label: str, divided: bool
) -> Curve:
    widths = np.array(run.widths, dtype=np.float64)
    sizes = sizes_of(judged, step)
    design = design_at(judged, step) if divided else 0.0
    shown = sizes * (widths / widths[0]) ** -design
    return Curve(
        line, tuple(zip(widths.tolist(), shown.tolist(), strict=True)), tone, _DASHES[judged.activation.kind],
        judged.status == "fail", label, guesses=tuple(_guesses(run, judged, step, shown, design)),
    )  # fmt: skip


def _guesses(
    run: Measurement, judged: JudgedActivation, step: int, sizes: Array, design: float
) -> Iterator[tuple[Point, ...]]:
    """The lines that the audit predicts, from the first point that was measured."""
    there = np.flatnonzero(np.isfinite(sizes))
    if not len(there):
        return
    base, first = float(run.widths[there[0]]), float(sizes[there[0]])
    of = judged.activation
    known = (of.predicted_update, of.predicted_capped) if step else (of.predicted_init,)
    for exponent in dict.fromkeys(each for each in known if each is not None and math.isfinite(each)):
        yield tuple(
            (float(width), first * (width / base) ** (exponent - design)) for width in (base, float(run.widths[-1]))
        )


def _row(judged: JudgedActivation, line: int, tone: float, label: str) -> dict[str, Any]:
    activation = judged.activation
    start = next((each.fit.slope for each in judged.slopes if each.step == 0), None)
    change = next((each.fit.slope for each in judged.slopes if each.step), None)
    measured, allowed = why(judged)
    last = judged.slopes[-1].step if judged.slopes else 0
    slopes = [start, activation.predicted_init, change, activation.predicted_update, design_at(judged, last) or None]
    return {
        "line": line, "tone": f"{100 * tone:.0f}", "label": label, "name": activation.name, "kind": activation.kind,
        "status": judged.status, "slopes": slopes, "measured": measured, "allowed": allowed,
        "predicted_change": predicted_change(activation),
        "where": location(activation.file, activation.line) or "-",
        "told": f"{activation.name}: {judged.status}" + (f", {measured}" if measured else ""),
    }  # fmt: skip


def _extent(rows: Sequence[Drawn]) -> tuple[float, float]:
    """The y-axis of all frames: everything that is drawn in one of them, with a little room."""
    low, high = math.inf, -math.inf
    for run, verdict in rows:
        widths = np.array(run.widths, dtype=np.float64) / run.widths[0]
        for judged in verdict.judged:
            for step in range(run.steps + 1):
                sizes = sizes_of(judged, step)
                both = np.concatenate([sizes, sizes * widths ** -design_at(judged, step)])
                seen = both[np.isfinite(both)]
                if len(seen):
                    low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    if not low <= high:
        return 0.1, 10.0
    room = max(1.1, (high / low) ** 0.05)
    return low / room, high * room


def _around(widths: Sequence[int]) -> tuple[float, float]:
    room = (widths[-1] / widths[0]) ** 0.04
    return widths[0] / room, widths[-1] * room
