"""More seeds until the verdict is given: which runs, and how often. What follows depends on finished runs alone.

Seeds are spent where they tell: at the narrowest width on the values that may be its best, at the widest one on those
and on the values that may be better there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..thresholds import LOOKS, MOST_SEEDS
from .curves import learning_rates
from .sweep_verdict import SweepVerdict, Tolerance, judge
from .trainings import Grid, Training, TrainingOutcome

Known = dict[str, TrainingOutcome]


def until_decided(
    grid: Grid, known: Known, variant: str, tolerance: Tolerance, run: Callable[[list[Training]], Known]
) -> int:
    """Run what the verdict on one variant asks for; how many seeds there are in the end.

    known: the finished runs of the grid; those that follow are added. run: trains what is missing of some jobs and
    gives back all of their outcomes.
    """
    seeds = grid.seeds
    for _ in range(LOOKS - 1):
        verdict = judge(learning_rates(replace(grid, seeds=seeds), known, variant), tolerance)
        if not verdict.more or seeds + verdict.more > MOST_SEEDS:
            break
        known |= run(_jobs(grid, variant, verdict, seeds))
        seeds += verdict.more
    return seeds


def _jobs(grid: Grid, variant: str, verdict: SweepVerdict, seeds: int) -> list[Training]:
    """The runs of the seeds that are asked for."""
    values, widths = verdict.curves.values, (grid.widths[0], grid.widths[-1])
    return [
        Training(variant, width, grid.seed + seed, (("lr", values[place]),))
        for width, places in zip(widths, verdict.wanted, strict=True)
        for seed in range(seeds, seeds + (verdict.more or 0))
        for place in places
    ]


def kept(done: Mapping[str, TrainingOutcome], jobs: list[Training]) -> Known:
    """The outcomes of these jobs, as far as they are there."""
    return {job.key: done[job.key] for job in jobs if job.key in done}
