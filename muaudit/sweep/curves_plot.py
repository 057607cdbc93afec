"""The picture of losses along training (after TP5, arXiv 2203.03466, Figs. 4, 7 and 8), a curve a width.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..page.print_style import marker, shade
from .along import Along, wider_along
from .ranges import shown
from .result import SweepResult
from .sweep_plot import LOGARITHMIC


def plot_curves(measured: SweepResult, path: Path) -> None:
    """Draw every variant's curves and write the file. Raises UserError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}):
        figure = Figure(figsize=(4.2 * len(measured.along) + 1.0, 3.8), layout="constrained")
        panels = figure.subplots(1, len(measured.along), sharey=True, squeeze=False)[0]
        for panel, along in zip(panels, measured.along, strict=True):
            _panel(panel, along, measured.titles)
        panels[0].set_ylabel("training loss")
        _scale(panels[0], measured.along)
        panels[-1].legend(title=measured.width_name, fontsize=8, title_fontsize=8, frameon=False, loc="upper left",
                          bbox_to_anchor=(1.0, 1.0))  # fmt: skip
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _panel(panel: Any, along: Along, titles: Mapping[str, str]) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    for place, width in enumerate(along.widths):
        losses = along.losses[place]
        there = ~np.isnan(losses).all(axis=0)
        if not there.any():
            continue
        colour = colours(shade(place, len(along.widths)))
        steps, kept = np.array(along.steps)[there], losses[:, there]
        panel.plot(steps, np.nanmean(kept, axis=0), color=colour, linewidth=1.4, label=width,
                   marker=marker(place), markersize=3.5, markevery=max(1, len(steps) // 8))  # fmt: skip
        if losses.shape[0] > 1:
            low, high = np.nanmin(kept, axis=0), np.nanmax(kept, axis=0)
            panel.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.set_xlabel("step")
    panel.grid(True, linewidth=0.4, alpha=0.4)
    panel.set_title(f"{titles[along.variant]}, lr {shown(along.lr)}\n{wider_along(along)}", fontsize=7)


def _scale(panel: Any, found: Sequence[Along]) -> None:
    finite = np.concatenate([each.losses[np.isfinite(each.losses)] for each in found])
    if finite.size and finite.min() > 0 and finite.max() > LOGARITHMIC * finite.min():
        panel.set_yscale("log")
