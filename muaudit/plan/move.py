"""A model in training, moved from one formulation to another: weights, optimizer state, groups and multipliers.

Two plans for the same model in two formulations store a tensor at sizes that differ by θ = m**(difference of their
`gauge`), their forward multipliers making up for it (TP5 Lemma J.1, arXiv 2203.03466). A gradient is then θ times
smaller, so first moments and momentum buffers are divided by θ and second moments by θ² (eps and weight decay move with
the groups of the new plan).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..optimizers import state_entries, state_power
from ..optimizers.several import parts
from .apply import applied, install, match, modules_of, uninstall
from .scales import Entry, Scales, missing


@dataclass(frozen=True)
class Move:
    """What one tensor goes through between two formulations: `weight` multiplies it (1.0: it stays as it is)."""

    weight: float
    optimizer: str

    def state(self, key: str) -> float:
        """The factor of one entry of its optimizer state, by torch's name for it ("exp_avg", "momentum_buffer", ...).

        Raises:
            UserError: the entry is not known, so that nothing can be said about it.
        """
        return state_factor(self.weight, self.optimizer, key)


def state_factor(weight: float, optimizer: str, key: str) -> float:
    """The factor of an entry of optimizer state when its tensor is multiplied by `weight`; as `Move.state`."""
    power = state_power(optimizer, key)
    if power is None:
        known = ", ".join(state_entries())
        raise UserError(f"do not know how the optimizer state {key!r} follows the gradient", f"known are {known}")
    return float(weight**-power)


def move_of(old: Scales, new: Scales, names: Sequence[str]) -> Move:
    """The factors that take the tensor of these names from the formulation of `old` to that of `new`.

    Raises:
        UserError: one plan does not know the tensor, or the plans are for different models, widths or optimizers.
    """
    check_pair(old, new)
    before, after = old.entry(names), new.entry(names)
    if before is None or after is None:
        raise missing("it has no entry for these parameters", list(names[:1]))
    return Move(_weight(old, before, after), before.optimizer or old.optimizer)


def _weight(plan: Scales, before: Entry, after: Entry) -> float:
    return plan.scale(after.gauge - before.gauge, after.depth.gauge - before.depth.gauge)


def check_pair(old: Scales, new: Scales) -> None:
    """Raise UserError unless the two plans differ in nothing but their formulation."""
    for what in ("width_name", "base_width", "width", "depth_name", "base_depth", "depth", "optimizer", "tuned"):
        before, after = getattr(old, what), getattr(new, what)
        if before != after:
            raise UserError(
                f"these plans differ in more than their formulation: {what} is {before} here and {after} there",
                "make both with the same muaudit convert command, --formulation apart",
            )


def move_(old: Scales, new: Scales, model: nn.Module, optimizer: Any) -> nn.Module:
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
    plan: Scales

    @property
    def move(self) -> Move:
        return Move(_weight(self.plan, self.old, self.new), self.plan.optimizer)

    @property
    def settings(self) -> tuple[float, float, float]:
        """Factors of learning rate, weight decay and eps."""
        ours = zip(self.new.exponents[1:], self.new.depth.exponents[1:], strict=True)
        theirs = zip(self.old.exponents[1:], self.old.depth.exponents[1:], strict=True)
        pairs = zip(ours, theirs, strict=True)
        lr, decay, eps = (self.plan.scale(after[0] - before[0], after[1] - before[1]) for after, before in pairs)
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


def _check_applied(old: Scales, model: nn.Module) -> None:
    mark = applied(model)
    if mark is None and old.hooks:
        raise UserError(
            "this plan has not been applied to the model: its multipliers are not installed",
            "load the trained weights and call plan.install_hooks(model) before moving it",
        )
    if mark is not None and mark[:1] != (old.formulation,):
        raise UserError(f"the model is in the formulation {mark[0]}, the plan in {old.formulation}")
