"""A narrower grid where models are wide: the values near the narrower width's best, and on while the best is at an end.

All values are run at the narrowest width. Which ones follow depends on finished runs alone, so a sweep that was stopped
goes on with the same ones. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .curves import learning_rates
from .optimum import Array, find
from .trainings import Grid, Training, TrainingOutcome


def near_jobs(grid: Grid, done: Mapping[str, TrainingOutcome], near: int) -> list[Training]:
    """The runs that are known to be wanted, in the order of `Grid.lr_jobs`; more may follow once these are done.

    near: how many values on either side of the narrower width's best.
    """
    wanted = {
        (variant, width, place) for variant in grid.variants for width, place in _places(grid, done, near, variant)
    }
    index = {lr: place for place, lr in enumerate(grid.lrs)}
    return [job for job in grid.lr_jobs() if (job.variant, job.width, index[job.hp["lr"]]) in wanted]


def most(grid: Grid, near: int) -> int:
    """How many learning-rate runs there will be, as far as one can tell beforehand."""
    later = min(len(grid.lrs), 2 * near + 1)
    return len(grid.variants) * grid.seeds * (len(grid.lrs) + (len(grid.widths) - 1) * later)


def _places(grid: Grid, done: Mapping[str, TrainingOutcome], near: int, variant: str) -> Iterator[tuple[int, int]]:
    """(width, index of a learning rate) of one variant, up to the first width that is not finished."""
    losses = learning_rates(grid, done, variant).losses
    axis, last = [float(place) for place in range(len(grid.lrs))], len(grid.lrs) - 1
    first: int | None = None
    best: int | None = None
    for width, table in zip(grid.widths, losses, strict=True):
        low, high = (0, last) if best is None else (max(0, best - near), min(last, best + near))
        while True:
            block = list(range(low, high + 1))
            finished = not np.isnan(table[:, block]).any()
            found = find(axis, _only(table, block)) if finished else None
            if not finished or (low, high) == (0, last):
                break
            if (found is None or found.index == low) and low > 0:
                low -= 1
            elif found is not None and found.index == high and high < last:
                high += 1
            else:
                break
        wanted = {*block, *([] if first is None else [first])}  # what the narrow optimum costs here is always measured
        yield from ((width, place) for place in sorted(wanted))
        if not finished:
            return
        if found is not None:
            best = found.index
            first = best if first is None else first


def _only(losses: Array, block: list[int]) -> Array:
    kept = np.full_like(losses, np.nan)
    kept[:, block] = losses[:, block]
    return kept
