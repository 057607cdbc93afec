"""How long a sweep may take, and how long it will: seconds or FLOPs. Free of torch."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..errors import UserError
from .trainings import Unit

_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BUDGET = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*(?P<unit>[a-z]*)")


@dataclass(frozen=True)
class Budget:
    """An amount of seconds or of floating-point operations, for one invocation."""

    amount: float
    unit: Literal["seconds", "FLOPs"]


def parse_budget(text: str) -> Budget:
    """`600`, `10m`, `2h` or `1e15flops`. Raises UserError."""
    match = _BUDGET.fullmatch(text.strip().lower())
    if match is None or not float(match["number"]) > 0:
        raise UserError(f"--budget expects a positive time or FLOPs, found {text!r}", "e.g. 600, 10m, 2h or 1e15flops")
    if match["unit"] in ("flop", "flops"):
        return Budget(float(match["number"]), "FLOPs")
    if match["unit"] not in _SECONDS:
        raise UserError(f"--budget: unknown unit {match['unit']!r}", "units: s, m, h, d, flops")
    return Budget(float(match["number"]) * _SECONDS[match["unit"]], "seconds")


@dataclass
class Clock:
    """Time per run by variant and width, from a few steps beforehand and as the sweep goes on.

    flops: `(unit)` → floating-point operations, asked for only with a budget of those.
    """

    budget: Budget | None = None
    flops: Callable[[Unit], float] = lambda unit: 0.0
    now: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    spent: float = 0.0
    _seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    _rehearsed: dict[tuple[str, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = self.now()

    def allows(self, unit: Unit) -> bool:
        """Whether the budget has room for this unit, as far as one can tell beforehand."""
        if self.budget is None:
            return True
        if self.budget.unit == "FLOPs":
            return self.spent + self.flops(unit) <= self.budget.amount
        return self.now() - self.started + (self.expected(unit) or 0.0) <= self.budget.amount

    @property
    def over(self) -> bool:
        """Whether a budget of seconds is used up."""
        return self.budget is not None and self.budget.unit == "seconds" and (
            self.now() - self.started > self.budget.amount
        )  # fmt: skip

    def took(self, unit: Unit, seconds: float) -> None:
        """Learn from a finished unit."""
        first = unit.jobs[0]
        self._seconds.setdefault((first.variant, first.width), []).append(seconds / len(unit.jobs))
        if self.budget is not None and self.budget.unit == "FLOPs":
            self.spent += self.flops(unit)

    def rehearsed(self, variant: str, width: int, seconds: float | None) -> None:
        """What a run will take, as far as a few steps of it tell; None where they do not."""
        if seconds is not None:
            self._rehearsed[variant, width] = seconds

    def of_run(self, variant: str, width: int) -> float | None:
        """Seconds of one run; None while nothing is known. Wider ones are extrapolated by their area."""
        if times := self._seconds.get((variant, width)):
            return sum(times) / len(times)
        if (variant, width) in self._rehearsed:
            return self._rehearsed[variant, width]
        if not self._seconds:
            return None
        nearest = min(self._seconds, key=lambda known: (abs(math.log(known[1] / width)), known[0] != variant))
        mean = sum(self._seconds[nearest]) / len(self._seconds[nearest])
        return mean * max(1.0, width / nearest[1]) ** 2

    def expected(self, unit: Unit) -> float | None:
        """Seconds this unit will take; None while nothing is known."""
        seconds = self.of_run(unit.jobs[0].variant, unit.jobs[0].width)
        return None if seconds is None else len(unit.jobs) * seconds

    def measured(self) -> tuple[tuple[int, float], ...]:
        """(width, seconds that a run took on average) by width."""
        found: dict[int, list[float]] = {}
        for (_, width), times in self._seconds.items():
            found.setdefault(width, []).extend(times)
        return tuple((width, sum(each) / len(each)) for width, each in sorted(found.items()))
