"""Optimizer parameter groups from a plan: few, named, with the scale that schedulers must keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from .apply import match
from .plan import Entry, Plan

_EPS = {"adamw": 1e-8, "adam": 1e-8, "nadam": 1e-8, "radam": 1e-8, "adamax": 1e-8, "rmsprop": 1e-8, "adagrad": 1e-10}


def param_groups(
    plan: Plan, model: nn.Module, *, lr: float, weight_decay: float, eps: float | None
) -> list[dict[str, Any]]:
    """All parameters that train, merged by equal scales."""
    group: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
    chosen = default_eps(plan.optimizer) if eps is None else eps
    if chosen is not None:
        group["eps"] = chosen
    group["params"] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return refine(plan, model, [group])


def default_eps(optimizer: str) -> float | None:
    """The eps of an optimizer where none is given; None for one without."""
    return _EPS.get(optimizer)


def refine(plan: Plan, model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each of the user's groups, split where scales differ."""
    entries = {id(parameter): entry for parameter, entry in match(plan, model)}
    out: list[dict[str, Any]] = []
    for group in groups:
        members: dict[tuple[float, float, float], list[nn.Parameter]] = {}
        roles: dict[tuple[float, float, float], dict[str, None]] = {}
        for parameter in group["params"]:
            entry = entries[id(parameter)]
            key = _scales(plan, entry)
            members.setdefault(key, []).append(parameter)
            roles.setdefault(key, {}).update(dict.fromkeys(entry.roles))
        for key, parameters in members.items():
            out.append(_group(group, key, parameters, roles[key]))
    return out


def _scales(plan: Plan, entry: Entry) -> tuple[float, float, float]:
    return plan.scale(entry.lr), plan.scale(entry.weight_decay), plan.scale(entry.eps)


def _group(
    group: Mapping[str, Any], scales: tuple[float, float, float], parameters: list[nn.Parameter], roles: Iterable[str]
) -> dict[str, Any]:
    lr, decay, eps = scales
    made = {**group, "params": parameters, "lr": group["lr"] * lr, "lr_scale": lr}
    if "weight_decay" in group:
        made["weight_decay"] = group["weight_decay"] * decay
    if "eps" in group:
        made["eps"] = group["eps"] * eps
    name = "+".join(roles) + (f" lr×{lr:.4g}" if lr != 1.0 else "")
    made["name"] = f"{group['name']} {name}" if "name" in group else name
    return made
