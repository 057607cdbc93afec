"""Student's t for whole degrees of freedom, from the closed form of its distribution. Free of torch and scipy."""

from __future__ import annotations

import math
from functools import lru_cache


def within(angle: float, freedom: int) -> float:
    """P(|T| < t) with t = tan(angle)·sqrt(freedom) (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    cos, sin = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    if freedom == 1:
        return 2 * angle / math.pi
    term = cos if odd else 1.0
    total = term
    for k in range(2 + odd, freedom - 1, 2):
        term *= cos * cos * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sin * total) if odd else sin * total


@lru_cache(maxsize=4096)
def quantile(tail: float, freedom: int) -> float:
    """The t that is exceeded with probability `tail` (below 1/2). Raises ValueError outside of (0, 1/2)."""
    if not 0 < tail < 0.5 or freedom < 1:
        raise ValueError(f"a tail of {tail:g} with {freedom} degrees of freedom")
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < 1 - 2 * tail else (low, middle)
    return math.tan((low + high) / 2) * math.sqrt(freedom)
