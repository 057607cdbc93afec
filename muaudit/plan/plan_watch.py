"""A look at an optimizer's groups before each of its steps: whether their settings still are what a plan says."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], known: Mapping[int, Sequence[HeldSetting]]) -> None:
        self._optimizers, self._known = optimizers, known
        self._said: set[str] = set()
        self._steps = 0
        self._form, self._settings = _form(optimizers), _settings(optimizers, known)[0]
        for earlier in _watching(optimizers):
            if {*map(id, earlier._optimizers)} <= {*map(id, optimizers)} and earlier._known.keys() & known.keys():
                earlier.remove()
        self._handles = [each.register_step_pre_hook(self._before_step) for each in optimizers]

    def remove(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if optimizer is self._optimizers[0]:
            self._steps += 1
        if optimizer is self._optimizers[-1]:
            self._look()

    def _look(self) -> None:
        rows: dict[str, str] = {}
        if (form := _form(self._optimizers)) != self._form:  # groups came, went or changed places
            self._form = form
            self._settings, untold = _settings(self._optimizers, self._known)
            rows = {name: f"  {name}: nothing says what the plan scales it by" for name in untold}
        groups = held(group for each in self._optimizers for group in each.param_groups)
        for found in deviations(self._settings, groups):
            for name in listed_names(found.setting.parameters):
                rows[f"{found.setting.name} {name}"] = f"  {name}: {found.in_words()}"
        fresh = [row for key, row in rows.items() if key not in self._said]
        self._said.update(rows)
        if fresh:
            text = f"step {self._steps} is not what the plan says:\n" + "\n".join(fresh)
            warnings.warn(text, PlanWarning, stacklevel=2)


def _watching(optimizers: Sequence[torch.optim.Optimizer]) -> list[PlanWatch]:
    """Those that look at these already."""
    hooks = [hook for each in optimizers for hook in each._optimizer_step_pre_hooks.values()]
    owners = {id(owner): owner for owner in (getattr(hook, "__self__", None) for hook in hooks)}
    return [owner for owner in owners.values() if isinstance(owner, PlanWatch)]


def watch(plan: Scales, optimizer: Any, model: nn.Module | None, own: Iterable[Mapping[str, Any]] | None) -> PlanWatch:
    """Looks before every step. Raises UserError where nothing says what groups are scaled by."""
    optimizers = bare_optimizers(optimizer)
    given = list(own or ())
    if model is not None:
        alone = [{"params": [parameter]} for parameter in model.parameters()]
        known: dict[int, list[HeldSetting]] = {id(group["params"][0]): [] for group in alone}
        for setting in settings_of(plan, model, alone, None if own is None else given):
            known[id(alone[setting.group]["params"][0])].append(setting)
        return PlanWatch(optimizers, known)
    if _settings(optimizers, {})[1]:
        raise UserError(
            "the groups do not say what the plan scales them by", "give the model too: plan.watch(optimizer, model)"
        )
    base = {id(parameter): float(group.get("lr", 1.0)) for group in given for parameter in listed(group["params"])}
    return PlanWatch(optimizers, _as_grouped(optimizers, base))


def _form(optimizers: Sequence[torch.optim.Optimizer]) -> list[tuple[int, int]]:
    """What tells one division into groups from another, without looking at every parameter."""
    divided = [group["params"] for each in optimizers for group in each.param_groups]
    return [(len(parameters), id(parameters[0]) if parameters else 0) for parameters in divided]


def _as_grouped(
    optimizers: Sequence[torch.optim.Optimizer], base: Mapping[int, float]
) -> dict[int, Sequence[HeldSetting]]:
    """Learning rates alone, by the `lr_scale` that plans write into their groups. base: rates of the base width."""
    known: dict[int, Sequence[HeldSetting]] = {}
    for setting, parameters in _by_group(optimizers):
        for parameter in parameters:
            factor = setting.factor * base.get(id(parameter), 1.0)
            known[id(parameter)] = [replace(setting, factor=factor)]
    return known


def _by_group(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[HeldSetting, list[nn.Parameter]]]:
    place = 0
    for number, each in enumerate(optimizers):
        for group in each.param_groups:
            if "lr_scale" in group:
                scale, name = float(group["lr_scale"]), group.get("name", f"group {place}")
                yield HeldSetting("lr", place, str(number), scale, scale, (name,)), group["params"]
            place += 1


def _settings(
    optimizers: Sequence[torch.optim.Optimizer], known: Mapping[int, Sequence[HeldSetting]]
) -> tuple[list[HeldSetting], list[str]]:
    """What the groups, as they are, must hold; and the names of those that nothing is known of.

    A parameter that is not known (flattened, added) goes by what its group says.
    """
    said = {setting.group: setting for setting, _ in _by_group(optimizers)}
    members: dict[HeldSetting, dict[str, None]] = {}
    untold: list[str] = []
    for place, group in enumerate(group for each in optimizers for group in each.param_groups):
        for parameter in group["params"]:
            settings = known.get(id(parameter)) or ([said[place]] if place in said else [])
            for setting in settings:
                key = replace(setting, group=place, parameters=())
                members.setdefault(key, {}).update(dict.fromkeys(setting.parameters))
            if not settings:
                untold.append(group.get("name", f"group {place}"))
    return [replace(key, parameters=tuple(names)) for key, names in members.items()], list(dict.fromkeys(untold))
