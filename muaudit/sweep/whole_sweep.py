"""The whole sweep: learning rates first, then every other hyperparameter at the best one of the narrowest width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import UserError
from ..isolation.child import alive
from .along import all_along
from .budget import Clock
from .curves import all_curves, best_rates
from .decide import kept, until_decided
from .near import at_width, most, near_jobs
from .out_of_time import OutOfTime
from .over import OVER
from .result import INTERRUPTED, SweepResult
from .results_file import Results
from .sweep_request import PLANNED
from .sweep_verdict import Tolerance
from .sweep_words import duration
from .trainings import Grid, Training, TrainingOutcome, Unit, units

Progress = Callable[[int, int, str, float | None], None]  # runs done, in all, what is running, seconds left


class Runs(Protocol):
    """Where units are trained: here, on a cluster, or by somebody else's script."""

    def together(self, variant: str, width: int) -> int:
        """How many runs are one unit."""

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """Each unit with what it came to, in any order. Raises OutOfTime, UserError."""

    def rehearse(self, unit: Unit) -> float | None:
        """Seconds that each run of a unit will take, where that can be known beforehand."""


def quiet(done: int, total: int, what: str, left: float | None) -> None:
    """No progress shown."""


def _silent(text: str) -> None:
    """Nothing told."""


@dataclass
class Sweep:
    """Everything that a sweep needs.

    titles: variant → what people call it. runs: where units are trained. near: how many learning rates on either side
    of the narrower width's best, None for all. decide: whether seeds are added until there is a verdict. announce: told
    what is planned. seeds: how many there are in the end.
    """

    titles: Mapping[str, str]
    grid: Grid
    results: Results
    clock: Clock
    runs: Runs
    steps: int | None = None
    progress: Progress = quiet
    announce: Callable[[str], None] = _silent
    near: int | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    decide: bool = False
    notices: list[str] = field(default_factory=list)
    seeds: int = field(init=False, default=0)
    _asked: list[Training] = field(init=False, default_factory=list)

    def run(self) -> None:
        """Run what is missing, phase by phase. An interrupt, the budget and a full memory end it early, with a notice.

        Raises:
            UserError: the user's code raised, or every run diverged.
        """
        try:
            self.seeds = self.grid.seeds
            self._rehearse()
            self.announce(PLANNED + self.planned())
            self._learning_rates()
            self._check_learned()
            best = best_rates(self.grid, self.results.done)
            for name in self.grid.hps:
                self._phase(self.grid.hp_jobs(name, best))
            if self.decide:
                self._more_seeds()
        except KeyboardInterrupt:
            self.notices.append(f"{INTERRUPTED}{self._done} of {self._count} runs")
        except OutOfTime:
            self.notices.append(f"the budget ended after {self._done} of {self._count} runs")
        finally:
            self.results.close()

    def _learning_rates(self) -> None:
        """All of them, or with `near` those that the results so far ask for, until they ask for no more."""
        left: list[Training] = []
        while (missing := self.results.missing(self._lr_jobs())) != left:  # runs that need too much memory stay left
            self._phase(missing)
            left = missing

    def _more_seeds(self) -> None:
        """The main variant first: the last one, where there is a plan."""
        base = kept(self.results.done, self._lr_jobs())
        for variant in reversed(self.grid.variants):
            seeds = until_decided(self.grid, dict(base), variant, self.tolerance, self._added)
            self.seeds = max(self.seeds, seeds)

    def _added(self, jobs: list[Training]) -> dict[str, TrainingOutcome]:
        self._asked += [job for job in jobs if job not in self._asked]
        self.seeds = max(self.seeds, *(job.seed - self.grid.seed + 1 for job in jobs))
        self._phase(jobs)
        return kept(self.results.done, jobs)

    def planned(self) -> str:
        """What will be run, before it is."""
        grid = self.grid
        several = f"{' and '.join(self.titles.values())}, each at " if len(grid.variants) > 1 else ""
        widths = f"{several}{len(grid.widths)} {OVER[grid.along].plural}"
        rates = f"{len(grid.lrs)} learning rates"
        larger = OVER[grid.along].larger
        if self.near is not None and at_width(grid, self.near, grid.widths[-1]) < len(grid.lrs):
            rates += f" (at {larger} ones about {at_width(grid, self.near, grid.widths[-1])})"
        hps = "".join(f", {len(values)} values of {name}" for name, values in grid.hps.items())
        seeds = f"{grid.seeds} seed{'s' * (grid.seeds > 1)}" + (", then more until it is decided" * self.decide)
        left = self._left()
        there = f", {self._done} of them are there" if self._done else ""
        about = "" if left is None or self._done >= self._count else f": about {duration(left)}"
        steps = "" if self.steps is None else f" of {self.steps} steps"
        return f"{widths}, {rates}{hps}, {seeds}: some {self._count} runs{steps}{there}{about}"

    def _lr_jobs(self) -> list[Training]:
        return near_jobs(self.grid, self.results.done, self.near, self.tolerance.lost)

    @property
    def _count(self) -> int:
        """How many runs there are; at least so many, most likely."""
        others = self.grid.count - len(self.grid.lr_jobs())
        return max(most(self.grid, self.near), len(self._lr_jobs())) + others + len(self._asked)

    @property
    def _done(self) -> int:
        best = best_rates(self.grid, self.results.done)
        jobs = [*self._lr_jobs(), *(job for name in self.grid.hps for job in self.grid.hp_jobs(name, best))]
        jobs += self._asked
        return len(jobs) - len(self.results.missing(jobs))

    def _left(self) -> float | None:
        """Seconds until all that is planned is done, wider widths that have not begun included; None if not known."""
        total = 0.0
        waiting = self.results.missing([*self._lr_jobs(), *self._asked])
        for variant in self.grid.variants:
            for width in self.grid.widths:
                here = [job for job in waiting if (job.variant, job.width) == (variant, width)]
                count = max(len(here), self._planned_at(variant, width))
                seconds = self.clock.of_run(variant, width) if count else 0.0
                if seconds is None:
                    return None
                total += count * seconds
        return total

    def _planned_at(self, variant: str, width: int) -> int:
        """How many runs are still to come at a width, as far as one can tell beforehand."""
        values = at_width(self.grid, self.near, width) + sum(len(each) for each in self.grid.hps.values())
        there = sum(
            (job.variant, job.width) == (variant, width) and job.seed - self.grid.seed < self.grid.seeds
            for job in (outcome.job for outcome in self.results.done.values())
        )
        return 0 if self._asked else max(0, values * self.grid.seeds - there)

    def _rehearse(self) -> None:
        """A few steps of every width: how long everything will take is then known beforehand."""
        missing = self.results.missing(self.grid.lr_jobs())
        for variant in self.grid.variants:
            for width in self.grid.widths:
                jobs = [job for job in missing if (job.variant, job.width) == (variant, width)]
                if jobs:
                    unit = units(jobs, self.runs.together(variant, width))[0]
                    self.clock.rehearsed(variant, width, self.runs.rehearse(unit))

    def _phase(self, jobs: Sequence[Training]) -> None:
        missing = self.results.missing(jobs)
        waiting = [
            unit
            for group in units(missing, len(missing) or 1)
            for unit in units(group.jobs, self.runs.together(group.jobs[0].variant, group.jobs[0].width))
        ]
        self.report(waiting)
        for unit, outcomes in self.runs.train(list(waiting)):
            self.results.add(unit, outcomes)
            waiting.remove(unit)
            self.report(waiting)

    def report(self, waiting: Sequence[Unit]) -> None:
        """Tell how far it is."""
        following = f"{self.grid.along} {waiting[0].jobs[0].width}" if waiting else "done"
        self.progress(self._done, self._count, following, self._left())

    def note(self, text: str) -> None:
        """Tell something in the report, once."""
        if text not in self.notices:
            self.notices.append(text)

    def tick(self) -> None:
        """Called as a run goes on. Raises OutOfTime where the budget of seconds is used up."""
        alive()
        if self.clock.over:
            raise OutOfTime

    def _check_learned(self) -> None:
        runs = [self.results.done[job.key] for job in self._lr_jobs() if job.key in self.results.done]
        if runs and all(run.loss is None for run in runs):
            lrs = f"{self.grid.lrs[0]:g}" + (f" to {self.grid.lrs[-1]:g}" if len(self.grid.lrs) > 1 else "")
            raise UserError(
                f"every run diverged, or ended no better than it began, at learning rates of {lrs}",
                f"try smaller ones, for example --lr {self.grid.lrs[0] / 256:.2g}..{self.grid.lrs[0]:.2g}",
            )


def measured(sweep: Sweep, describe: str, setup: str, main: str, width_name: str, base_init: str = "") -> SweepResult:
    """The sweep as plain data."""
    grid, done = replace(sweep.grid, seeds=sweep.seeds), sweep.results.done
    along = () if sweep.steps is None else all_along(grid, done, sweep.steps)
    return SweepResult(
        describe, setup, width_name, sweep.titles, main,
        tuple(all_curves(grid, done)),
        str(sweep.results.path), tuple(sweep.notices), sweep.clock.measured(), base_init, along,
    )  # fmt: skip
