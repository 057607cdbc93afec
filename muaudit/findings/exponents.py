"""Exponents of measured numbers: snapping to what a power of width can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

SNAP_SCALAR = 0.03  # a scalar written in code is exact but for a head_dim or group rounding
SNAP_TENSOR = 0.2  # the rms of a constant tensor (cosines, masks, positions) varies a little with its size

SNAP_ADDED = 0.05  # further than this from a power other than 0, a constant tensor is looked at a third time
EXACT = 1e-4  # constants that are the same number in every entry follow a power of width to this, or none
CONVERGES = 0.7  # a slope that falls by this factor or more from one doubling to the next is on its way to a limit


def exponent_of(narrow: float | None, wide: float | None, unit: float) -> float | None:
    """Raw exponent of a number known at both widths (`unit` = log of the width ratio); −∞ for zero, None if unknown."""
    if narrow is None or wide is None or math.isnan(narrow) or math.isnan(wide):
        return None
    narrow, wide = abs(narrow), abs(wide)
    if narrow == wide:
        return 0.0 if narrow else -math.inf
    if narrow == 0 or wide == 0 or math.isinf(narrow) or math.isinf(wide):
        return None
    return math.log(wide / narrow) / unit


def snap(exponent: float, step: float, tolerance: float, units: Sequence[float] = (1.0,)) -> float | None:
    """The nearest multiple of `step`, or None when it is further than `tolerance` away.

    units: growth exponents of the width arguments (1 for the main one); a multiple of any of them counts.
    """
    if math.isinf(exponent):
        return exponent
    nearest = min((round(exponent / (step * u)) * step * u for u in units), key=lambda e: abs(exponent - e))
    return nearest if abs(exponent - nearest) <= tolerance else None
