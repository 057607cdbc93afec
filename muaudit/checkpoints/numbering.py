"""Which parameter each number of an optimizer's state dict stands for.

Optimizers number their parameters group by group. Names come from the groups where the optimizer was given named
parameters, else from an order that they may have been given in: that of the plan's groups, that of the groups of the
target's own optimizer as the plan refines them, or that of `model.parameters()`. Every shape confirms it, and where two
orders fit, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..optimizers.several import parts
from ..plan.plan import Plan
from ..targets.skeleton import Skeleton, unwrapped


@dataclass(frozen=True)
class UsersGroup:
    """A group as the user made it, before a plan split it: its name, if any, and its parameters' names in order."""

    title: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Numbering:
    """From the keys of a state dict to names, each the first of its parameter's; and the groups they came in.

    own: these are the groups of the target's own optimizer.
    """

    names: Mapping[Any, str]
    bases: tuple[UsersGroup, ...]
    own: bool = False


def numbering(path: Path, model: Skeleton, plan: Plan, state: Mapping[str, Any]) -> Numbering:
    """The numbering of an optimizer over the groups of `plan`.

    Raises:
        UserError: no order fits, or more than one.
    """
    keys = [key for group in state["param_groups"] for key in group["params"]]
    fitting: list[Numbering] = []
    for order, bases, own in _orders(model, plan, state["param_groups"]):
        names = dict(zip(keys, order, strict=True)) if len(order) == len(keys) else {}
        fits = len(names) == len(keys) and _fits(model, names, state["state"])
        if fits and not any(names == known.names for known in fitting):
            fitting.append(Numbering(names, bases, own))
    if len(fitting) == 1:
        return fitting[0]
    raise UserError(
        f"{path}: cannot tell which state belongs to which parameter"
        + (f", {len(fitting)} orders have these shapes" if fitting else ""),
        "expected an optimizer over plan.param_groups(model), over plan.refine(model, groups) with the groups of the "
        "target's own\noptimizer, over model.parameters(), or over named parameters: "
        "torch.optim.AdamW(model.named_parameters())",
    )


def _orders(
    model: Skeleton, plan: Plan, groups: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[list[str], tuple[UsersGroup, ...], bool]]:
    """The orders in which the parameters may have been numbered, by names alone where there are; the groups, and
    whether these are the target's own."""
    first = {id(model.by_name[names[0]]): names[0] for names in model.parameters}
    every = (UsersGroup("", tuple(first.values())),)
    keys = [key for group in groups for key in group["params"]]
    said = [name for group in groups for name in group.get("param_names", ())]
    if len(said) == len(keys) or all(isinstance(key, str) for key in keys):
        yield [_known(model, name) for name in (said if len(said) == len(keys) else keys)], every, False
        return
    sizes = [len(group["params"]) for group in groups]
    for optimizer in plan.optimizers or (plan.optimizer,):
        made = plan.param_groups(model.model, lr=1.0, optimizer=optimizer)
        if [len(group["params"]) for group in made] == sizes:
            yield [first[id(parameter)] for group in made for parameter in group["params"]], every, False
    for own in _own_groups(model):
        made = plan.refine(model.model, own)
        if [len(group["params"]) for group in made] == sizes:
            bases = (UsersGroup(str(g.get("name", "")), tuple(first[id(p)] for p in g["params"])) for g in own)
            yield [first[id(parameter)] for group in made for parameter in group["params"]], tuple(bases), True
    if len(sizes) == 1:
        yield [name for name, parameter in model.model.named_parameters() if parameter.requires_grad], every, False


def _own_groups(model: Skeleton) -> Iterator[list[dict[str, Any]]]:
    """The groups of the target's own optimizers, where it can make them for this model."""
    with suppress(UserError):
        for part in parts(model.optimizer()):
            yield part.param_groups


def _known(model: Skeleton, name: str) -> str:
    """The model's name for what a state dict calls so, wrappers' prefixes left out; empty where there is none."""
    pieces = unwrapped(name).split(".")
    tails = (".".join(pieces[cut:]) for cut in range(len(pieces)))
    return next((model.names[tail][0] for tail in tails if tail in model.names), "")


def _fits(model: Skeleton, names: Mapping[Any, str], state: Mapping[Any, Mapping[str, Any]]) -> bool:
    """Every name is a parameter's, and its state has that one's shape, or one of its shape's sums."""
    if not all(name in model.shapes for name in names.values()) or len(set(names.values())) < len(names):
        return False
    if not all(key in names for key in state):
        return False
    for key, values in state.items():
        whole = [v for v in values.values() if isinstance(v, torch.Tensor) and v.dim() and v.numel() > 1]
        shape, found = model.shapes[names[key]], [tuple(value.shape) for value in whole]
        if whole and shape not in found and not all(_along(each, shape) for each in found):
            return False
    return True


def _along(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether these are a tensor's dims with some of them summed over, as Adafactor keeps them."""
    return len(found) == len(shape) and all(size in (1, own) for size, own in zip(found, shape, strict=True))
