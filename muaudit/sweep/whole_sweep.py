"""The whole sweep: learning rates first, then every other hyperparameter at the best one of the narrowest width."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UserError
from ..isolation.child import alive
from ..training.loop import out_of_memory
from .budget import Clock
from .curves import all_curves, best_rates
from .near import most, near_jobs
from .result import INTERRUPTED, SweepResult
from .results_file import Results
from .train import OutOfTime, train_unit
from .trainings import Grid, Training, TrainingOutcome, TrainingSettings, Unit, units
from .variant import SweepVariant

Progress = Callable[[int, int, str, float | None], None]  # runs done, in all, what is running, seconds left
Trainer = Callable[[Sequence[Unit]], Iterator[tuple[Unit, list[TrainingOutcome]]]]


def quiet(done: int, total: int, what: str, left: float | None) -> None:
    """No progress shown."""


@dataclass
class Sweep:
    """Everything that a sweep needs. together: runs in one ensemble, by width; trainer: where units are trained; near:
    how many learning rates on either side of the narrower width's best, None for all."""

    variants: Sequence[SweepVariant]
    grid: Grid
    settings: TrainingSettings
    results: Results
    clock: Clock
    together: Callable[[SweepVariant, int], int] = lambda variant, width: 1
    progress: Progress = quiet
    trainer: Callable[[Sweep], Trainer] | None = None
    near: int | None = None
    notices: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run what is missing, phase by phase. An interrupt, the budget and a full memory end it early, with a notice.

        Raises:
            UserError: the user's code raised, or every run diverged.
        """
        try:
            self._learning_rates()
            self._check_learned()
            best = best_rates(self.grid, self.results.done)
            for name in self.grid.hps:
                self._phase(self.grid.hp_jobs(name, best))
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

    def _lr_jobs(self) -> list[Training]:
        return self.grid.lr_jobs() if self.near is None else near_jobs(self.grid, self.results.done, self.near)

    @property
    def _count(self) -> int:
        """How many runs there are; with `near` at least so many, most likely."""
        if self.near is None:
            return self.grid.count
        others = self.grid.count - len(self.grid.lr_jobs())
        return max(most(self.grid, self.near), len(self._lr_jobs())) + others

    @property
    def _done(self) -> int:
        best = best_rates(self.grid, self.results.done)
        jobs = [*self._lr_jobs(), *(job for name in self.grid.hps for job in self.grid.hp_jobs(name, best))]
        return len(jobs) - len(self.results.missing(jobs))

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
        self.progress(self._done, self._count, following, self.clock.left(waiting))

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
        tuple(all_curves(sweep.grid, sweep.results.done)), str(sweep.results.path), tuple(sweep.notices),
    )  # fmt: skip
