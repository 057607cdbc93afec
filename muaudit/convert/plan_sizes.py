"""The sizes that a plan is made between, or the plan that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlanSizes:
    """What a plan is made between; None where that was left open. A depth is gone over where it has a base.

    plan: the file of a plan that is taken as it is, sizes and all.
    """

    base_width: int | None = None
    width: int | None = None
    base_depth: int | None = None
    depth: int | None = None
    plan: Path | None = None
