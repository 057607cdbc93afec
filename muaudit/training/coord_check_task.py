"""A coordinate check of one target, meant for a child: it builds and trains the model, and so runs the user's code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..isolation import LostTarget
from ..isolation.child import interrupted_by_user, tell
from ..isolation.plain_data import plain
from ..plan.file import load_plan
from ..plan.plan import Plan
from ..plan.planned import planned
from ..targets import Target, TargetOptions, resolve
from .measure import measure
from .over_depths import measure_over_depth
from .run_settings import RunSettings
from .spectral import measure_spectral


def checked(text: str | None, options: TargetOptions, plan: Path | None) -> str:
    """The label of the target, where it can be driven. Raises UserError where it cannot."""
    return found_target(text, options, plan).label


def measured(text: str | None, options: TargetOptions, plan: Path | None, settings: RunSettings) -> Any:
    """The measurement as plain data. plan: by which the target is converted. Raises UserError."""
    target = found_target(text, options, plan)
    run = measure_over_depth(target, settings, tell) if settings.depths else measure(target, settings, tell)
    if run.interrupted and not interrupted_by_user():
        raise LostTarget(target.label, "the audited code raised KeyboardInterrupt")
    return plain(run)


def spectral(text: str | None, options: TargetOptions, plan: Path | None, settings: RunSettings) -> Any:
    """The norms of the spectral check as plain data. Raises UserError."""
    return plain(measure_spectral(found_target(text, options, plan), settings, tell))


def found_target(text: str | None, options: TargetOptions, plan: Path | None) -> Target:
    """The target, as a plan converts it where there is one. Raises UserError."""
    return converted_by(resolve(text, options), plan)


def converted_by(target: Target, plan: Path | Plan | None) -> Target:
    """The target, as a plan converts it where there is one, and called so. Raises UserError."""
    if plan is None:
        return target
    given, name = (load_plan(plan), plan.name) if isinstance(plan, Path) else (plan, "a plan")
    found = planned(target, given)
    return replace(found, label=f"{found.label} converted by {name}")
