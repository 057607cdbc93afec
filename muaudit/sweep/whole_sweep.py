"""The whole sweep: learning rates first, then every other hyperparameter at the best one of the narrowest width."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import UserError
from ..isolation.child import alive
from ..training.loop import out_of_memory
from .budget import Clock
from .curves import all_curves, best_rates
from .decide import kept, until_decided
from .near import at_width, most, near_jobs
from .result import INTERRUPTED, SweepResult
from .results_file import Results
from .sweep_request import PLANNED
from .sweep_verdict import Tolerance
from .sweep_words import duration
from .train import OutOfTime, train_unit
from .trainings import Grid, Training, TrainingOutcome, TrainingSettings, Unit, units
from .variant import SweepVariant

Progress = Callable[[int, int, str, float | None], None]  # runs done, in all, what is running, seconds left
Trainer = Callable[[Sequence[Unit]], Iterator[tuple[Unit, list[TrainingOutcome]]]]

REHEARSED_FROM, REHEARSED = 100, 6
"""From how many steps on a run is rehearsed, and by how many."""


def quiet(done: int, total: int, what: str, left: float | None) -> None:
    """No progress shown."""


@dataclass
class Sweep:
    """Everything that a sweep needs. together: runs in one ensemble, by width; trainer: where units are trained; near:
    how many learning rates on either side of the narrower width's best, None for all; decide: whether seeds are added
    until there is a verdict; seeds: how many there are in the end."""

    variants: Sequence[SweepVariant]
    grid: Grid
    settings: TrainingSettings
    results: Results
    clock: Clock
    together: Callable[[SweepVariant, int], int] = lambda variant, width: 1
    progress: Progress = quiet
    trainer: Callable[[Sweep], Trainer] | None = None
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
            self.progress(0, self._count, PLANNED + self.planned(), None)
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
        grid, names = self.grid, {each.name: each.title for each in self.variants}
        widths = (
            f"{len(grid.widths)} widths" if len(grid.variants) == 1 else f"{' and '.join(names.values())}, each at "
        )
        widths += "" if len(grid.variants) == 1 else f"{len(grid.widths)} widths"
        rates = f"{len(grid.lrs)} learning rates"
        if self.near is not None and at_width(grid, self.near, grid.widths[-1]) < len(grid.lrs):
            rates += f" (at wider ones about {at_width(grid, self.near, grid.widths[-1])})"
        hps = "".join(f", {len(values)} values of {name}" for name, values in grid.hps.items())
        seeds = f"{grid.seeds} seed{'s' * (grid.seeds > 1)}" + (", then more until it is decided" * self.decide)
        left = self._left()
        there = f", {self._done} of them are there" if self._done else ""
        about = "" if left is None or self._done >= self._count else f": about {duration(left)}"
        return f"{widths}, {rates}{hps}, {seeds}: some {self._count} runs of {self.settings.steps} steps{there}{about}"

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
        """A few steps of every width, where runs are long: how long everything will take is then known beforehand."""
        if self.trainer is not None or self.settings.steps < REHEARSED_FROM:
            return
        missing = self.results.missing(self.grid.lr_jobs())
        for variant in self.variants:
            for width in self.grid.widths:
                jobs = [job for job in missing if (job.variant, job.width) == (variant.name, width)]
                if jobs:
                    self.clock.rehearsed(variant.name, width, self._rehearsed(variant, width, jobs))

    def _rehearsed(self, variant: SweepVariant, width: int, jobs: Sequence[Training]) -> float | None:
        """Seconds that one run of all steps will take; None where it raised: the run will say it."""
        unit = units(jobs, self.together(variant, width))[0]
        took = []
        try:
            for steps in (1, 1, REHEARSED):
                started = time.monotonic()
                train_unit(variant, unit, replace(self.settings, steps=steps, warmup=0), self._tick)
                took.append(time.monotonic() - started)
        except OutOfTime:
            raise
        except Exception:
            return None
        step = max(0.0, took[2] - took[1]) / (REHEARSED - 1)
        return (took[1] + step * (self.settings.steps - 1)) / len(unit.jobs)

    def _phase(self, jobs: Sequence[Training]) -> None:
        by_name = {variant.name: variant for variant in self.variants}
        missing = self.results.missing(jobs)
        waiting = [
            unit
            for group in units(missing, len(missing) or 1)
            for unit in units(group.jobs, self.together(by_name[group.jobs[0].variant], group.jobs[0].width))
        ]
        train = self.trainer(self) if self.trainer is not None else self.local
        for unit, outcomes in train(waiting):
            self.results.add(unit, outcomes)
            waiting.remove(unit)
            self.report(waiting)

    def report(self, waiting: Sequence[Unit]) -> None:
        """Tell how far it is."""
        following = f"width {waiting[0].jobs[0].width}" if waiting else "done"
        self.progress(self._done, self._count, following, self._left())

    def local(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """Train here, one unit after another."""
        by_name = {variant.name: variant for variant in self.variants}
        too_wide: int | None = None
        self.report(list(waiting))
        for unit in list(waiting):
            width = unit.jobs[0].width
            if too_wide is not None and width >= too_wide:
                continue
            if not self.clock.allows(unit):
                raise OutOfTime
            started = time.monotonic()
            try:
                outcomes = train_unit(by_name[unit.jobs[0].variant], unit, self.settings, self._tick, self._note)
            except Exception as error:
                if not out_of_memory(error) and not out_of_memory(error.__cause__ or error):
                    raise
                too_wide = width
                self.notices.append(f"out of memory at width {width}: this and wider ones are left out")
                continue
            self.clock.took(unit, time.monotonic() - started)
            yield unit, outcomes

    def _note(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _tick(self) -> None:
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


def measured(sweep: Sweep, describe: str, setup: str, main: str) -> SweepResult:
    """The sweep as plain data."""
    titles: Mapping[str, str] = {variant.name: variant.title for variant in sweep.variants}
    return SweepResult(
        describe, setup, sweep.variants[0].target.axes[0].name, titles, main,
        tuple(all_curves(replace(sweep.grid, seeds=sweep.seeds), sweep.results.done)),
        str(sweep.results.path), tuple(sweep.notices), sweep.clock.measured(),
    )  # fmt: skip
