"""Training here, one unit of runs after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..training.loop import out_of_memory
from .budget import Clock
from .out_of_time import OutOfTime
from .train import train_unit
from .trainings import TrainingOutcome, TrainingSettings, Unit
from .variant import SweepVariant

REHEARSED_FROM, REHEARSED = 100, 6
"""From how many steps on a run is rehearsed, and by how many."""


@dataclass
class LocalRuns:
    """Trains units as they come. together: runs in one ensemble, by variant and width; tick: called after every step,
    may raise OutOfTime; note: told what people should know."""

    variants: Sequence[SweepVariant]
    settings: TrainingSettings
    clock: Clock
    members: Callable[[SweepVariant, int], int]
    tick: Callable[[], None] = lambda: None
    note: Callable[[str], None] = lambda text: None

    def together(self, variant: str, width: int) -> int:
        """How many runs are trained as one ensemble."""
        return self.members(self._variant(variant), width)

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """Each unit with what it came to; those that need more memory than there is are left out, with a note."""
        too_wide: int | None = None
        for unit in waiting:
            width = unit.jobs[0].width
            if too_wide is not None and width >= too_wide:
                continue
            if not self.clock.allows(unit):
                raise OutOfTime
            started = time.monotonic()
            try:
                outcomes = train_unit(self._variant(unit.jobs[0].variant), unit, self.settings, self.tick, self.note)
            except Exception as error:
                if not out_of_memory(error) and not out_of_memory(error.__cause__ or error):
                    raise
                too_wide = width
                self.note(f"out of memory at width {width}: this and wider ones are left out")
                continue
            self.clock.took(unit, time.monotonic() - started)
            yield unit, outcomes

    def rehearse(self, unit: Unit) -> float | None:
        """Seconds that each run of a unit will take, from a few steps; None where that is not worth it, or raised."""
        if self.settings.steps < REHEARSED_FROM:
            return None
        took = []
        try:
            for steps in (1, 1, REHEARSED):
                started = time.monotonic()
                short = replace(self.settings, steps=steps, warmup=0)
                train_unit(self._variant(unit.jobs[0].variant), unit, short, self.tick)
                took.append(time.monotonic() - started)
        except OutOfTime:
            raise
        except Exception:  # the run itself will say it
            return None
        step = max(0.0, took[2] - took[1]) / (REHEARSED - 1)
        return (took[1] + step * (self.settings.steps - 1)) / len(unit.jobs)

    def _variant(self, name: str) -> SweepVariant:
        return next(each for each in self.variants if each.name == name)
