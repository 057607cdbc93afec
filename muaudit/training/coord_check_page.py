"""A coordinate check as a part of an HTML page: lines with a slider over steps, and the table of all activations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..locations import location
from ..page.chart import Chart, axis, between, chart, colors, known, plain, trace, wrapped
from ..page.html_document import Section, Style, section, whole_page
from ..page.spread import spread
from .coord_check_lines import BEYOND, at_sizes, beyond_prediction, count, next_steps, predicted_change, setup_line, why
from .drawn import KINDS, design_at, distinct, flat_sizes_of, in_words, named, sizes_of
from .measurement import Array, Measurement
from .verdict import CheckVerdict, JudgedActivation, Status

Drawn = tuple[Measurement, CheckVerdict]
_STYLES: dict[Status, Style] = {"pass": "good", "fail": "error", "undecided": "warning"}
_DASHES = {
    "hidden": "solid", "output": "dash", "logits": "dot", "stream": "solid", "added": "dash", "inside": "dot",
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
    moved = any(design_at(judged, step) for judged in lines for step in range(run.steps + 1))
    title = f"Coordinate check of {run.target}, over {run.axis}"
    words = in_words(verdict.status, run.axis)
    rows = [_row(judged, place, len(lines), labels.get(id(judged), "")) for place, judged in enumerate(lines)]
    numbers = {place: row["label"] for place, row in enumerate(rows) if row["label"]}
    said = f"Sizes of {len(lines)} activations. {title}: {words}. The table below has the numbers."
    return section(
        "coord_check.html", name, title, _STYLES[verdict.status], charts=True, run=run, verdict=verdict, words=words,
        describe=at_sizes(run.describe, run.width_name, run.widths), setup=setup_line(run), counts=_counts(verdict),
        wider=run.axis == "width", chart=_chart(run, lines, numbers, extent, moved, said), moved=moved,
        beyond=BEYOND if any(map(beyond_prediction, lines)) else "", to_do=list(next_steps(run, verdict)),
        first=run.steps, kinds=list(KINDS[run.axis].values()), disagreements=verdict.disagreements, rows=rows,
    )  # fmt: skip


def _chart(
    run: Measurement, lines: Sequence[JudgedActivation], numbers: Mapping[int, str], extent: tuple[float, float],
    moved: bool, title: str,
) -> Chart:  # fmt: skip
    """Lines that look alike are one trace, so that a browser draws hundreds of them in a tenth of a second."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, judged in enumerate(lines):
        look = (place in numbers, judged.status == "fail", colors(place, len(lines)), _DASHES[judged.activation.kind])
        alike.setdefault(look, []).append(place)
    groups = sorted(alike.items(), key=lambda each: each[0][:2])  # what has a name is drawn last
    frames = [
        _frame(run, lines, [members for _, members in groups], numbers, extent, step, divided)
        for step in range(run.steps + 1)
        for divided in ((True, False) if moved else (True,))
    ]
    shown = frames[-2 if moved else -1]
    widths = list(run.widths)
    data = []
    for place, ((is_named, failed, ink, dash), members) in enumerate(groups):
        alone = any(_alone(frame["data"][place]["y"]) for frame in frames)
        data.append(trace(
            "curve", members, ink, mode="lines+markers" if alone or is_named else "lines",
            opacity=1.0 if is_named else 0.6, line={"width": 2.4 if failed else 1.8 if is_named else 1.2, "dash": dash},
            marker={"size": 5}, x=(widths + widths[-1:]) * len(members),
            hovertemplate="%{text}<br>" + plain(run.width_name) + " %{x:d}: %{y:.3~g}<extra></extra>",
            **shown["data"][place],
        ))  # fmt: skip
    data.append(trace("guesses", range(len(lines)), colors(0, 1), visible=False,
                      x=[widths[0], widths[-1], widths[-1]] * 2 * len(lines), **shown["data"][-3]))  # fmt: skip
    data.append(trace("leaders", (), colors(0, 1), line={"width": 0.8}, **shown["data"][-2]))
    data.append(trace("labels", (), colors(0, 1), mode="text", textposition="middle right", cliponaxis=False,
                      **shown["data"][-1]))  # fmt: skip
    x = axis(run.width_name, *_around(widths), True, [(width, str(width)) for width in widths])
    told = [wrapped(judged.activation.name, judged.status, why(judged)[0]) for judged in lines]
    made = chart(title, x, axis("root mean square", *extent, True), data, frames=frames, told=told)
    made.figure["layout"]["meta"] |= {
        "numbered": list(numbers),
        "fails": any(lines[n].status == "fail" for n in numbers),
    }
    return made


def _frame(
    run: Measurement, lines: Sequence[JudgedActivation], groups: Sequence[Sequence[int]], numbers: Mapping[int, str],
    extent: tuple[float, float], step: int, divided: bool,
) -> dict[str, Any]:  # fmt: skip
    """What is another at another step, or without what is divided out."""
    sizes = [flat_sizes_of(run, judged, step) if divided else sizes_of(judged, step) for judged in lines]
    guesses = [
        _guesses(run, judged, step, sizes[place], design_at(judged, step) if divided else 0.0)
        for place, judged in enumerate(lines)
    ]
    data = [{"y": [y for place in members for y in (*known(_positive(sizes[place])), None)]} for members in groups]
    data.append({"y": [y for each in guesses for y in each]})
    data += _labels(run, {number: sizes[place] for place, number in numbers.items()}, extent)
    return {"name": f"{step}" if divided else f"{step} raw", "data": data}


def _labels(run: Measurement, numbered: Mapping[str, Array], extent: tuple[float, float]) -> list[dict[str, Any]]:
    """Leaders from the last points of lines to their numbers, and the numbers, far enough from each other."""
    low, high = extent
    ends: dict[str, tuple[int, float]] = {}
    for number, sizes in numbered.items():
        there = np.flatnonzero(np.isfinite(_positive(sizes)))
        if len(there):
            ends[number] = run.widths[there[-1]], float(sizes[there[-1]])
    shares = spread([math.log(size / low) / math.log(high / low) for _, size in ends.values()], 0.06)
    heights = [between(low, high, share, True) for share in shares]
    right = _around(run.widths)[1]
    leaders = [y for (_, size), height in zip(ends.values(), heights, strict=True) for y in (size, height, math.nan)]
    return [
        {"x": [x for width, _ in ends.values() for x in (width, right, None)], "y": known(leaders)},
        {"x": [right] * len(ends), "y": known(heights), "text": list(ends)},
    ]


def _positive(sizes: Array) -> Array:
    """What a logarithmic axis can show."""
    found: Array = np.where(sizes > 0, sizes, np.nan)
    return found


def _alone(values: Sequence[float | None]) -> bool:
    """Whether a point has no neighbour that a line would lead to."""
    gaps = [None, *values, None]
    return any(gaps[at] is not None and gaps[at - 1] is gaps[at + 1] is None for at in range(1, len(gaps) - 1))


def _counts(verdict: CheckVerdict) -> str:
    return (f"{count(len(verdict.judged), 'activation')}: {len(verdict.offenders)} fail, "
            f"{len(verdict.undecided)} undecided")  # fmt: skip


def _guesses(
    run: Measurement, judged: JudgedActivation, step: int, sizes: Array, design: float
) -> Iterator[float | None]:
    """The lines that the audit predicts, from the first width to the last through the first point that was measured.

    Two of them, of two points and a gap each: what small steps give, and what is left of it at a usual learning rate.
    """
    there = np.flatnonzero(np.isfinite(_positive(sizes)))
    of = judged.activation
    known_ = (of.predicted_update, of.predicted_capped) if step else (of.predicted_init,)
    exponents = [each for each in dict.fromkeys(known_) if each is not None and math.isfinite(each)]
    for exponent in [*exponents, None, None][:2]:
        if exponent is None or not len(there):
            yield from (None, None, None)
            continue
        base, first = float(run.widths[there[0]]), float(sizes[there[0]])
        ends = (float(run.widths[0]), float(run.widths[-1]))
        yield from (*known(first * (width / base) ** (exponent - design) for width in ends), None)


def _row(judged: JudgedActivation, line: int, of: int, label: str) -> dict[str, Any]:
    activation = judged.activation
    start = next((each.fit.slope for each in judged.slopes if each.step == 0), None)
    change = next((each.fit.slope for each in judged.slopes if each.step), None)
    measured, allowed = why(judged)
    last = judged.slopes[-1].step if judged.slopes else 0
    slopes = [start, activation.predicted_init, change, activation.predicted_update, design_at(judged, last) or None]
    return {
        "line": line, "colors": colors(line, of), "label": label, "name": activation.name, "kind": activation.kind,
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
