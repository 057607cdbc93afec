"""The losses of a sweep as arrays: one table a variant and hyperparameter, indexed [width, seed, value]."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .knobs import KNOBS
from .optimum import Array, find, typical
from .trainings import Grid, Training, TrainingOutcome


@dataclass(frozen=True)
class Curves:
    """losses [width, seed, value]: infinite where a run diverged, NaN where it was not run. at: the learning rate of a
    table of another hyperparameter. start: the mean loss before training, NaN where it is not known. along: what
    `widths` are, "width" or "depth"."""

    variant: str
    knob: str
    widths: tuple[int, ...]
    values: tuple[float, ...]
    losses: Array
    at: float | None = None
    start: float = math.nan
    along: str = "width"

    @property
    def axis(self) -> list[float]:
        """The values in factors of two."""
        return [KNOBS[self.knob].axis(value) for value in self.values]

    def counted(self) -> Array:
        """The losses with what a diverged run counts as where other seeds of its value learned: the loss before
        training, or the highest one that was seen. A value whose runs all diverged stays infinite."""
        finite = self.losses[np.isfinite(self.losses)]
        if not finite.size:
            return self.losses
        worst = max(float(finite.max()), self.start) if math.isfinite(self.start) else float(finite.max())
        some = np.isfinite(self.losses).any(axis=1, keepdims=True)
        return np.where(np.isinf(self.losses) & some, worst, self.losses)

    def means(self) -> Array:
        """[width, value], over seeds."""
        counted = self.counted()
        return np.stack([typical(counted[place]) for place in range(len(self.widths))])

    def diverged(self) -> Array:
        """How many runs of each [width, value] diverged."""
        found: Array = np.isinf(self.losses).sum(axis=1)
        return found


def all_curves(grid: Grid, done: Mapping[str, TrainingOutcome]) -> Iterator[Curves]:
    """The tables in order: learning rates of every variant, then the other hyperparameters."""
    yield from (learning_rates(grid, done, variant) for variant in grid.variants)
    best = best_rates(grid, done)
    for name, values in grid.hps.items():
        yield from (_curves(grid, done, variant, name, values, best[variant]) for variant in best)


def learning_rates(grid: Grid, done: Mapping[str, TrainingOutcome], variant: str) -> Curves:
    """The table of one variant's learning rates; those beyond the ends where one was run."""
    found = _curves(grid, done, variant, "lr", grid.reach, None)
    there = ~np.isnan(found.losses).all(axis=(0, 1)) | np.isin(grid.reach, grid.lrs)
    values = tuple(value for value, kept in zip(grid.reach, there, strict=True) if kept)
    return replace(found, values=values, losses=found.losses[:, :, there])


def best_rates(grid: Grid, done: Mapping[str, TrainingOutcome]) -> dict[str, float]:
    """Variant → the best learning rate of those that were run at the narrowest width; without one that learned."""
    found = {}
    for variant in grid.variants:
        curves = learning_rates(grid, done, variant)
        optimum = find(curves.axis, curves.counted()[0])
        if optimum is not None:
            found[variant] = curves.values[optimum.index]
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
    return Curves(variant, knob, grid.widths, values, losses, at, start, grid.along)
