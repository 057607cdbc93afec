"""When there is no point in going on with a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..thresholds import HOPELESS

LOOK = 10
"""Losses whose mean says that a run is lost."""


def is_lost(losses: Sequence[float]) -> bool:
    """Whether a loss is not finite, or the last ones are far above the first."""
    recent = losses[-LOOK:]
    if not all(map(math.isfinite, recent)):
        return True
    return len(losses) > LOOK and sum(recent) / len(recent) > HOPELESS * abs(losses[0])
