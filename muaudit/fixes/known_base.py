"""The width at which edits change nothing: the model's own, or that of a base shape file or a plan."""

from __future__ import annotations

from pathlib import Path

from ..plan.file import load_plan
from ..targets.base_shapes import base_of
from ..targets.probe import Target


def known_base(target: Target, bsh: Path | None = None, plan: Path | None = None) -> int | None:
    """The base width that a base shape file or a plan stands for, else the model's own width; None without any.

    Raises:
        UserError: the file cannot be read, or is for another model.
    """
    if bsh is not None:
        return base_of(bsh, target).width
    return load_plan(plan).base_width if plan is not None else target.axes[0].default
