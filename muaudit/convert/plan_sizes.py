"""The sizes that a plan is made between."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanSizes:
    """What a plan is made between; None where that was left open. A depth is gone over where it has a base."""

    base_width: int | None = None
    width: int | None = None
    base_depth: int | None = None
    depth: int | None = None
