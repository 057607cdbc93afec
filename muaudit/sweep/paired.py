"""Losses compared seed by seed: on the same data and from the same initial weights, most of what is chance cancels.

A difference is told with an interval of Student's t from three seeds on. For its lower bound every seed's is limited
from above, for the upper one from below: that moves the bounds outwards only, and one run that went far astray hides
nothing. Free of torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..thresholds import FEWEST_SEEDS
from .optimum import Array
from .student import quantile


@dataclass(frozen=True)
class Interval:
    """A value and where it lies, as far as the seeds say: between −∞ and ∞ where they say nothing."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How far one table of losses lies above another, as a share of a loss. place: the index of what is compared.

    value: the mean over the seeds that both have. below, above: mean and standard deviation of what is limited from
    above, for the lower bound, and from below, for the upper one.
    """

    place: int
    value: float
    below: tuple[float, float]
    above: tuple[float, float]
    count: int

    def low(self, tail: float, count: int | None = None, widened: float = 1.0) -> float:
        """What the true mean lies below with probability `tail` at most.

        count: of seeds, where that is to be another than it was; widened: a factor on the spread.
        """
        return self.below[0] - _reach(self.below[1] * widened, tail, count or self.count)

    def high(self, tail: float, count: int | None = None, widened: float = 1.0) -> float:
        """What it lies above with that probability."""
        return self.above[0] + _reach(self.above[1] * widened, tail, count or self.count)


def _reach(spread: float, tail: float, seeds: int) -> float:
    if seeds < FEWEST_SEEDS:
        return math.inf
    return quantile(tail, seeds - 1) * spread / math.sqrt(seeds)


def difference(place: int, above: Array, below: Array, scale: float, limit: float) -> Difference | None:
    """`above` − `below` [seed] over `scale`; None where no seed has both. NaN: not run."""
    both = ~np.isnan(above) & ~np.isnan(below)
    if not both.any():
        return None
    found = (above[both] - below[both]) / scale
    return Difference(
        place, float(found.mean()), _moments(np.minimum(found, limit)), _moments(np.maximum(found, -limit)), len(found)
    )


def _moments(values: Array) -> tuple[float, float]:
    return float(values.mean()), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
