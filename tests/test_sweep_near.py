"""Which learning rates `--near` asks for, on curves whose minima are known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muaudit.sweep.budget import Clock
from muaudit.sweep.curves import learning_rates
from muaudit.sweep.decide import until_decided
from muaudit.sweep.near import most, near_jobs
from muaudit.sweep.results_file import Results
from muaudit.sweep.sweep_verdict import Tolerance, judge
from muaudit.sweep.trainings import Grid, Training, TrainingOutcome, Unit
from muaudit.sweep.whole_sweep import Sweep

LRS = tuple(2.0**k for k in range(-12, -2))


def carried_out(grid: Grid, near: int, loss: Callable[[Training], float | None]) -> dict[str, TrainingOutcome]:
    """Run what is asked for until nothing more is."""
    done: dict[str, TrainingOutcome] = {}
    while missing := [job for job in near_jobs(grid, done, near) if job.key not in done]:
        done |= {job.key: TrainingOutcome(job, loss(job), None, 1) for job in missing}
    return done


def place(job: Training) -> int:
    return LRS.index(job.hp["lr"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(LRS) - 1), min_size=3, max_size=3), st.integers(1, 3), st.integers(0, 9))
def test_the_best_of_every_width_is_found(best: list[int], near: int, diverging: int) -> None:
    """However far it moves, where losses rise on both sides of it, and also where they diverge above it."""
    widths = (64, 128, 256)
    grid = Grid(("original",), widths, LRS, seeds=2)
    optimum = dict(zip(widths, best, strict=True))

    def loss(job: Training) -> float | None:
        off = place(job) - optimum[job.width]
        return None if off > diverging else 1.0 + 0.1 * off**2 + 0.01 * job.seed

    done = carried_out(grid, near, loss)
    for width in widths:
        runs = [outcome for outcome in done.values() if outcome.job.width == width]
        learned = [outcome for outcome in runs if outcome.loss is not None]
        assert place(min(learned, key=lambda outcome: outcome.loss or 0.0).job) == optimum[width]
        assert {place(outcome.job) for outcome in runs} >= {optimum[64]}
        assert len({place(outcome.job) for outcome in runs}) * 2 == len(runs)
    assert {place(outcome.job) for outcome in done.values() if outcome.job.width == 64} == set(range(len(LRS)))


def test_few_runs_where_the_best_stays() -> None:
    grid = Grid(("original", "converted"), (64, 128, 256, 512, 1024), LRS)
    drift = {"original": 1, "converted": 0}

    def loss(job: Training) -> float:
        return 1.0 + (place(job) - 6 + drift[job.variant] * (job.width.bit_length() - 7)) ** 2

    done = carried_out(grid, 2, loss)
    count = [sum(o.job.variant == v and o.job.width == 1024 for o in done.values()) for v in ("original", "converted")]
    assert count == [6, 5]  # five near the best, and the narrow optimum where that is none of them
    assert len(done) == pytest.approx(most(grid, 2), abs=3)


def test_nothing_follows_where_no_run_learned() -> None:
    grid = Grid(("original",), (64, 128), LRS[:3])
    done = carried_out(grid, 1, lambda job: None)
    assert len(done) == 2 * 3  # every value diverged at every width, and each of them was tried


def test_ends_extend_themselves_as_far_as_they_may() -> None:
    """The best rate is five factors of two above the range at the widest width, two below it at the narrowest."""
    grid = Grid(("original",), (64, 128), LRS[4:7], beyond=4)
    best = {64: 2, 128: 11}
    done = carried_out(grid, 2, lambda job: 1.0 + (round(math.log2(job.hp["lr"])) + 12 - best[job.width]) ** 2)
    run = {width: sorted({o.job.hp["lr"] for o in done.values() if o.job.width == width}) for width in best}
    assert run[64] == [2.0**k for k in range(-11, -5)]
    assert max(run[128]) == 2.0**-2  # four beyond the range: the best one may lie further up
    assert grid.reach == tuple(2.0**k for k in range(-12, -1))


def test_seeds_are_added_where_they_tell() -> None:
    """Noise of 2 % of the loss: three seeds leave it open, and more are run at both ends only, near the best values."""
    grid = Grid(("original",), (64, 128, 256), LRS, seeds=3)
    rng = random.Random(1)

    def run(jobs: list[Training]) -> dict[str, TrainingOutcome]:
        losses = (1.0 + 0.05 * (place(job) - 5) ** 2 + 0.02 * rng.gauss(0, 1) for job in jobs)
        return {job.key: TrainingOutcome(job, loss, 3.0, 1) for job, loss in zip(jobs, losses, strict=True)}

    known = run(grid.lr_jobs())
    seeds = until_decided(grid, known, "original", Tolerance(), run)
    added = [outcome.job for outcome in known.values() if outcome.job.seed >= 3]
    assert seeds > 3
    assert {job.width for job in added} == {64, 256}
    assert {place(job) for job in added} <= {4, 5, 6}
    curves = learning_rates(replace(grid, seeds=seeds), known, "original")
    assert judge(curves, Tolerance()).status == "pass"


class Simulated:
    """Runs that take as many seconds as their width has squares of 64, and learn best at 2^-8."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.spent = clock, 0.0

    def together(self, variant: str, width: int) -> int:
        return 4

    def rehearse(self, unit: Unit) -> float | None:
        return 1.2 * self.seconds(unit.jobs[0].width)  # a few steps tell it roughly

    def seconds(self, width: int) -> float:
        return (width / 64) ** 2

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        for unit in waiting:
            took = sum(self.seconds(job.width) for job in unit.jobs)
            self.spent += took
            self.clock.took(unit, took)
            yield unit, [TrainingOutcome(job, 1.0 + (place(job) - 4) ** 2, 3.0, 1) for job in unit.jobs]


def test_what_is_left_is_told_beforehand_and_after_a_tenth_of_the_work(tmp_path: Path) -> None:
    """Wide models take most of the time and come last: what is not begun yet counts."""
    clock = Clock()
    runs, told = Simulated(clock), []
    grid = Grid(("original", "converted"), (64, 128, 256, 512), LRS, seeds=3)
    titles = {name: name for name in grid.variants}
    planned: list[str] = []
    sweep = Sweep(titles, grid, Results(tmp_path / "r.jsonl", {}), clock, runs, 300,
                  lambda done, total, what, left: told.append((runs.spent, left)), planned.append, near=1)  # fmt: skip
    sweep.run()
    runs_at = {64: 10, 128: 3, 256: 3, 512: 3}
    assert runs.spent == sum(2 * 3 * count * runs.seconds(width) for width, count in runs_at.items())
    for spent, left in told:
        assert left is not None
        if spent < 0.9 * runs.spent:
            assert 1 / 1.5 < (spent + left) / runs.spent < 1.5
    assert planned[0].endswith(": about 31 minutes")  # 1.2 times 60 + 18 · (4 + 16 + 64) seconds
