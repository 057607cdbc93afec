"""A coordinate check as the runs of a log: one a width, with every activation's size and change over the steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..report.series import LoggedRun, write_logs
from .measurement import Array, Measurement

_SHOWN = {"l2": "size", "change_l2": "change"}


def log_check(run: Measurement, tensorboard: Path | None, wandb: str | None) -> None:
    """Write it where that is asked for. Raises UserError where a log cannot be written."""
    write_logs(list(logged(run)), f"coord-check {run.target}", tensorboard, wandb)


def logged(run: Measurement) -> Iterator[LoggedRun]:
    """Means over the seeds; rms of the entries, as the report and the plot have them."""
    settings = {
        "target": run.target, "steps": run.steps, "seeds": run.seeds, "device": run.device, "dtype": run.dtype,
        "optimizer": run.optimizer, "lr": run.lr if run.lr is not None else "its own",
    }  # fmt: skip
    for place, width in enumerate(run.widths):
        series = {"loss": _points(run.loss[place])}
        for each in run.activations:
            for key, word in _SHOWN.items():
                series[f"{word}/{each.name}"] = _points(each.values[key][place])
        for name, statistics in run.parameters.items():
            for key, values in statistics.items():
                series[f"{key}/{name}"] = _points(values[place])
        found = {name: points for name, points in series.items() if points}
        yield LoggedRun(f"{run.target}/{run.axis} {width}", {**settings, run.axis: width}, found)


def _points(values: Array) -> list[tuple[int, float]]:
    """Over the steps that were measured, of [seed, step]."""
    measured = ~np.isnan(values).all(axis=0)
    return [(int(step), float(np.nanmean(values[:, step]))) for step in np.flatnonzero(measured)]
