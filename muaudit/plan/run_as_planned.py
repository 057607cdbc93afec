"""Whether a training run is set up as a plan says: every parameter in one group, and the settings of all groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..findings.names import listed_names
from ..findings.power import number
from ..optimizers import known, named
from ..targets.schedulers import name_of, untold
from ..thresholds import SAME_SETTING
from .apply import Multiplier, match, modules_of
from .attention_scale import LogitScale
from .dry_walk import bare_optimizers, bare_scheduler, walked
from .patterns import plain_name
from .ratios import Deviation, Held, HeldSetting, deviations, held, settings_of
from .scales import Scales

_MOST_ROWS = 20
_PEAKS = frozenset({"initial_lr", "max_lr"})  # what schedulers of torch write into groups


@dataclass(frozen=True)
class RunAsPlanned:
    """What was found to be as the plan says. steps: of the scheduler that were looked at, 0 without one."""

    parameters: int
    groups: int
    scheduler: str
    steps: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        along = f", and at {self.steps} steps of {self.scheduler}" if self.scheduler else ""
        said = "".join(f"\n  {note}" for note in self.notes)
        return f"as planned: {self.parameters} parameters in {self.groups} groups{along}{said}"


def verify(
    plan: Scales, model: nn.Module, optimizer: Any, scheduler: Any, own: Iterable[Mapping[str, Any]] | None
) -> RunAsPlanned:
    """Raises UserError with the list of what is not as the plan says."""
    optimizers, scheduler = bare_optimizers(optimizer), bare_scheduler(scheduler)
    groups = [group for each in optimizers for group in each.param_groups]
    settings = settings_of(plan, model, groups, None if own is None else list(own))
    wrong = [*_multipliers(plan, model), *_membership(plan, model, optimizers)]
    wrong += _other_settings(plan, groups)
    now = deviations(settings, held(groups))
    wrong += [f"{name}: {found.in_words()}" for found in now for name in _names(found)]
    noted = walked(scheduler, optimizers, model, held) if scheduler is not None and not wrong else []
    wrong += _later(noted, settings, name_of(scheduler))
    if wrong:
        shown = "\n".join(f"  {row}" for row in wrong[:_MOST_ROWS])
        more = f"\n  and {len(wrong) - _MOST_ROWS} more" if len(wrong) > _MOST_ROWS else ""
        of = plan.sizes
        raise UserError(f"this is not trained as the plan says, {of}:\n{shown}{more}", _hint(now, own))
    count = len({name for setting in settings for name in setting.parameters})
    notes = [*_notes(plan, optimizers, unseen=scheduler is None), *_alone(settings, groups)]
    if noted and untold(scheduler, noted[-1][0]):
        notes.append(f"of a schedule that goes on after step {noted[-1][0]}, nothing is known there: plan.watch tells")
    return RunAsPlanned(count, len(groups), name_of(scheduler), len(noted), tuple(notes))


def _hint(found: Sequence[Deviation], own: Any) -> str:
    if any(each.setting.name != "lr" for each in found):
        return "what a group leaves to the optimizer's default is not scaled: give plan.refine groups that say it"
    if found and own is None:
        return "where rates differ at the base width already, verify(..., groups=) takes those groups, as plan.refine"
    return ""


def _names(found: Deviation) -> list[str]:
    return listed_names(found.setting.parameters)


def _multipliers(plan: Scales, model: nn.Module) -> Iterator[str]:
    """Forward multipliers of the plan that the model does not have."""
    for module, hook in modules_of(plan, model):
        hooks = module._forward_pre_hooks if hook.on == "input" else module._forward_hooks
        held_by = [getattr(each, "__self__", None) for each in hooks.values()]
        if hook.on == "attention":
            scales = [each.scale for each in held_by if isinstance(each, LogitScale)]
        else:
            scales = [each.scale for each in held_by if isinstance(each, Multiplier) and each.part == hook.part]
        if scales != [plan.multiplier(hook)]:
            found = f"has × {', '.join(map(number, scales))}" if scales else "is not there"
            yield f"the multiplier × {number(plan.multiplier(hook))} on the {hook.on} of {hook.module} {found}"


def _membership(plan: Scales, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[str]:
    """Parameters in no group, in several, with the wrong optimizer; and groups over something else."""
    names = {id(p): plain_name(name) for name, p in model.named_parameters()}
    holders: dict[int, list[torch.optim.Optimizer]] = {}
    strange = 0
    for each in optimizers:
        for parameter in (p for group in each.param_groups for p in group["params"]):
            holders.setdefault(id(parameter), []).append(each)
            strange += id(parameter) not in names
    trained = {id(p): entry for p, entry in match(plan, model) if p.requires_grad}
    lost = [names[key] for key in trained if key not in holders]
    yield from (f"{name} is in no param group" for name in listed_names(lost))
    twice = [names[key] for key, found in holders.items() if len(found) > 1 and key in names]
    yield from (f"{name} is in several param groups" for name in listed_names(twice))
    if strange:
        yield f"{strange} parameters of the optimizer are not the model's: groups were made before it was wrapped"
    split = set(plan.optimizers) == set(plan.optimizer.split("+"))
    for cls in dict.fromkeys(type(each) for each in optimizers):
        mine = [each for each in optimizers if type(each) is cls]
        asked = {entry.optimizer if split and entry.optimizer else plan.optimizer: names[key]
                 for key, entry in trained.items() if holders.get(key) and holders[key][0] in mine}  # fmt: skip
        for wanted, name in asked.items():
            if _unlike(mine[0], wanted):
                yield f"{name} and others are trained by {cls.__name__}, the plan is for {wanted}"


def _other_settings(plan: Scales, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that are not those of the target's own optimizer, each once."""
    if plan.made_for is None or plan.optimizers:
        return []
    return list(dict.fromkeys(row for group in groups for row in plan.made_for.other_settings(group)))


def _unlike(optimizer: torch.optim.Optimizer, wanted: str) -> bool:
    """Whether an optimizer is known to step otherwise than the plan's, or to decay weights otherwise."""
    found, meant = known(optimizer), named(wanted)
    if found is None or meant is None:
        return False
    return (found[0].name, found[1].decoupled) != (meant[0].name, meant[1].decoupled)


def _later(noted: Sequence[tuple[int, Held]], settings: Sequence[HeldSetting], scheduler: str) -> list[str]:
    """What leaves the plan along a schedule, each once with its first step."""
    peak = max((group.get("lr", 0.0) for _, groups in noted for group in groups), default=0.0)
    first: dict[tuple[str, str], str] = {}
    for step, groups in noted:
        for found in deviations(settings, groups, peak):
            for name in _names(found):
                row = f"{name}: {found.in_words()} from step {step} of {scheduler} on"
                first.setdefault((found.setting.name, name), row)
    return list(first.values())


def _notes(plan: Scales, optimizers: Sequence[torch.optim.Optimizer], unseen: bool) -> Iterator[str]:
    """What could not be said, and what is likely meant otherwise. unseen: whether no scheduler was given."""
    groups = [group for each in optimizers for group in each.param_groups]
    for name in dict.fromkeys(type(each).__name__ for each in optimizers if known(each) is None):
        if name.lower() not in plan.optimizer.split("+"):
            yield f"{name} is not known: that it steps as {plan.optimizer} does is taken for granted"
    if unseen and all(float(group["lr"]) == 0.0 for group in groups):
        yield "every learning rate is 0 now: nothing was seen of them without the scheduler"
    for each in optimizers:
        own, scaled = each.defaults.get("lr"), [group for group in each.param_groups if group.get("lr_scale")]
        if any(not _PEAKS & group.keys() for group in scaled) and (each.state or not unseen):
            continue  # whatever writes the rates may be anywhere on its way
        tuned = [_tuned(group) for group in scaled]
        if own and tuned and not any(abs(lr - own) <= SAME_SETTING * own for lr in tuned):
            made = f"{type(each).__name__}(groups, lr=LR)"
            yield f"the optimizer's own lr, which some schedulers read, is {number(own)}: {made} gives it the tuned one"


def _alone(settings: Sequence[HeldSetting], groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where all that trains is scaled alike, the rates are held against nothing."""
    rates = [setting for setting in settings if setting.name == "lr"]
    if len({setting.factor for setting in rates}) == 1 and rates[0].scale != 1.0:
        lr, scale = float(groups[rates[0].group]["lr"]), rates[0].scale
        yield f"all that trains has lr × {number(scale)}: right where {number(lr / scale)} was tuned at the base width"


def _tuned(group: Mapping[str, Any]) -> float:
    """A group's learning rate at the base width, before any scheduler; a cycle's is its peak."""
    return float(group.get("max_lr", group.get("initial_lr", group["lr"])) / group["lr_scale"])
