"""A target with its hyperparameters turned by hand: what one training run starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import UserError
from ..plan.plan import Plan
from ..plan.planned import planned
from ..targets.probe import Target
from ..training.beforehand import sizes_at
from .forward import Places, install, set_rates
from .knobs import KNOBS
from .split_groups import split_off
from .tasks.data_and_loss import SweepTask
from .trainings import variant_name

DEFAULT_DECAYED = 2
"""Where nothing decays of its own, weight decay goes to tensors of so many dims and more."""


@dataclass(frozen=True)
class SweepVariant:
    """One thing to sweep: `name` for the results file, `title` for people.

    plan: how the target is converted, None for the target as it is. places: where forward multipliers go. along: how a
    target is seen along what is swept, its numbers of blocks in place of its widths; `target` is seen so, `source` not.
    schedule: of its learning rate, where several are compared.
    """

    name: str
    title: str
    target: Target
    task: SweepTask
    plan: Plan | None = None
    places: Callable[[], Places] | None = None
    along: Callable[[Target], Target] = lambda target: target
    source: Target | None = None
    schedule: str = ""

    def called(self, name: str, schedule: str | None = None) -> SweepVariant:
        """The same under another name, its schedule behind that. schedule: another one, None for its own."""
        own = self.schedule if schedule is None else schedule
        return replace(self, name=variant_name(name, own), schedule=own)

    def make(
        self,
        width: int,
        hp: Mapping[str, float],
        seed: int,
        move: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model and its optimizer with these hyperparameters, as tuned at the narrowest width.

        move: brings the model to its device before the optimizer is made.

        Raises:
            UserError: the target cannot be built at this width, or has no such hyperparameter.
        """
        sizes = sizes_at(self.target, width)
        tuned = self._tuned(hp)
        model = move(tuned.build(sizes, seed))
        if hp.get("init", 1.0) != 1.0:
            _scale_matrices(model, hp["init"])
        if forward := _at(hp, "forward"):
            install(model, self._placed(), forward)
        optimizer = tuned.optimizer(model, sizes)
        if rates := _at(hp, "rate"):
            set_rates(optimizer, model, self._placed(), rates)
        return model, optimizer

    def _placed(self) -> Places:
        assert self.places is not None, "hyperparameters of some layers need the audit's places"
        return self.places()

    def _tuned(self, hp: Mapping[str, float]) -> Target:
        """The target with an optimizer of these settings, then converted; with those that its plan was tuned to."""
        own = self.source or self.target
        if self.plan is not None:
            hp = {**{name: value for name, value in self.plan.tuned if name != "lr"}, **hp}
        largest = reference(self.target)

        def optimizer(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
            return tune(own.optimizer(model, sizes), hp, largest)

        tuned = replace(own, optimizer=optimizer)
        return self.along(tuned if self.plan is None else planned(tuned, self.plan, compared=False))


def tune(
    optimizer: torch.optim.Optimizer, hp: Mapping[str, float], reference: Mapping[str, float]
) -> torch.optim.Optimizer:
    """Set hyperparameters; where groups differ in one, they keep their ratio.

    reference: the largest value of each setting over the groups at the narrowest width, which `hp` replaces.

    Raises:
        UserError: the optimizer has no such setting.
    """
    for name, value in hp.items():
        if KNOBS[name].where != "optimizer":
            continue
        if name in ("beta1", "beta2"):
            _set_beta(optimizer, int(name[-1]) - 1, value)
            continue
        if name not in optimizer.defaults and not any(name in group for group in optimizer.param_groups):
            raise UserError(f"{type(optimizer).__name__} has no {name}", "sweep another hyperparameter")
        old = reference.get(name, 0.0)
        for group in optimizer.param_groups:
            if old > 0:
                group[name] = group[name] * (value / old)
            elif name != "weight_decay" or all(p.dim() >= DEFAULT_DECAYED for p in group["params"]):
                group[name] = value
        if name == "weight_decay" and old <= 0:
            _decay_matrices(optimizer, value)
        optimizer.defaults[name] = value
    return optimizer


def reference(target: Target) -> dict[str, float]:
    """The largest value of every numeric setting at the narrowest probe."""
    cached: dict[str, float] | None = _REFERENCES.get(id(target))
    if cached is not None:
        return cached
    sizes = target.sizes(0)
    groups = target.optimizer(target.build(sizes, 0), sizes).param_groups
    found: dict[str, float] = {}
    for group in groups:
        for name, value in group.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[name] = max(found.get(name, 0.0), float(value))
    if found.get("lr", 0.0) <= 0:
        raise UserError("the optimizer's learning rates are zero, so they cannot be swept")
    _REFERENCES[id(target)] = found
    _KEPT.append(target)
    return found


_REFERENCES: dict[int, dict[str, float]] = {}
_KEPT: list[Target] = []  # an id is good as long as its object lives


def _set_beta(optimizer: torch.optim.Optimizer, place: int, value: float) -> None:
    if "betas" not in optimizer.defaults:
        raise UserError(f"{type(optimizer).__name__} has no betas", "sweep another hyperparameter")
    for group in (*optimizer.param_groups, optimizer.defaults):
        betas = list(group["betas"])
        betas[place] = value
        group["betas"] = tuple(betas)


def _decay_matrices(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Split groups that hold matrices and vectors: only the matrices decay."""
    for group in list(optimizer.param_groups):
        matrices = [id(p) for p in group["params"] if p.dim() >= DEFAULT_DECAYED]
        if (own := split_off(optimizer, group, matrices)) is not None:
            own["weight_decay"] = value


def _at(hp: Mapping[str, float], where: str) -> dict[str, float]:
    return {name: value for name, value in hp.items() if KNOBS[name].where == where}


def _scale_matrices(model: nn.Module, factor: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= DEFAULT_DECAYED:
                parameter.mul_(factor)
