"""Losses along training, a curve a width, at the narrowest one's best learning rate. Free of torch.

After TP5, arXiv 2203.03466, Figs. 4, 7 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..thresholds import FEWEST_SEEDS, TAIL, WIDER_IS_WORSE
from .curves import best_rates
from .optimum import Array
from .over import OVER, STEPS
from .paired import difference
from .trainings import Grid, Training, TrainingOutcome

BINS = 24
"""Into how many equal parts a run is cut; each has the mean of its losses."""


@dataclass(frozen=True)
class Along:
    """One variant. steps: where the parts end; losses [width, seed, part]: NaN where not run, or diverged before.

    of: what `widths` are, as in `OVER`.
    """

    variant: str
    lr: float
    widths: tuple[int, ...]
    steps: tuple[int, ...]
    losses: Array
    of: str = "width"

    @property
    def larger(self) -> str:
        """What a model of more is: `wider`, or `deeper`, or what else there is more of."""
        return OVER[self.of].larger


def thinned(losses: Sequence[float], steps: int) -> tuple[float, ...]:
    """The means of the parts that were reached, up to the first loss that is not finite."""
    found = []
    for start, end in _parts(steps):
        part = losses[start:end]
        if len(part) < end - start or not all(math.isfinite(loss) for loss in part):
            break
        found.append(float(f"{sum(part) / len(part):.5g}"))
    return tuple(found)


def ends(steps: int) -> tuple[int, ...]:
    """The steps that the parts of a run end with."""
    return tuple(end for _, end in _parts(steps))


def _parts(steps: int) -> Iterator[tuple[int, int]]:
    count = min(BINS, steps)
    yield from ((steps * k // count, steps * (k + 1) // count) for k in range(count))


def all_along(grid: Grid, done: Mapping[str, TrainingOutcome], steps: int) -> tuple[Along, ...]:
    """Those of every variant that learned something, from the runs that have a curve; none of runs of other lengths."""
    if grid.along == STEPS:
        return ()
    found = []
    for variant, lr in best_rates(grid, done).items():
        losses = np.full((len(grid.widths), grid.seeds, len(ends(steps))), np.nan)
        for i, width in enumerate(grid.widths):
            for j in range(grid.seeds):
                outcome = done.get(Training(variant, width, grid.seed + j, (("lr", lr),)).key)
                if outcome is not None and outcome.curve:
                    losses[i, j, : len(outcome.curve)] = outcome.curve
        if not np.isnan(losses).all():
            found.append(Along(variant, lr, grid.widths, ends(steps), losses, grid.along))
    return tuple(found)


def wider_along(along: Along) -> str:
    """In words: whether wider is better all along, and where it is not, beyond the error of the seeds."""
    worse = [(step, pair) for step, pair in _worse(along)]
    seeds = int((~np.isnan(along.losses).all(axis=2)).sum(axis=1).min())
    if seeds < FEWEST_SEEDS:
        return "not known of fewer than three seeds"
    if not worse:
        return f"at no step is a {along.larger} model surely worse"
    steps = sorted({step for step, _ in worse})
    pairs = sorted({pair for _, pair in worse})
    named = ", ".join(f"{narrow} → {wide}" for narrow, wide in pairs[:3]) + (", ..." if len(pairs) > 3 else "")
    until = f"up to step {steps[-1]}" if steps[0] == along.steps[0] else f"between steps {steps[0]} and {steps[-1]}"
    share = f"in {len(steps)} of {len(along.steps)} parts of the run"
    return f"a {along.larger} model is worse {until} ({share}: {named})"


def _worse(along: Along) -> Iterator[tuple[int, tuple[int, int]]]:
    """(step, (narrow, wide)) where the wide one is above the narrow one for sure."""
    count = len(along.widths)
    pairs = [(i, j) for j in range(count) for i in range(j)]
    for place, step in enumerate(along.steps):
        for i, j in pairs:
            narrow, wide = along.losses[i, :, place], along.losses[j, :, place]
            if np.isnan(narrow).all():
                continue
            scale = max(abs(float(np.nanmean(narrow))), 1e-12)
            found = difference(0, wide, narrow, scale, math.inf)
            if found is not None and found.low(TAIL / len(pairs)) > WIDER_IS_WORSE:
                yield step, (along.widths[i], along.widths[j])
