"""The sizes that a plan is made between, or the plan that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


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


def check_sizes(plan: Path | None, **own: object) -> None:
    """Raise UserError where a plan comes with what it has itself, or where nothing says what to plan from.

    own: what a plan has itself, by its option; None or false where that was not given.
    """
    if plan is None:
        if all(own[name] is None for name in ("base_width", "base_depth", "bsh")):
            raise UserError("the base width is missing", "--base-width N says which width hyperparameters are tuned at")
        return
    for name, value in own.items():
        if value is not None and value is not False:
            raise UserError(f"--plan and --{name.replace('_', '-')}: a plan has its own", "give one of them")
