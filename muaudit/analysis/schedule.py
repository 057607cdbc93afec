"""Learning rates as training will see them: whether their width exponents survive the scheduler.

A schedule multiplies learning rates by a factor of the step. One that writes a learning rate of its own (an absolute
one, a shared floor) instead, or drops a factor that only the group's `lr_scale` held, makes groups equal that µP needs
apart. So the exponent of every parameter's learning rate is read at every noted step and must stay what it was.
Without a scheduler, a factor that a group holds and nothing multiplies by is taken to be the training loop's, and that
is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..findings.discrepancy import Discrepancy
from ..findings.names import fold
from ..optimizers.trained import Trained, trained_by
from ..targets.schedulers import Walk, groups_of
from ..thresholds import TOLERANCE
from .schedule_shape import other_shapes

if TYPE_CHECKING:
    from torch import nn

EVERYWHERE, FLOOR, WARMUP, SCALE_UNUSED = "everywhere", "floor", "warm-up", "lr_scale"


def scheduled(
    walk: Walk, optimizers: tuple[Any, Any], models: tuple[nn.Module, nn.Module], ratios: Sequence[float]
) -> tuple[dict[str, Trained], list[Discrepancy]]:
    """The settings that training will see, and at most one discrepancy: what the scheduler lost of them, or left out.

    Where all groups were built with one learning rate and the scheduler is what sets them apart, its largest
    learning rates are what counts.
    """
    built = trained_by(optimizers, models, ratios)
    owners = _owners(optimizers[0], models[0]), _owners(optimizers[1], models[1])
    steps = {step: _exponents(rates, owners, built, ratios) for step, rates in walk.rates.items()}
    steps = {step: found for step, found in steps.items() if found}
    if not steps:
        return built, []
    peak = _peak(walk, steps)
    if len(_distinct(built[name].lr_exponent for name in built)) <= 1 < len(_distinct(steps[peak].values())):
        return _at(walk, peak, optimizers, models, ratios), other_shapes(walk, owners)
    lost = _lost(built, steps)
    if lost:
        return built, [_discrepancy(walk, built, steps, lost, owners, optimizers)]
    return built, other_shapes(walk, owners)


def assumed_factors(trained: Mapping[str, Trained], file: str | None, line: int | None) -> list[Discrepancy]:
    """At most one discrepancy: what was judged as if a factor counted that nothing which was seen multiplies by."""
    names = [name for name, how in trained.items() if how.factors.key and how.raw_lr_exponent]
    if not names:
        return []
    first = trained[names[0]]
    meant, pattern = round(first.raw_lr_exponent, 3), fold(names) if len(names) < 2 else ""
    return [Discrepancy("group_factor", None, tuple(names), pattern, 0.0, meant, file, line,
                        optimizer=first.optimizer, detail=first.factors.key)]  # fmt: skip


def _peak(walk: Walk, steps: Mapping[int, object]) -> int:
    return max(steps, key=lambda step: sum(walk.rates[step][1]))


def _owners(optimizer: Any, model: nn.Module) -> dict[str, int]:
    """The number of the param group that holds each parameter."""
    numbers = {id(p): index for index, group in enumerate(groups_of(optimizer)) for p in group["params"]}
    return {name: numbers[id(p)] for name, p in model.named_parameters() if id(p) in numbers}


def _exponents(
    rates: tuple[tuple[float, ...], ...],
    owners: tuple[dict[str, int], dict[str, int]],
    built: Mapping[str, Trained],
    ratios: Sequence[float],
) -> dict[str, float]:
    unit = math.log(ratios[0])
    out: dict[str, float] = {}
    for name, group in owners[0].items():
        other = owners[1].get(name)
        if other is None or name not in built:
            continue
        used = built[name].factors.used  # what the step itself multiplies by
        narrow, wide = rates[0][group] * used[0], rates[1][other] * used[1]
        if narrow > 0 and wide > 0:
            out[name] = math.log(wide / narrow) / unit
    return out


def _distinct(exponents: Any) -> set[float]:
    return {round(each, 2) + 0.0 for each in exponents if each is not None}


def _lost(built: Mapping[str, Trained], steps: Mapping[int, Mapping[str, float]]) -> dict[int, list[str]]:
    """For every step at which some parameter's exponent is not what the optimizer had: the parameters."""
    out: dict[int, list[str]] = {}
    for step, found in steps.items():
        names = [name for name, e in found.items() if _off(built.get(name), e) > TOLERANCE]
        if names:
            out[step] = names
    return out


def _off(trained: Trained | None, exponent: float) -> float:
    return abs(exponent - trained.raw_lr_exponent) if trained else 0.0


def _discrepancy(
    walk: Walk, built: Mapping[str, Trained], steps: Mapping[int, Mapping[str, float]], lost: Mapping[int, list[str]],
    owners: tuple[dict[str, int], dict[str, int]], optimizers: tuple[Any, Any],
) -> Discrepancy:  # fmt: skip
    worst = max(lost, key=lambda step: (max(_off(built[n], steps[step][n]) for n in lost[step]), len(lost[step])))
    names = [name for name in built if name in set(lost[worst])]
    first = max(names, key=lambda name: _off(built[name], steps[worst][name]))
    rates = walk.rates[worst][0][owners[0][first]], walk.rates[worst][1][owners[1][first]]
    return Discrepancy(
        "schedule", None, tuple(names), fold(names) if len(names) < 2 else "",
        round(steps[worst][first], 3) + 0.0, round(built[first].raw_lr_exponent, 3) + 0.0, walk.file, walk.line,
        optimizer=walk.name, detail=_kind(lost, steps, _peak(walk, steps), built), values=(float(worst), *rates),
    )  # fmt: skip


def _kind(lost: Mapping[int, object], steps: Mapping[int, object], peak: int, built: Mapping[str, Trained]) -> str:
    """When it is lost: where learning rates are largest, only at the end, or only at the start."""
    order = sorted(steps)
    if peak in lost:
        return SCALE_UNUSED if any(each.factors.key for each in built.values()) else EVERYWHERE
    return FLOOR if order[-1] in lost else WARMUP if order[0] in lost else EVERYWHERE


def _at(
    walk: Walk, step: int, optimizers: tuple[Any, Any], models: tuple[nn.Module, nn.Module], ratios: Sequence[float]
) -> dict[str, Trained]:
    """The settings with the learning rates of that step; the optimizers stay as they are."""
    kept = [[group["lr"] for group in groups_of(each)] for each in optimizers]
    try:
        for each, rates in zip(optimizers, walk.rates[step], strict=True):
            for group, rate in zip(groups_of(each), rates, strict=True):
                group["lr"] = rate
        return trained_by(optimizers, models, ratios)
    finally:
        for each, olds in zip(optimizers, kept, strict=True):
            for group, old in zip(groups_of(each), olds, strict=True):
                group["lr"] = old
