"""A target as a plan turns it: what `--plan` makes check and coord-check judge."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..optimizers.declared import declare_alike
from ..optimizers.several import name_of, parts
from ..targets.at_depth import at_depths, depths_at
from ..targets.carried import carry, snapshot
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from .apply import match
from .made_for import own_settings
from .plan import Plan

_LR = 1e-3


def planned(target: Target, plan: Plan, *, compared: bool = True) -> Target:
    """`target` with the plan applied at every width it is built at, and trained with the plan's groups.

    compared: whether the target is held against what the plan was made for; not where it was before and its
        optimizer's settings are being varied.

    Raises:
        UserError: the plan is for another width argument or another model.
    """
    axis = target.axes[0].name
    if plan.width_name != axis:
        raise UserError(f"this plan goes by the width {plan.width_name!r}, the target by {axis!r}")
    blocks: dict[str, int] = {}
    if plan.depth_name:
        blocks = _blocks(target, plan)
        target = at_depths(target, blocks)

    if compared:
        refuse_other_target(target, plan)
    plan = _for_audits(plan)

    def at(sizes: Mapping[str, int]) -> Plan:
        return plan.at(sizes[axis], {**blocks, **sizes}[plan.depth_name] if blocks else None)

    def build(sizes: Mapping[str, int], seed: int) -> nn.Module:
        return at(sizes).apply_(target.build(sizes, seed))

    def optimizer(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        own = target.optimizer(model, sizes)
        before = snapshot(own)
        made = _rebuilt(own, at(sizes), model)
        carry(own, before, made, model)
        declare_alike(own, made)
        return made

    return replace(
        target, build=build, optimizer=optimizer, optimizer_name=plan.optimizer, optimizer_source="the plan's groups"
    )


def _blocks(target: Target, plan: Plan) -> dict[str, int]:
    """The numbers of blocks that the target is built with where none are asked for."""
    known = [each.name for each in target.depths]
    if plan.depth_name not in known[:1]:
        of = f"the target by {known[0]!r}" if known else "the target has none that is known"
        raise UserError(f"this plan goes by the depth {plan.depth_name!r}, {of}",
                        f"--depth {plan.depth_name}=2,4 names it")  # fmt: skip
    return depths_at(target, target.depths[0].probes[0])


def refuse_other_target(target: Target, plan: Plan) -> None:
    """Raise UserError where a target's model has other heads or blocks, or its optimizer other settings."""
    if plan.made_for is None:
        return
    sizes = target.sizes(0)
    model = target.build(sizes, 0)
    width = sizes[target.axes[0].name]
    depth = target.depths[0].probes[0] if plan.depth_name else 1
    over = depth if plan.depth_name else None
    if target.own is None and (target.cut or len(target.axes) > 1):
        plan.made_for.refuse_other(model, width, target.cut, depth)
    elif target.own is None:
        match(plan.at(width, over), model)
    elif target.axes[0].default is not None:
        width = target.axes[0].default
        match(plan.at(width, over), skeleton(replace(target, build=target.own.build), width).model)
    own, known = own_settings(target.optimizer(model, sizes), target.filled), plan.made_for.settings
    tuned = {"betas" if name.startswith("beta") else name for name, _ in plan.tuned}
    common = (own.keys() & known.keys()) - {"weight_decay", *tuned}  # which is tuned, as the learning rate is
    differing = [name for name in common if own[name] != known[name]]
    if differing and name_of(target.optimizer(model, sizes)) == plan.optimizer:
        rows = "\n".join(f"  {name} is {own[name]}, it was {known[name]}" for name in sorted(differing))
        raise UserError(f"this plan was made for other settings of the optimizer:\n{rows}", "convert again")


def _for_audits(plan: Plan) -> Plan:
    """For models that are smaller than what it was made for, and are initialized anew each time."""
    return replace(plan, made_for=None, entries=tuple(replace(entry, start=None) for entry in plan.entries))


def _rebuilt(own: torch.optim.Optimizer, plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer over the plan's groups, of the target's own class where that is the plan's."""
    if plan.optimizers:
        return _split(own, plan, model)
    settings: dict[str, Any] = dict(own.defaults)
    same = type(own).__name__.lower() == plan.optimizer
    cls: Callable[..., torch.optim.Optimizer] = type(own) if same else _class(plan.optimizer)
    lr, decay, eps = settings.get("lr") or _LR, _decay(own), settings.get("eps")
    groups = _scaled_already(
        plan.param_groups(model, lr=float(lr), weight_decay=decay, eps=eps if isinstance(eps, float) else None)
    )
    known = inspect.signature(cls).parameters
    for group in groups:
        for key in ("weight_decay", "eps"):
            if key not in known:
                group.pop(key, None)
    kept = {key: value for key, value in settings.items() if key in known} if same else {}
    made = cls([dict(group) for group in groups], **{**kept, "lr": lr})
    wanted = {parameter: group for group in groups for parameter in group["params"]}
    for group in made.param_groups:  # classes that scale by width themselves have done so again
        plans = wanted[group["params"][0]]
        group.update({key: plans[key] for key in ("lr", "weight_decay", "eps") if key in plans})
    return made


def _decay(own: torch.optim.Optimizer) -> float:
    """The weight decay that the target's own groups have where they have any, rather than its class's default: of
    several, which follow the width, the smallest."""
    found = {float(group.get("weight_decay") or 0.0) for group in own.param_groups}
    default = float(own.defaults.get("weight_decay") or 0.0)
    return default if default in found or not any(found) else min(found - {0.0})


def _split(own: torch.optim.Optimizer, plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
    """The target's own optimizers, each group refined: only they know which method trains what."""
    if name_of(own) != plan.optimizer:
        raise UserError(f"this plan is for {plan.optimizer}, the target trains with {name_of(own)}")
    for part in parts(own):
        tuned = [{**group, "lr": part.defaults.get("lr", group["lr"])} for group in part.param_groups]
        part.param_groups[:] = _scaled_already(plan.refine(model, tuned))
    return own


def _scaled_already(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without `lr_scale`, which says nothing more and could be taken for a factor that `lr` still lacks."""
    return [{key: value for key, value in group.items() if key != "lr_scale"} for group in groups]


def _class(name: str) -> Callable[..., torch.optim.Optimizer]:
    for attribute in dir(torch.optim):
        if attribute.lower() == name:
            found: Callable[..., torch.optim.Optimizer] = getattr(torch.optim, attribute)
            return found
    raise UserError(f"torch has no optimizer {name!r}, which this plan is for")
