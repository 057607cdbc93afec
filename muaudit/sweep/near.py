"""A narrower grid where models are wide: the values near the narrower width's best, and on while the best is at an end.

At the narrowest width all values are run; at the widest one those, too, that may be the narrowest one's best. Which
ones follow depends on finished runs alone, so a sweep that was stopped goes on with the same ones. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from .curves import Curves, learning_rates
from .optimum import Array, find
from .sweep_verdict import LOST
from .trainings import Grid, Training, TrainingOutcome
from .transfer_cost import narrow_ties


def near_jobs(grid: Grid, done: Mapping[str, TrainingOutcome], near: int | None, lost: float = LOST) -> list[Training]:
    """The runs that are known to be wanted, in the order of `Grid.lr_jobs`; more may follow once these are done.

    near: how many values on either side of the narrower width's best, None for all. lost: as `Tolerance.lost`.
    """
    wanted = {
        (variant, width, place)
        for variant in grid.variants
        for width, place in _places(grid, done, near, lost, variant)
    }
    index = {lr: place for place, lr in enumerate(grid.reach)}
    return [job for job in grid.reachable_jobs() if (job.variant, job.width, index[job.hp["lr"]]) in wanted]


def most(grid: Grid, near: int | None) -> int:
    """How many learning-rate runs there will be, as far as one can tell beforehand."""
    return len(grid.variants) * grid.seeds * sum(at_width(grid, near, width) for width in grid.widths)


def at_width(grid: Grid, near: int | None, width: int) -> int:
    """How many learning rates will be run there, as far as one can tell beforehand."""
    return len(grid.lrs) if near is None or width == grid.widths[0] else min(len(grid.lrs), 2 * near + 1)


def _places(
    grid: Grid, done: Mapping[str, TrainingOutcome], near: int | None, lost: float, variant: str
) -> Iterator[tuple[int, int]]:
    """(width, index in `Grid.reach`) of one variant, up to the first width that is not finished."""
    table = _whole_table(grid, done, variant)
    losses, axis, last = table.counted(), [float(place) for place in range(len(grid.reach))], len(grid.reach) - 1
    ends = (grid.reach.index(grid.lrs[0]), grid.reach.index(grid.lrs[-1]))
    firsts: tuple[int, ...] = ()
    best: int | None = None
    for row, width in enumerate(grid.widths):
        low, high = ends
        if best is not None and near is not None:
            low, high = max(min(low, best), best - near), min(max(high, best), best + near)
        while True:
            block = list(range(low, high + 1))
            finished = not np.isnan(losses[row][:, block]).any()
            found = find(axis, _only(losses[row], block)) if finished else None
            if not finished or (low, high) == (0, last):
                break
            if (found is None or found.index == low) and low > 0:
                low -= 1
            elif found is not None and found.index == high and high < last:
                high += 1
            else:
                break
        extra = firsts if width == grid.widths[-1] else firsts[:1]  # what the narrow optimum costs is always measured
        yield from ((width, place) for place in sorted({*block, *extra}))
        if not finished:
            return
        if found is not None:
            best = found.index
            firsts = firsts or (best, *(tie for tie in narrow_ties(table, lost) if tie != best))


def _whole_table(grid: Grid, done: Mapping[str, TrainingOutcome], variant: str) -> Curves:
    """All learning rates that may be run, those that were not as NaN."""
    return learning_rates(replace(grid, lrs=grid.reach, beyond=0), done, variant)


def _only(losses: Array, block: list[int]) -> Array:
    kept = np.full_like(losses, np.nan)
    kept[:, block] = losses[:, block]
    return kept
