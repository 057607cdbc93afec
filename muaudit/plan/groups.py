"""Optimizer parameter groups from a plan: few, named, with the scale that schedulers must keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..errors import UserError
from ..optimizers import member
from .apply import match
from .scales import Entry, Scales


def param_groups(
    plan: Scales,
    model: nn.Module,
    *,
    lr: float | None,
    weight_decay: float | None,
    eps: float | None,
    optimizer: str | None,
) -> list[dict[str, Any]]:
    """All parameters that train (with this optimizer), merged by equal scales. What is None is as it was tuned."""
    name, tuned = _chosen(plan, optimizer), dict(plan.tuned)
    rate = tuned.get("lr") if lr is None else lr
    if rate is None:
        raise UserError("param_groups needs lr, the learning rate tuned at the base width", "muaudit tune finds one")
    decay = tuned.get("weight_decay", 0.0) if weight_decay is None else weight_decay
    group: dict[str, Any] = {"lr": rate, "weight_decay": decay, **momenta(plan, tuned)}
    chosen = tuned.get("eps", own_eps(plan, name)) if eps is None else eps
    if chosen is not None:
        group["eps"] = chosen
    own = {id(parameter): entry for parameter, entry in match(plan, model) if entry.optimizer in ("", name)}
    trained = [p for p in model.parameters() if p.requires_grad and id(p) in own]
    kept = [p for p in trained if not own[id(p)].decays]
    groups = [{**group, "params": [p for p in trained if own[id(p)].decays]}]
    groups += [{**group, "params": kept, "weight_decay": 0.0, "name": "no decay"}] if kept else []
    return refine(plan, model, groups)


def momenta(plan: Scales, tuned: Mapping[str, float]) -> dict[str, Any]:
    """Momenta that were tuned; of two, the other is the target's own, else Adam's."""
    found: dict[str, Any] = {"momentum": tuned["momentum"]} if "momentum" in tuned else {}
    if "beta1" in tuned or "beta2" in tuned:
        own = plan.made_for.settings.get("betas") if plan.made_for is not None else None
        first, second = own or (0.9, 0.999)
        found["betas"] = (tuned.get("beta1", first), tuned.get("beta2", second))
    return found


def own_eps(plan: Scales, optimizer: str) -> float | None:
    """The target's own where it has one, else the optimizer's default; None for one without."""
    own = plan.made_for.settings.get("eps") if plan.made_for is not None and not plan.optimizers else None
    return default_eps(optimizer) if own is None else float(own)


def _chosen(plan: Scales, optimizer: str | None) -> str:
    """The optimizer whose groups are asked for. Raises UserError for none of the plan's."""
    names = plan.optimizers or (plan.optimizer,)
    if optimizer is None and len(names) > 1:
        raise UserError(
            f"this plan is for several ways to train, {' and '.join(names)}: whose groups are these?",
            f'param_groups(model, optimizer="{names[0]}", lr=...) are those of one; refine(model, groups) splits all',
        )
    name = names[0] if optimizer is None else optimizer.lower()
    if name not in names:
        raise UserError(f"this plan is not for the optimizer {optimizer!r}", f"it is for {' and '.join(names)}")
    return name


def default_eps(optimizer: str) -> float | None:
    """The eps of an optimizer where none is given; None for one without."""
    return member(optimizer).eps


def refine(plan: Scales, model: nn.Module, groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each of the user's groups, split where scales differ."""
    entries = {id(parameter): entry for parameter, entry in match(plan, model)}
    given = [{**group, "params": listed(group["params"])} for group in groups]
    _check_known(given, entries)
    out: list[dict[str, Any]] = []
    for group in given:
        members: dict[tuple[float, float, float], list[nn.Parameter]] = {}
        roles: dict[tuple[float, float, float], dict[str, None]] = {}
        for parameter in group["params"]:
            entry = entries[id(parameter)]
            key = plan.scales_of(entry)[1:]
            members.setdefault(key, []).append(parameter)
            roles.setdefault(key, {}).update(dict.fromkeys(entry.roles))
        for key, parameters in members.items():
            out.append(_group(group, key, parameters, roles[key]))
    return out


def listed(params: Any) -> list[nn.Parameter]:
    """The parameters of a group as torch takes them: one, several, or (name, parameter) pairs."""
    found = [params] if isinstance(params, nn.Parameter) else list(params)
    return [each[1] if isinstance(each, tuple) else each for each in found]


def _check_known(groups: Iterable[Mapping[str, Any]], entries: Mapping[int, Entry]) -> None:
    for number, group in enumerate(groups):
        strange = sum(id(parameter) not in entries for parameter in group["params"])
        if strange:
            raise UserError(
                f"group {number} has {strange} parameters that are not the model's",
                "make the groups from the same model, after anything that replaces its parameters (wrappers, .to())",
            )
        if "lr" not in group:
            raise UserError(f"group {number} has no lr to scale", "give every group the lr tuned at the base width")


def _group(
    group: Mapping[str, Any], scales: tuple[float, float, float], parameters: list[nn.Parameter], roles: Iterable[str]
) -> dict[str, Any]:
    lr, decay, eps = scales
    kept = {key: value for key, value in group.items() if key != "param_names"}  # torch's list for the group as it was
    made = {**kept, "params": parameters, "lr": group["lr"] * lr, "lr_scale": lr}
    if "weight_decay" in group:
        made["weight_decay"] = group["weight_decay"] * decay
    if "eps" in group and not isinstance(group["eps"], (tuple, list)):  # Adafactor's two are no sizes of gradients
        made["eps"] = group["eps"] * eps
    name = "+".join(roles) + (f" lr×{lr:.4g}" if lr != 1.0 else "")
    made["name"] = f"{group['name']} {name}" if "name" in group else name
    return made
