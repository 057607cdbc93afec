"""How long a sweep may take, and how long it will: seconds or FLOPs. Free of torch."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
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
    """Time per run by width, measured as the sweep goes on; wider ones are extrapolated by their area.

    flops: `(unit)` → floating-point operations, asked for only with a budget of those.
    """

    budget: Budget | None = None
    flops: Callable[[Unit], float] = lambda unit: 0.0
    now: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    spent: float = 0.0
    _seconds: dict[int, list[float]] = field(default_factory=dict)

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
        self._seconds.setdefault(unit.jobs[0].width, []).append(seconds / len(unit.jobs))
        if self.budget is not None and self.budget.unit == "FLOPs":
            self.spent += self.flops(unit)

    def expected(self, unit: Unit) -> float | None:
        """Seconds this unit will take; None while nothing is known."""
        if not self._seconds:
            return None
        width = unit.jobs[0].width
        nearest = min(self._seconds, key=lambda known: abs(math.log(known / width)))
        mean = sum(self._seconds[nearest]) / len(self._seconds[nearest])
        return len(unit.jobs) * mean * max(1.0, width / nearest) ** 2

    def left(self, units: Sequence[Unit]) -> float | None:
        """Seconds until all of these are done."""
        times = [self.expected(unit) for unit in units]
        return None if any(each is None for each in times) else sum(each or 0.0 for each in times)
