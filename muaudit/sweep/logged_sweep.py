"""A sweep as the runs of a log: one for each width and value, and one a width for the losses along training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..report.series import LoggedRun
from .result import SweepResult


def logged(measured: SweepResult) -> Iterator[LoggedRun]:
    """The loss of a run that diverged is infinite. Steps of single runs are their seeds' places."""
    for curves in measured.curves:
        title = measured.titles[curves.variant]
        for (i, k), _ in np.ndenumerate(curves.losses[:, 0, :]):
            losses = [(j, float(loss)) for j, loss in enumerate(curves.losses[i, :, k]) if not np.isnan(loss)]
            if losses:
                value = float(curves.values[k])
                settings = {
                    "target": measured.describe, "variant": title, "width": int(curves.widths[i]), curves.knob: value,
                    **({"lr": float(curves.at)} if curves.at is not None else {}),
                }  # fmt: skip
                name = f"{title}/width {curves.widths[i]}/{curves.knob} {value:.6g}"
                mean = float(np.mean([loss for _, loss in losses]))
                yield LoggedRun(name, settings, {"final loss by seed": losses, "final loss": [(0, mean)]})
    for along in measured.along:
        title = measured.titles.get(along.variant, along.variant)
        for i, width in enumerate(along.widths):
            means = np.array([np.nanmean(c) if not np.isnan(c).all() else np.nan for c in along.losses[i].T])
            points = [(int(s), float(m)) for s, m in zip(along.steps, means, strict=True) if not np.isnan(m)]
            settings = {"target": measured.describe, "variant": title, along.of: int(width), "lr": float(along.lr)}
            yield LoggedRun(f"{title}/{along.of} {width}/at lr {along.lr:.6g}", settings, {"loss": points})
