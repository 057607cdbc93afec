"""Schedulers stepped on copies: what they do to the groups of an optimizer, without doing it."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import UserError
from ..optimizers.several import parts
from ..targets.schedulers import advanced, name_of
from ..targets.usercode import guarded

Groups = Sequence[Mapping[str, Any]]
Seen = TypeVar("Seen")


def bare_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizers that step, without what Accelerate, Lightning and others wrap around them."""
    found: list[torch.optim.Optimizer] = []
    for part in parts(optimizer):
        inner = getattr(part, "optimizer", None)
        found += bare_optimizers(inner) if hasattr(inner, "param_groups") and inner is not part else [part]
    return found


def bare_scheduler(scheduler: Any) -> Any:
    """The scheduler in Lightning's settings or Accelerate's wrapper; a list for several."""
    if isinstance(scheduler, (list, tuple)):
        return [bare_scheduler(each) for each in scheduler]
    if isinstance(scheduler, Mapping):
        return bare_scheduler(scheduler.get("scheduler", scheduler.get("lr_scheduler")))
    inner = getattr(scheduler, "scheduler", None)
    return bare_scheduler(inner) if inner is not None and hasattr(inner, "step") else scheduler


def walked(
    scheduler: Any, optimizers: Sequence[torch.optim.Optimizer], model: nn.Module, read: Callable[[Groups], Seen]
) -> list[tuple[int, Seen]]:
    """What `read` makes of the groups of all optimizers at every step of a scheduler, from where it stands to its end.

    A copy of it steps copies of the groups. What a function without a copy writes into the groups is set back.

    Raises:
        UserError: the scheduler cannot be copied or stepped, or steps other optimizers.
    """
    groups = [group for each in optimizers for group in each.param_groups]
    before, values = [dict(group) for group in groups], [_copy_of(group) for group in groups]
    stand_ins = {id(each): _stand_in(each) for each in optimizers}
    moving = [group for each in stand_ins.values() for group in each.param_groups]
    seen: list[tuple[int, Seen]] = []
    try:
        with warnings.catch_warnings(), guarded("the scheduler"):
            warnings.simplefilter("ignore")  # torch asks for optimizer.step() first; nothing is trained here
            twin = _copied(scheduler, {**{id(each): each for each in _kept(scheduler, model)}, **stand_ins})
            _check_steps_these(twin, list(stand_ins.values()))
            for step in advanced([twin]):
                itself = any(map(_differs, groups, values))
                seen.append((step, read(groups if itself else moving)))
    finally:
        for group, held, copies in zip(groups, before, values, strict=True):
            _set_back(group, held, copies)
    return seen


def _copy_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """With tensors of its own: a rate that is a tensor is written in place."""
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in group.items()}


def _differs(group: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return any(key != "params" and bool(group.get(key) != value) for key, value in before.items())


def _set_back(group: dict[str, Any], before: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    group.update(before)
    for key, value in before.items():
        if isinstance(value, torch.Tensor):
            value.copy_(values[key])


def _stand_in(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer with groups of its own over the same parameters, and without state."""
    made = object.__new__(type(optimizer))
    made.__dict__.update(optimizer.__dict__)
    made.param_groups = [_copy_of(group) for group in optimizer.param_groups]
    made.state = defaultdict(dict)
    return made


def _kept(scheduler: Any, model: nn.Module) -> Iterator[Any]:
    """What a scheduler's copy shares with it: the model, and the owners of its functions of the step."""
    yield model
    yield from model.parameters()
    for each in scheduler if isinstance(scheduler, (list, tuple)) else [scheduler]:
        owners = (getattr(function, "__self__", None) for function in getattr(each, "lr_lambdas", ()))
        yield from (owner for owner in owners if owner is not None and owner is not each)


def _copied(scheduler: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(scheduler, memo)
    except (TypeError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{name_of(scheduler)} cannot be copied, and so not be tried: {error}",
            "verify without it, and plan.watch(optimizer) tells when the rates leave the plan",
        ) from error


def _check_steps_these(scheduler: Any, stand_ins: Sequence[torch.optim.Optimizer]) -> None:
    """Raise UserError where a scheduler was made for another optimizer than those that are verified."""
    for each in scheduler if isinstance(scheduler, (list, tuple)) else [scheduler]:
        held = list(getattr(each, "__dict__", {}).values())
        held += [inner for value in held if isinstance(value, (list, tuple)) for inner in value]
        for owner in bare_optimizers(held):
            if hasattr(owner, "param_groups") and not any(owner is stand_in for stand_in in stand_ins):
                raise UserError(
                    f"{name_of(each)} steps another optimizer than the one that is verified",
                    "make the scheduler of the optimizer that trains",
                )
