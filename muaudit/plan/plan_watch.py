"""A look at an optimizer's groups before each of its steps: whether their settings still are what a plan says."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..findings.names import listed_names
from .dry_walk import bare_optimizers
from .groups import listed
from .ratios import HeldSetting, deviations, held, settings_of
from .scales import Scales


class PlanWarning(UserWarning):
    """A training run that has left its plan."""


class PlanWatch:
    """Hooks on optimizers, before their steps. Warns once for each way of leaving the plan."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], settings: Sequence[HeldSetting]) -> None:
        self._optimizers, self._settings = optimizers, settings
        self._said: set[str] = set()
        self._steps = 0
        self._handles = [each.register_step_pre_hook(self._before_step) for each in optimizers]

    def remove(self) -> None:
        """PlanWatch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if optimizer is self._optimizers[0]:
            self._steps += 1
        if optimizer is self._optimizers[-1]:
            self._look()

    def _look(self) -> None:
        groups = held(group for each in self._optimizers for group in each.param_groups)
        rows = {}
        for found in deviations(self._settings, groups):
            for name in listed_names(found.setting.parameters):
                rows[f"{found.setting.name} {name}"] = f"  {name}: {found.in_words()}"
        fresh = [row for key, row in rows.items() if key not in self._said]
        self._said.update(rows)
        if fresh:
            text = f"step {self._steps} is not what the plan says:\n" + "\n".join(fresh)
            warnings.warn(text, PlanWarning, stacklevel=2)


def watch(plan: Scales, optimizer: Any, model: nn.Module | None, own: Iterable[Mapping[str, Any]] | None) -> PlanWatch:
    """Looks at once, then before every step. Raises UserError where nothing says what groups are scaled by."""
    optimizers = bare_optimizers(optimizer)
    groups = [group for each in optimizers for group in each.param_groups]
    if model is not None:
        settings = settings_of(plan, model, groups, None if own is None else list(own))
    else:
        settings = _as_grouped(optimizers, own or ())
    return PlanWatch(optimizers, settings)


def _as_grouped(optimizers: Sequence[torch.optim.Optimizer], own: Iterable[Mapping[str, Any]]) -> list[HeldSetting]:
    """Learning rates alone, by the `lr_scale` that plans write into their groups."""
    base = {id(parameter): group.get("lr", 1.0) for group in own for parameter in listed(group["params"])}
    out: list[HeldSetting] = []
    for number, each in enumerate(optimizers):
        for group in each.param_groups:
            if "lr_scale" not in group:
                raise UserError(
                    "the groups do not say what the plan scales them by",
                    "give the model too: plan.watch(optimizer, model)",
                )
            scale, name = float(group["lr_scale"]), group.get("name", f"group {len(out)}")
            factor = scale * float(base.get(id(group["params"][0]), 1.0)) if group["params"] else scale
            out.append(HeldSetting("lr", len(out), str(number), factor, scale, (name,)))
    return out
