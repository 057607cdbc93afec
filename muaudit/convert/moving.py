"""A model in training, moved from one formulation to another: weights, optimizer state, groups and multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .analyse import parts
from .apply import applied, install, match, modules_of, uninstall
from .moves import Move, check_pair, state_factor
from .plan import Entry, Plan


def move_(old: Plan, new: Plan, model: nn.Module, optimizer: Any) -> nn.Module:
    """Everything is checked before anything is changed."""
    check_pair(old, new)
    _check_applied(old, model)
    before = {id(parameter): entry for parameter, entry in match(old, model)}
    steps = {
        id(parameter): _Step(parameter, before[id(parameter)], entry, old) for parameter, entry in match(new, model)
    }
    found = modules_of(new, model)
    states = [change for part in parts(optimizer) for change in _state_changes(part, steps)]
    groups = {id(part): _groups(part, steps) for part in parts(optimizer)}
    with torch.no_grad():
        for step in steps.values():
            if step.move.weight != 1.0:
                step.parameter.mul_(step.move.weight)
        for tensor, factor in states:
            tensor.mul_(factor)
    for part in parts(optimizer):
        part.param_groups[:] = groups[id(part)]
    uninstall(model)
    install(new, model, found)
    return model


@dataclass(frozen=True)
class _Step:
    """One parameter on its way."""

    parameter: nn.Parameter
    old: Entry
    new: Entry
    plan: Plan

    @property
    def move(self) -> Move:
        return Move(self.plan.scale(self.new.gauge - self.old.gauge), self.plan.optimizer)

    @property
    def settings(self) -> tuple[float, float, float]:
        """Factors of learning rate, weight decay and eps."""
        pairs = zip(self.new.exponents[1:], self.old.exponents[1:], strict=True)
        lr, decay, eps = (self.plan.scale(after - before) for after, before in pairs)
        return lr, decay, eps


def _state_changes(optimizer: torch.optim.Optimizer, steps: Mapping[int, _Step]) -> list[tuple[torch.Tensor, float]]:
    changes: list[tuple[torch.Tensor, float]] = []
    name = type(optimizer).__name__.lower()
    for parameter, state in optimizer.state.items():
        step = steps.get(id(parameter))
        for key, value in state.items() if step is not None else ():
            if isinstance(value, torch.Tensor) and step is not None:
                factor = state_factor(step.move.weight, name, key)
                changes += [(value, factor)] if factor != 1.0 else []
    return changes


def _groups(optimizer: torch.optim.Optimizer, steps: Mapping[int, _Step]) -> list[dict[str, Any]]:
    """The optimizer's groups with the new settings, split where these differ now."""
    out: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        members: dict[tuple[float, float, float], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if id(parameter) not in steps:
                raise UserError("the optimizer trains a parameter that the model does not have")
            members.setdefault(steps[id(parameter)].settings, []).append(parameter)
        for (lr, decay, eps), parameters in members.items():
            factors = {"lr": lr, "initial_lr": lr, "lr_scale": lr, "weight_decay": decay, "eps": eps}
            scaled = {key: group[key] * factor for key, factor in factors.items() if key in group}
            out.append({**group, **scaled, "params": parameters})
    return out


def _check_applied(old: Plan, model: nn.Module) -> None:
    mark = applied(model)
    if mark is None and old.hooks:
        raise UserError(
            "this plan has not been applied to the model: its multipliers are not installed",
            "load the trained weights and call plan.install_hooks(model) before moving it",
        )
    if mark is not None and mark[:1] != (old.formulation,):
        raise UserError(f"the model is in the formulation {mark[0]}, the plan in {old.formulation}")
