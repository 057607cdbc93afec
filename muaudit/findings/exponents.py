"""Exponents of measured numbers: snapping to what a power of width can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from muaudit.thresholds import DENOMINATOR, EXACT, SAME

ZERO = -math.inf  # the exponent of a number that is 0 at every width


def exponent_of(narrow: float | None, wide: float | None, unit: float) -> float | None:
    """Raw exponent of a number known at both widths (`unit` = log of the width ratio); −∞ for zero, None if unknown."""
    if narrow is None or wide is None or math.isnan(narrow) or math.isnan(wide):
        return None
    narrow, wide = abs(narrow), abs(wide)
    if narrow == wide:
        return 0.0 if narrow else ZERO
    if narrow == 0 or wide == 0 or math.isinf(narrow) or math.isinf(wide):
        return None
    return math.log(wide / narrow) / unit


def of_sum(numbers: Sequence[float], units: tuple[float, float]) -> float | None:
    """The exponent of a + b·n^p, or of one over that, a number in the code at three widths; None for anything else.

    It is p, or 0 where p < 0. The steps from one width to the next are those of n^p alone: of (1 − 1/sqrt(n)), say,
    which has a limit, the second is 1/sqrt(2) of the first where the width doubles. Equal steps are those of a
    logarithm, which is no power: NaN. units: the logs of the two ratios of widths, which must agree.
    """
    if len(numbers) < 3 or abs(units[0] - units[1]) > 0.05 * units[0] or not all(numbers):
        return None
    upright = _of_sum(numbers, units[0])
    if upright is not None:
        return upright
    below = _of_sum([1 / each for each in numbers], units[0])
    return None if below is None else -below


def _of_sum(numbers: Sequence[float], unit: float) -> float | None:
    first, second = numbers[1] - numbers[0], numbers[2] - numbers[1]
    if not first or second / first <= 0:
        return None
    p = math.log(second / first) / unit
    near = round(4 * p) / 4
    if abs(p - near) > SAME:
        return None
    if not near:
        return math.nan
    limit = numbers[0] - first / (math.exp(near * unit) - 1)  # where near < 0; else what is added to the power
    if abs(limit) < EXACT * max(map(abs, numbers)):
        return None  # a power alone
    if near > 0 and limit * (numbers[0] - limit) < 0:
        return None  # it passes through 0 at some width, as the share that a growing dropout keeps
    return max(near, 0.0)


def simple(raw: float) -> float:
    """The fraction of small denominator next to an exact exponent; itself where there is none."""
    near = float(Fraction(raw).limit_denominator(DENOMINATOR))
    return near if abs(near - raw) < SAME else raw


def snap(exponent: float, step: float, tolerance: float, units: Sequence[float] = (1.0,)) -> float | None:
    """The nearest multiple of `step`, or None when it is further than `tolerance` away.

    units: growth exponents of the width arguments (1 for the main one); a multiple of any of them counts.
    """
    if math.isinf(exponent):
        return exponent
    nearest = min((round(exponent / (step * u)) * step * u for u in units), key=lambda e: abs(exponent - e))
    return nearest if abs(exponent - nearest) <= tolerance else None
