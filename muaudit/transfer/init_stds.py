"""How tensors are initialized at the size that values are carried to: the model's own draw, measured where it is small.

The user's model is built at the smaller of the two sizes, with its own vocabulary and depth, and at twice that to see
how its initialization goes along; a plan's scales act on top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import nn

from ..errors import UserError
from ..plan.plan import Plan
from ..plan.scales import Entry
from ..targets import TargetOptions
from ..targets.at_depth import at_depths, depths_at
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from ..targets.whole import sizes_at, whole

MOST_ELEMENTS = 4e8
"""So many elements are drawn to measure them; a model with more keeps its standard deviations to itself."""
STEP = 0.25
"""Exponents of an initialization are multiples of this."""


def init_stds(
    plan: Plan, target: Target, options: TargetOptions, again: Callable[[TargetOptions], Target]
) -> dict[str, float]:
    """Pattern → rms at the plan's width and depth, scaled as it says; none of a model that is too large to draw, and
    none for tensors whose own draw follows no power."""
    width = min(plan.base_width, plan.width)
    depth = min(plan.base_depth, plan.depth) if plan.depth_name else None
    for full in _wholes(target, options, again):
        try:
            first, wider = _drawn(full, width, depth), _drawn(full, 2 * width, depth)
            deeper = _drawn(full, width, 2 * depth) if depth is not None else None
        except UserError:
            continue
        return _measured(plan, first, ((wider, plan.width / width), (deeper, plan.depth / (depth or plan.depth))))
    return {}


def _wholes(target: Target, options: TargetOptions, again: Callable[[TargetOptions], Target]) -> Iterator[Target]:
    """The user's model, then with one of the arguments as small as it was audited: heads may not divide a width."""
    full, _ = whole(target, options, again)
    if full is not None:
        yield full
    for name in target.cut:
        kept = {key: value for key, value in target.cut.items() if key != name}
        try:
            yield again(replace(options, set={**kept, **options.set}))
        except UserError:
            continue


def _drawn(full: Target, width: int, depth: int | None) -> nn.Module:
    """The model at these sizes. Raises UserError where it cannot be built, or is too large to be."""
    deep = full if depth is None else at_depths(full, depths_at(full, depth))
    if sum(each.numel() for each in skeleton(deep, width).model.parameters()) > MOST_ELEMENTS:
        raise UserError("the model is too large to draw")
    return deep.build(sizes_at(deep, width), 0)


def _measured(plan: Plan, first: nn.Module, larger: tuple[tuple[nn.Module | None, float], ...]) -> dict[str, float]:
    """larger: the model at twice one of its sizes, with the factor by which that grows to the plan's."""
    found = {}
    for entry in plan.entries:
        others = tuple((None if model is None else _rms(entry, model), ratio) for model, ratio in larger)
        own = _own(_rms(entry, first), others)
        if own is not None:
            found[entry.pattern] = own * plan.scales_of(entry)[0]
    return found


def _own(here: float | None, others: tuple[tuple[float | None, float], ...]) -> float | None:
    """What the model draws at sizes so many times larger; None where it follows no power of one of them."""
    if not here:
        return here
    for other, ratio in others:
        if ratio != 1.0 and other is not None:
            exponent = math.log2(other / here) if other else math.inf
            snapped = round(exponent / STEP) * STEP if math.isfinite(exponent) else math.inf
            if abs(exponent - snapped) > STEP / 3 or not math.isfinite(snapped):
                return None
            here *= ratio**snapped
    return here


def _rms(entry: Entry, model: nn.Module) -> float | None:
    """Over all tensors that the entry stands for."""
    squares, count = 0.0, 0
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if entry.matches(name):
            squares += float(torch.sum(parameter.detach().double() ** 2))
            count += parameter.numel()
    return math.sqrt(squares / count) if count else None
