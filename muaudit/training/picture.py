"""The picture of a coordinate check (after TP5, arXiv 2203.03466, Fig. 5): one panel a step, one row a target.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..page.print_style import LIGHTEST
from ..page.spread import spread
from .drawn import KINDS, design_at, distinct, entry, flat_sizes_of, in_words, limits, named, shown_steps
from .measurement import Measurement
from .verdict import CheckVerdict, JudgedActivation

FORMATS = (".png", ".svg", ".pdf")
STYLES: dict[str, Any] = {"hidden": "-", "output": "--", "logits": ":", "stream": "-", "added": "--", "inside": ":"}
_OFFENCE = "#b3141b"
_MANY = 60
_LETTER, _HANDLE, _LONGEST = 0.072, 0.6, 84  # inches of a letter and of a line in a legend; letters in a row of it
_SETTINGS: Any = {
    # Text stays text in svg and pdf, and no date goes into the file.
    "font.size": 9, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "legend.fontsize": 8,
}  # fmt: skip
Drawn = tuple[Measurement, CheckVerdict]


def check_plot(path: Path, option: str = "--plot") -> None:
    """Raise UserError for a format that cannot be written, or without matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{option} writes {', '.join(FORMATS)}, found {path.name}", f"for example {option} picture.png")
    if not path.resolve().parent.is_dir():
        raise UserError(f"{option}: no such folder: {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(f"{option} needs matplotlib", "pip install 'muaudit[plot]'") from error


def plot(rows: Sequence[Drawn], path: Path) -> None:
    """Draw every run as one row and write the file. Raises UserError where it cannot be written."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        figure = figure_of(rows)
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def figure_of(rows: Sequence[Drawn]) -> Any:
    """The matplotlib figure."""
    from matplotlib.figure import Figure

    panels = max(len(shown_steps(run.steps)) for run, _ in rows)
    wide = max(7.0, 1.9 * panels + 0.6)
    texts = [f"{number}  {_entry(judged)}" for _, v in rows for number, judged in enumerate(named(v), 1)]
    columns = max(1, int(wide // (_LETTER * max(map(len, texts), default=1) + _HANDLE)))
    below = [0.19 * -(-len(named(verdict)) // columns) + 0.35 for _, verdict in rows]
    heights = [2.75 + legend for legend in below] + [0.7]
    figure = Figure(figsize=(wide, sum(heights)), layout="constrained")
    whole: Any = figure
    *parts, foot = whole.subfigures(len(rows) + 1, 1, height_ratios=heights)
    for part, (run, verdict) in zip(parts, rows, strict=True):
        _row(part, part.subplots(1, panels, sharey=True, squeeze=False)[0], run, verdict, limits(rows), columns)
    _key(foot, rows[0][0].axis, wide)
    return figure


def _entry(judged: JudgedActivation) -> str:
    """What stands in the legend; a name that would not fit the narrowest picture loses its beginning."""
    text = entry(judged)
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def _row(
    part: Any, axes: Any, run: Measurement, verdict: CheckVerdict, extent: tuple[float, float], columns: int
) -> None:
    """The panels of one run, its verdict above and the names of lines below."""
    part.suptitle(
        f"{run.target}: {in_words(verdict.status, run.axis)}", fontsize=10, fontweight="bold", x=0.01, ha="left",
        color=_OFFENCE if verdict.status == "fail" else "black",
    )  # fmt: skip
    lines = distinct(verdict.judged)
    marked = {id(judged): number for number, judged in enumerate(named(verdict), 1)}
    steps = shown_steps(run.steps)
    handles: dict[int, Any] = {}
    for panel, step in zip(axes, steps, strict=False):
        _prepare(panel, run, step, extent)
        for order, judged in enumerate(lines):
            number = marked.get(id(judged), 0)
            drawn = _line(panel, run, judged, step, order / max(1, len(lines) - 1), number, len(lines) > _MANY)
            if number:
                handles[number] = drawn
        _numbers(panel, run, {marked[id(j)]: j for j in lines if id(j) in marked}, step, extent)
    for panel in axes[len(steps) :]:
        panel.set_axis_off()
    axes[0].set_ylabel("root mean square")
    labels = {number: f"{number}  {_entry(judged)}" for number, judged in enumerate(named(verdict), 1)}
    part.legend(
        [handles[number] for number in sorted(handles)], [labels[number] for number in sorted(handles)],
        title=_heading(run, verdict),
        loc="outside lower left", ncols=columns, frameon=False, handlelength=2.6, columnspacing=1.5, labelspacing=0.25,
        title_fontsize=8, alignment="left",
    )  # fmt: skip


def _heading(run: Measurement, verdict: CheckVerdict) -> str:
    """What the numbered lines are, and that some are drawn without a factor."""
    which = "slopes of the worst offenders" if verdict.offenders else "slopes of the steepest lines"
    moved = any(design_at(judged, step) for judged in verdict.judged for step in range(run.steps + 1))
    return f"{which}; a factor that moves a line by design is divided out of the drawing" if moved else which


def _prepare(panel: Any, run: Measurement, step: int, extent: tuple[float, float]) -> None:
    panel.set(xscale="log", yscale="log", ylim=extent)
    many = len(run.widths) > 4 or max(run.widths) > 9999
    panel.set_xticks(run.widths, [str(width) for width in run.widths], rotation=45 if many else 0)
    panel.minorticks_off()
    panel.grid(True, which="major", linewidth=0.4, alpha=0.5)
    panel.set_title("value at init" if step == 0 else f"change after step {step}")
    panel.set_xlabel(run.width_name)


def _line(
    panel: Any, run: Measurement, judged: JudgedActivation, step: int, depth: float, number: int, many: bool
) -> Any:
    """One activation. Offenders are thick, the rest recedes."""
    from matplotlib import colormaps

    thin, bad = 0.6 if many else 1.1, judged.status == "fail"
    colour = colormaps["viridis"](LIGHTEST * depth)
    (drawn,) = panel.plot(
        run.widths, flat_sizes_of(run, judged, step), STYLES[judged.activation.kind], color=colour,
        linewidth=(2.2 if bad else 1.4) if number else thin, alpha=1.0 if number else 0.35 if many else 0.5,
        marker="o", markersize=(3.2 if bad else 2.4) if number else 0.0 if many else 1.2, zorder=3 if number else 2,
    )  # fmt: skip
    return drawn


def _numbers(
    panel: Any, run: Measurement, marked: dict[int, JudgedActivation], step: int, extent: tuple[float, float]
) -> None:
    """The legend's numbers beside the lines' last points, far enough from each other to be read."""
    ends = {}
    for number, judged in marked.items():
        sizes = flat_sizes_of(run, judged, step)
        there = np.flatnonzero(np.isfinite(sizes))
        if len(there):
            ends[number] = float(run.widths[there[-1]]), float(sizes[there[-1]])
    low, high = np.log(extent)
    moved = spread([float((np.log(y) - low) / (high - low)) for _, y in ends.values()], 0.055)
    for (number, point), place in zip(ends.items(), moved, strict=True):
        bad = marked[number].status == "fail"
        panel.annotate(
            str(number), point, xytext=(1.07, place), textcoords="axes fraction", fontsize=8, va="center", ha="center",
            color=_OFFENCE if bad else "black", fontweight="bold" if bad else "normal", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "shrinkA": 3, "shrinkB": 2},
        )  # fmt: skip


def _key(foot: Any, axis: str, wide: float) -> None:
    """What line styles and colours mean, once for all rows."""
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="0.3", linestyle=STYLES[kind], label=text) for kind, text in KINDS[axis].items()]
    for depth, text in ((0.0, "first"), (0.5, "in the middle"), (1.0, "last in the forward pass")):
        handles.append(Line2D([], [], color=colormaps["viridis"](LIGHTEST * depth), linewidth=4, label=text))
    room = sum(_LETTER * len(str(each.get_label())) + _HANDLE for each in handles)
    foot.legend(handles=handles, loc="center", ncols=6 if room < wide else 3, frameon=False, handlelength=2.2,
                columnspacing=1.4)  # fmt: skip
