"""The losses of a sweep as arrays: one table a variant and hyperparameter, indexed [width, seed, value]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .knobs import KNOBS
from .optimum import Array, find, typical
from .trainings import Grid, Training, TrainingOutcome


@dataclass(frozen=True)
class Curves:
    """losses [width, seed, value]: infinite where a run diverged, NaN where it was not run. at: the learning rate of a
    table of another hyperparameter. start: the mean loss before training, NaN where it is not known."""

    variant: str
    knob: str
    widths: tuple[int, ...]
    values: tuple[float, ...]
    losses: Array
    at: float | None = None
    start: float = math.nan

    @property
    def axis(self) -> list[float]:
        """The values in factors of two."""
        return [KNOBS[self.knob].axis(value) for value in self.values]

    def means(self) -> Array:
        """[width, value], over seeds."""
        return np.stack([typical(self.losses[place]) for place in range(len(self.widths))])


def all_curves(grid: Grid, done: Mapping[str, TrainingOutcome]) -> Iterator[Curves]:
    """The tables in order: learning rates of every variant, then the other hyperparameters."""
    yield from (learning_rates(grid, done, variant) for variant in grid.variants)
    best = best_rates(grid, done)
    for name, values in grid.hps.items():
        yield from (_curves(grid, done, variant, name, values, best[variant]) for variant in best)


def learning_rates(grid: Grid, done: Mapping[str, TrainingOutcome], variant: str) -> Curves:
    """The table of one variant's learning rates."""
    return _curves(grid, done, variant, "lr", grid.lrs, None)


def best_rates(grid: Grid, done: Mapping[str, TrainingOutcome]) -> dict[str, float]:
    """Variant → the best learning rate of those that were run at the narrowest width; without one that learned."""
    found = {}
    for variant in grid.variants:
        curves = learning_rates(grid, done, variant)
        optimum = find(curves.axis, curves.losses[0])
        if optimum is not None:
            found[variant] = grid.lrs[optimum.index]
    return found


def _curves(
    grid: Grid,
    done: Mapping[str, TrainingOutcome],
    variant: str,
    knob: str,
    values: tuple[float, ...],
    at: float | None,
) -> Curves:
    losses = np.full((len(grid.widths), grid.seeds, len(values)), np.nan)
    starts: list[float] = []
    for i, width in enumerate(grid.widths):
        for j in range(grid.seeds):
            for k, value in enumerate(values):
                chosen = (("lr", value),) if at is None else (("lr", at), (knob, value))
                outcome = done.get(Training(variant, width, grid.seed + j, chosen).key)
                if outcome is not None:
                    losses[i, j, k] = np.inf if outcome.loss is None else outcome.loss
                    starts += [] if outcome.first is None else [outcome.first]
    start = sum(starts) / len(starts) if starts else math.nan
    return Curves(variant, knob, grid.widths, values, losses, at, start)
