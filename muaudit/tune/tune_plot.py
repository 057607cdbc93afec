"""The picture of a search (after TP5, arXiv 2203.03466, Figs. 6 and 14): losses of all samples, a panel a
hyperparameter, the finalists marked.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..sweep.knobs import KNOBS
from .tune_task import Tuned


def plot_search(tuned: Tuned, path: Path) -> None:
    """Draw the samples and write the file. Raises UserError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    samples = [(sample.all, loss) for sample, loss in tuned.ranking.samples if np.isfinite(loss)]
    chosen = [each.sample.all for each in tuned.ranking.finalists]
    names = list(samples[0][0]) if samples else ["lr"]
    schedules = sorted({sample.schedule for sample, _ in tuned.ranking.samples})
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}):
        figure = Figure(figsize=(3.2 * len(names) + 0.8, 3.2), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            panel.scatter([_place(name, values[name], schedules) for values, _ in samples],
                          [loss for _, loss in samples], s=14,
                          color="#7f7f7f", linewidths=0)  # fmt: skip
            for place, best in enumerate(chosen):
                loss = next(loss for values, loss in samples if values == best)
                panel.scatter([_place(name, best[name], schedules)], [loss], s=90 if not place else 40,
                              marker="*" if not place else "o", color="#d62728", edgecolors="black", linewidths=0.5,
                              zorder=3)  # fmt: skip
            panel.set_xlabel(_label(name))
            panel.grid(True, linewidth=0.4, alpha=0.4)
            if name not in KNOBS:
                panel.set_xticks(range(len(schedules)), schedules)
                panel.set_xlim(-0.5, len(schedules) - 0.5)
        panels[0].set_ylabel(f"loss of the first seed, width {tuned.width}")
        if samples:
            losses = np.array([loss for _, loss in samples])
            low, high = float(losses.min()), float(np.quantile(losses, 0.9))
            panels[0].set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low) or high + 1.0)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _place(name: str, value: float | str, schedules: Sequence[str]) -> float:
    """Where it stands on the axis of its panel: schedules side by side."""
    return float(schedules.index(value)) if isinstance(value, str) else KNOBS[name].axis(value)


def _label(name: str) -> str:
    if name not in KNOBS:
        return name
    return f"−log2(1 − {name})" if KNOBS[name].axis(0.5) == 1.0 else f"log2 {name}"
