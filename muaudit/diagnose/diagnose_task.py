"""The diagnosis of one target, meant for a child: it builds and trains the model, and so runs the user's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ..audit import audit
from ..convert.planner import make_plan
from ..errors import UserError
from ..findings.model import Report
from ..isolation.child import tell
from ..isolation.plain_data import plain
from ..targets import Target, TargetOptions, resolve
from ..training.beforehand import check_device, sizes_at
from ..training.loop import Work, explained
from .diagnose_lines import diagnosis_data, diagnosis_lines
from .diagnose_settings import DiagnoseSettings
from .diagnosis import Diagnosis, checked_widths
from .reverse import carried_down
from .watched import watched


def diagnosed(
    text: str | None, options: TargetOptions, width: int | None, small: int | None, lr: float | None,
    settings: DiagnoseSettings,
) -> dict[str, Any]:  # fmt: skip
    """The `lines` to show, the `data` of a JSON report and the exit `code`, as plain data. Raises UserError."""
    found = diagnose(resolve(text, options), width, small, lr, settings, tell)
    lines = [plain(each) for each in diagnosis_lines(found)]
    return {"lines": lines, "data": diagnosis_data(found), "code": found.exit_code}


def diagnose(
    target: Target, width: int | None = None, small: int | None = None, lr: float | None = None,
    settings: DiagnoseSettings | None = None, progress: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:  # fmt: skip
    """Train at a width until something leaves its range or the steps end, say what lets it, and reproduce it small.

    width: the model's own by default. small: the first probe by default. lr: the largest learning rate at the large
    width; the other groups keep their ratio. progress: told how many steps of how many are taken.

    Raises:
        UserError: the target has no such width, the device is not there, or the user's code raised.
    """
    settings = settings or DiagnoseSettings()
    check_device(settings.device)
    axis = target.axes[0]
    large = width or axis.default
    if large is None:
        raise UserError(f"the model has no width of its own: {axis.name} has no default",
                        "say which to diagnose with --width N")  # fmt: skip
    small = small or axis.probes[0]
    checked_widths(large, small)
    total = 2 * (settings.steps + 1)
    work = Work(target, sizes_at(target, large), settings.run)
    with explained(work):
        model, optimizer = work.built(settings.seed)
    _scale(optimizer, lr)
    run = watched(work, lambda: (model, optimizer), settings.precision, lambda step: progress(step, total))
    report, no_audit = _audited(target)
    found = Diagnosis(target.describe, axis.name, f"{target.optimizer_name} ({target.optimizer_source})", run,
                      report=report, no_audit=no_audit, precision=settings.precision)  # fmt: skip
    if not found.exit_code:
        return found
    try:
        plan = make_plan(target, large, small, seed=settings.seed)
    except UserError as error:
        return replace(found, why_not=error.message)
    below = Work(target, sizes_at(target, small), settings.run)
    again = watched(below, lambda: carried_down(plan, optimizer, below), settings.precision,
                    lambda step: progress(total // 2 + step, total))  # fmt: skip
    return replace(found, small=again)


def _scale(optimizer: torch.optim.Optimizer, lr: float | None) -> None:
    """Make the largest learning rate `lr`, where one is given; the others keep their ratio to it."""
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    if lr is not None and largest <= 0:
        raise UserError("--lr cannot scale this optimizer: its learning rates are zero")
    for group in optimizer.param_groups if lr is not None else ():
        group["lr"] *= (lr or 0.0) / largest


def _audited(target: Target) -> tuple[Report | None, str]:
    try:
        return audit(target), ""
    except UserError as error:
        return None, error.message
