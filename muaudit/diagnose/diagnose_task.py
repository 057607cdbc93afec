"""The diagnosis of one target, meant for a child: it builds and trains the model, and so runs the user's code."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..audit import audit
from ..convert.planner import make_plan
from ..errors import UserError
from ..findings.model import Report
from ..isolation.child import tell
from ..isolation.plain_data import plain
from ..targets import Target, TargetOptions, resolve
from ..training.beforehand import check_device, lr_factor, sizes_at
from ..training.run_settings import DTYPES
from .diagnose_lines import diagnosis_data, diagnosis_lines
from .diagnose_settings import DiagnoseSettings
from .diagnosis import Diagnosis, checked_widths
from .recorded import Recorded
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
    settings: DiagnoseSettings | None = None, progress: Any = lambda done, total: None,
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
    sizes = sizes_at(target, large)
    model, optimizer = _built(target, sizes, lr, settings)
    run = watched(target, sizes, lambda: (model, optimizer), settings, lambda step: progress(step, total))
    report, no_audit = _audited(target)
    said = Diagnosis(target.describe, axis.name, f"{target.optimizer_name} ({target.optimizer_source})", run,
                     report=report, no_audit=no_audit, precision=settings.precision)  # fmt: skip
    if not said.exit_code:
        return said
    again, why_not = _small(target, large, small, optimizer, settings, lambda step: progress(total // 2 + step, total))
    return Diagnosis(said.describe, said.width_name, said.optimizer, run, again, report, no_audit, why_not,
                     settings.precision)  # fmt: skip


def _built(
    target: Target, sizes: dict[str, int], lr: float | None, settings: DiagnoseSettings
) -> tuple[nn.Module, torch.optim.Optimizer]:
    device, dtype = torch.device(settings.device), getattr(torch, DTYPES[settings.dtype])
    model = target.build(sizes, settings.seed).to(device=device, dtype=dtype)
    optimizer = target.optimizer(model, sizes)
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    if lr is not None:
        lr_factor(target, lr)  # which refuses rates of zero
        for group in optimizer.param_groups:
            group["lr"] *= lr / largest
    return model, optimizer


def _audited(target: Target) -> tuple[Report | None, str]:
    try:
        return audit(target), ""
    except UserError as error:
        return None, error.message


def _small(
    target: Target, large: int, small: int, optimizer: torch.optim.Optimizer, settings: DiagnoseSettings, tick: Any
) -> tuple[Recorded | None, str]:
    """The same trouble at the small width; None, and why, where no plan can carry it there."""
    sizes = sizes_at(target, small)
    try:
        plan = make_plan(target, large, small, seed=settings.seed)
    except UserError as error:
        return None, error.message
    return watched(target, sizes, lambda: carried_down(target, plan, optimizer, sizes, settings), settings, tick), ""
