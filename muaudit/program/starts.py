"""The size at initialization of what is made of parameters alone, from the sizes that these start with.

Those are known from many draws (`trace.inits`), where a value in a recording is one draw, of few entries perhaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .kinds import meaning
from .values import Value

Starts = Mapping[str, float | None]  # exponents of the rms of parameters at initialization, where they are powers


def start_of(x: Value, starts: Starts) -> float | None:
    """The exponent of the size of x at initialization; None where it does not follow from those of parameters."""
    if x.kind == "param":
        known = starts.get(x.name)
        return known if known is not None and math.isfinite(known) else None
    inner = start_of(x.args[0], starts) if x.args else None
    return None if inner is None else meaning(x).start(x, inner)
