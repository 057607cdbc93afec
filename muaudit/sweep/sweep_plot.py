"""The picture of a sweep (after TP5, arXiv 2203.03466, Figs. 1, 3 and 4): loss against a hyperparameter, a curve a
width, minima marked; one column a variant, one row a hyperparameter.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..page.print_style import marker, shade
from .knobs import KNOBS
from .optimum import Array
from .ranges import shown
from .result import SweepResult
from .sweep_verdict import Status, SweepVerdict
from .sweep_words import share_words, verdict_words

LOGARITHMIC = 8.0
"""Losses that span more than this factor are drawn on a logarithmic axis."""

_COLOUR: dict[Status, str] = {"pass": "#1a7f37", "fail": "#d62728", "undecided": "#9a6700"}


def plot(measured: SweepResult, verdicts: Sequence[SweepVerdict], path: Path) -> None:
    """Draw every verdict's curves and write the file. Raises UserError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    knobs = list(dict.fromkeys(verdict.curves.knob for verdict in verdicts))
    columns = list(dict.fromkeys(verdict.curves.variant for verdict in verdicts))
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}):
        figure = Figure(figsize=(4.2 * len(columns) + 1.0, 3.5 * len(knobs) + 0.3), layout="constrained")
        grid = figure.subplots(len(knobs), len(columns), sharey="row", sharex="row", squeeze=False)
        for row, knob in zip(grid, knobs, strict=True):
            drawn = {v.curves.variant: v for v in verdicts if v.curves.knob == knob}
            for panel, variant in zip(row, columns, strict=True):
                if variant in drawn:
                    _panel(panel, measured, drawn[variant])
            row[0].set_ylabel("loss")
            _limits(row, list(drawn.values()))
            row[0].set_xlim(*_run(list(drawn.values())))
        _key(grid[0][-1], measured.width_name, verdicts)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _panel(panel: Any, measured: SweepResult, verdict: SweepVerdict) -> None:
    from matplotlib import colormaps

    curves, colours = verdict.curves, colormaps["viridis"]
    axis, means = np.array(curves.axis), curves.means()
    for place, (width, optimum) in enumerate(zip(curves.widths, verdict.optima, strict=True)):
        colour = colours(shade(place, len(curves.widths)))
        there = np.isfinite(means[place]) & np.isfinite(axis)
        shown_losses = np.where(there, means[place], np.nan)  # a gap where a value was not run, or diverged
        panel.plot(axis, shown_losses, color=colour, marker=marker(place), markersize=3.5, linewidth=1.4, label=width)
        _band(panel, axis[there], curves.losses[place][:, there], colour)
        if optimum is not None:
            panel.errorbar(
                [optimum.place], [optimum.loss], xerr=[optimum.error], color=colour, marker="*", markersize=11,
                markeredgecolor="black", markeredgewidth=0.6, capsize=2, elinewidth=1.0, zorder=4,
            )  # fmt: skip
        lost = axis[np.isfinite(axis) & (curves.diverged()[place] > 0)]
        if lost.size:
            panel.plot(lost, [0.985 - 0.035 * place] * len(lost), marker(place), color=colour,
                       markersize=5, fillstyle="none", markeredgewidth=1.2, transform=panel.get_xaxis_transform(),
                       label="_diverged")  # fmt: skip
    panel.set_xlabel(_label(curves.knob))
    panel.grid(True, linewidth=0.4, alpha=0.4)
    panel.set_title(_title(measured, verdict), fontsize=8, color=_COLOUR[verdict.status])


def _key(panel: Any, width_name: str, verdicts: Sequence[SweepVerdict]) -> None:
    """Widths by their colours and marks, and what the other marks are."""
    from matplotlib.lines import Line2D

    handles, labels = panel.get_legend_handles_labels()
    by_label = {label: handle for handle, label in zip(handles, labels, strict=True) if not label.startswith("_")}
    grey: Any = {"color": "0.35", "linestyle": ""}
    by_label["best, and its error"] = Line2D([], [], marker="*", markersize=9, markeredgecolor="black", **grey)
    if any(verdict.curves.diverged().any() for verdict in verdicts):
        by_label["at the top: diverged"] = Line2D([], [], marker="o", markersize=5, fillstyle="none", **grey)
    panel.legend(by_label.values(), by_label.keys(), title=width_name, fontsize=8, title_fontsize=8, frameon=False,
                 loc="upper left", bbox_to_anchor=(1.0, 1.0))  # fmt: skip


def _band(panel: Any, axis: Array, losses: Array, colour: Any) -> None:
    """The range over seeds."""
    if losses.shape[0] > 1 and axis.size:
        low, high = np.nanmin(losses, axis=0), np.nanmax(np.where(np.isinf(losses), np.nan, losses), axis=0)
        panel.fill_between(axis, low, high, color=colour, alpha=0.15, linewidth=0)


def _title(measured: SweepResult, verdict: SweepVerdict) -> str:
    """What the report says, on three lines: panels stand side by side."""
    fixed = "" if verdict.curves.at is None else f" (lr {shown(verdict.curves.at)})"
    at_best = f"best {verdict.curves.knob} of {verdict.curves.widths[0]} at {verdict.curves.widths[-1]}: "
    return (
        f"{measured.titles[verdict.curves.variant]}{fixed}\n{verdict.curves.knob} {verdict_words(verdict)}\n"
        f"{at_best}{share_words(verdict.lost, verdict.seeds, brief=True)}"
    )


def _label(knob: str) -> str:
    return f"−log2(1 − {knob})" if KNOBS[knob].axis(0.5) == 1.0 else f"log2 {knob}"


def _limits(row: Any, verdicts: Sequence[SweepVerdict]) -> None:
    low, high, logarithmic = seen_losses(verdicts)
    row[0].set_ylim(low, high)
    if logarithmic:
        row[0].set_yscale("log")


def _run(verdicts: Sequence[SweepVerdict]) -> tuple[float, float]:
    """The values that were run, with a little room: the error of an optimum must not stretch the axis."""
    places = [x for verdict in verdicts for x in verdict.curves.axis if np.isfinite(x)]
    low, high = min(places, default=0.0), max(places, default=1.0)
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def seen_losses(verdicts: Sequence[SweepVerdict]) -> tuple[float, float, bool]:
    """The ends of the axis of losses, and whether it is logarithmic.

    Losses far above all others are cut off: what matters lies near the minima.
    """
    losses = np.concatenate([verdict.curves.means().ravel() for verdict in verdicts])
    losses = losses[np.isfinite(losses)]
    if not losses.size:
        return 0.0, 1.0, False
    low, high = float(losses.min()), float(np.quantile(losses, 0.95))
    if low > 0 and high > LOGARITHMIC * low:
        return low / 1.2, high * 1.2, True
    room = 0.06 * (high - low)
    return low - room, high + (room or 1.0), False
