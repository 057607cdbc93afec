"""What training at the first probe tells beside the rules of `sizes`: how terms and factors align."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fit:
    """What was measured at the first probe and no rule says.

    inflow: how much more of the changes that flow in comes out; together: the correlation of the terms of a sum;
    parts: of a product's change through either factor, how much larger it is, and the square of its alignment.
    """

    inflow: float = 1.0
    together: float = 0.0
    parts: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 1.0), (1.0, 1.0))


UNFITTED = Fit()
UNSEEN = 0.01  # of the terms of a sum: an alignment whose square times their number is smaller does not show
FARTHEST = 16.0  # what a fit may multiply by


def summed_up(count: float, aligned: float) -> float:
    """How much larger a sum of `count` products is than one of them."""
    return math.sqrt(count + aligned * count**2)


def alignment(larger: float, count: float, expected: float) -> tuple[float, float]:
    """Factors for a sum of `count` terms and for the square of its alignment, that make it `larger` than one term."""
    if not larger:
        return 1.0, 1.0
    square = (larger**2 - count) / count**2
    if square > 0 and expected:
        return 1.0, square / expected
    times = min(1.0, UNSEEN / (count * expected)) if expected else 1.0
    return larger / summed_up(count, times * expected), times


def added(terms: Sequence[float], together: float) -> float:
    """Of a sum of terms that are correlated."""
    square = sum(x * x for x in terms)
    return math.sqrt(max(0.0, square + together * (sum(terms) ** 2 - square)))


def together_of(terms: Sequence[float], change: float) -> float:
    """The correlation that makes their sum what it is."""
    square = sum(x * x for x in terms)
    products = sum(terms) ** 2 - square
    return max(-1.0, min(1.0, (change**2 - square) / products)) if products > 1e-6 * square else 0.0
