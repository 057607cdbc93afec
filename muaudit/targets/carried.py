"""A scheduler that came with an optimizer, made to schedule the rates that are to be trained with.

It was made for the groups and rates of the optimizer that it came with. Where these change (a sweep's rates, the groups
of a plan), what it keeps group by group is taken from the group that held the same parameters, and what it started
from follows the new rates. What it writes by itself (a floor, a maximum) stays: a user who changes the groups alone
would get just that.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from muaudit.optimizers.several import parts
from muaudit.targets.returned import SCHEDULER

_OF_GROUPS = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")  # torch's schedulers write them there


def scheduler_of(optimizer: Any) -> Any:
    """The scheduler that came with an optimizer, starting from its present rates; None without one."""
    scheduler = getattr(optimizer, SCHEDULER, None)
    if scheduler is not None:
        _rebase(scheduler, optimizer.param_groups)
    return scheduler


Groups = Sequence[Sequence[Mapping[str, Any]]]
"""The param groups of every optimizer of several, in order."""


def snapshot(optimizer: Any) -> Groups:
    """The groups as they are, for `carry` once they are others."""
    return [[{**group, "params": list(group["params"])} for group in part.param_groups] for part in parts(optimizer)]


def carry(own: Any, before: Groups, made: Any, model: nn.Module) -> None:
    """Give `made`, which trains the same model, the scheduler that came with `own`, whose groups were `before`."""
    scheduler = getattr(own, SCHEDULER, None)
    if scheduler is None:
        return
    if made is not own:
        scheduler = copy.deepcopy(scheduler, {id(own): made, id(model): model} | _themselves(before))
    setattr(made, SCHEDULER, scheduler)
    for part, groups in zip(parts(made), before, strict=True):
        origin = [_origin(group, groups) for group in part.param_groups]
        for group, index in zip(part.param_groups, origin, strict=True):
            group.update({key: groups[index][key] for key in _OF_GROUPS if key in groups[index]})
        for each in _all(scheduler):
            if getattr(each, "optimizer", made) in (part, made):
                _reindex(each, len(groups), origin)


def _reindex(scheduler: Any, count: int, origin: Sequence[int]) -> None:
    """Lists with an entry a group get an entry for each of the new ones, that of the group it came from."""
    for key, value in vars(scheduler).items():
        if isinstance(value, list) and len(value) == count:
            setattr(scheduler, key, [value[index] for index in origin])


def _origin(group: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> int:
    """The number of the old group that held a group's first parameter; the first for one that none held."""
    wanted = id(group["params"][0]) if group["params"] else 0
    return next((i for i, old in enumerate(before) if any(id(p) == wanted for p in old["params"])), 0)


def _themselves(groups: Groups) -> dict[int, Any]:
    return {id(parameter): parameter for part in groups for group in part for parameter in group["params"]}


def _all(scheduler: Any) -> Iterable[Any]:
    """The schedulers in what was returned, those inside of others included."""
    if isinstance(scheduler, Mapping):
        scheduler = scheduler.get("scheduler")
    for part in scheduler if isinstance(scheduler, (list, tuple)) else [scheduler]:
        if isinstance(part, Mapping):
            yield from _all(part)
        elif part is not None:
            yield part
            yield from _all(getattr(part, "_schedulers", ()))


def _rebase(scheduler: Any, groups: Sequence[dict[str, Any]]) -> None:
    """Let every part start from the groups' rates, in the ratio in which it started from what they were."""
    scales = [group["lr"] / group["initial_lr"] if group.get("initial_lr") else 1.0 for group in groups]
    for part in _all(scheduler):
        own = getattr(getattr(part, "optimizer", None), "param_groups", groups)
        numbers = [next((i for i, each in enumerate(groups) if each is group), None) for group in own]
        bases = getattr(part, "base_lrs", None)
        if isinstance(bases, list) and len(bases) == len(numbers):
            part.base_lrs = [b if n is None else b * scales[n] for b, n in zip(bases, numbers, strict=True)]
    for group in groups:
        if "initial_lr" in group:
            group["initial_lr"] = group["lr"]
