"""Numbers along training as people's logs have them: TensorBoard event files, and runs of Weights & Biases.

Both are optional: `pip install 'muaudit[tensorboard]'`, `'muaudit[wandb]'`. Torch is not needed for either.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class LoggedRun:
    """One run of a log.

    settings: what it was made with. series: by name, its points (step, value) in order; steps are whole numbers.
    """

    name: str
    settings: Mapping[str, Any]
    series: Mapping[str, Sequence[tuple[int, float]]]


def check_logs(tensorboard: Path | None, wandb: str | None) -> None:
    """Raise UserError where a log that is asked for cannot be written; before anything is trained."""
    if tensorboard is not None:
        if tensorboard.exists() and not tensorboard.is_dir():
            raise UserError(f"--tensorboard: {tensorboard} is a file", "name a folder")
        try:
            import tensorboard as _tensorboard  # noqa: F401
        except ImportError as error:
            raise UserError("--tensorboard needs tensorboard", "pip install 'muaudit[tensorboard]'") from error
    if wandb is not None:
        if not wandb.strip():
            raise UserError("--wandb needs the name of a project")
        try:
            import wandb as _wandb  # noqa: F401
        except ImportError as error:
            raise UserError("--wandb needs wandb", "pip install 'muaudit[wandb]'") from error


def write_logs(runs: Sequence[LoggedRun], group: str, tensorboard: Path | None, wandb: str | None) -> None:
    """Write all runs where they are asked for. group: what they have in common.

    Raises:
        UserError: a folder cannot be written, or Weights & Biases refuses.
    """
    if tensorboard is not None:
        try:
            for run in runs:
                _event_file(run, tensorboard)
        except OSError as error:
            raise UserError(f"--tensorboard: cannot write {tensorboard}: {error.strerror or error}") from error
    if wandb is not None:
        _wandb_runs(runs, group, wandb)


def _event_file(run: LoggedRun, folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder / _as_path(run.name)))
    try:
        settings = {
            name: value if isinstance(value, int | float) else str(value) for name, value in run.settings.items()
        }
        writer.add_event(Event(summary=hparams_pb(settings, run.name)))
        for name, points in run.series.items():
            for step, value in points:
                if not math.isnan(value):
                    writer.add_event(
                        Event(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))
                    )
    finally:
        writer.close()


def _as_path(name: str) -> Path:
    """A run's name as folders, whatever it has been made of."""
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return Path(*(part.replace(os.sep, "_") for part in parts))


def _wandb_runs(runs: Sequence[LoggedRun], group: str, project: str) -> None:
    import wandb

    for run in runs:
        try:
            opened = wandb.init(
                project=project, group=group, name=run.name, config=dict(run.settings), reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )  # fmt: skip
        except Exception as error:
            raise UserError(
                f"--wandb: {type(error).__name__}: {error}", "wandb login, or WANDB_MODE=offline for files alone"
            ) from error
        steps = sorted({step for points in run.series.values() for step, _ in points})
        at = {name: dict(points) for name, points in run.series.items()}
        for step in steps:
            row = {name: points[step] for name, points in at.items() if step in points and not math.isnan(points[step])}
            opened.log(row, step=step)
        opened.finish()
