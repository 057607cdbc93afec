"""The weights to start from: a fresh initialization at the target width, scaled."""

from __future__ import annotations

from pathlib import Path

from ..target.probe import Target
from .files import write_state_dict
from .plan import Plan
from .whole import sizes_at


def write_fresh(target: Target, plan: Plan, path: Path, seed: int) -> None:
    """Build the model at the plan's width, scale it, and write its state dict in one step.

    Raises:
        UserError: the model cannot be built at this width, or the file cannot be written.
    """
    model = plan.apply_(target.build(sizes_at(target, plan.width), seed))
    written = {"schema": "muaudit.plan/1", "base_width": str(plan.base_width), "width": str(plan.width)}
    write_state_dict(model.state_dict(), path, written | {"seed": str(seed)})
