"""A further probe in which every width argument grows at a ratio of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from .capture.recorder import Recording, record
from .scaling import optimizers
from .scaling.derive import Scaling, derive
from .scaling.result import Discrepancy
from .target.probe import Target, WidthAxis
from .target.usercode import attempt, seed_torch

_FACTORS = (1.5, 1.25, 1.75)  # on top of the common ratio, by secondary width


def unequal_growth(
    target: Target, narrow: nn.Module, recording: Recording, seed: int, scaling: Scaling, readout_bound: float
) -> list[Discrepancy]:
    """What is wrong only when widths grow at ratios of their own, of a model that is right while they grow alike.

    Nothing where there is one width, where they grow at different ratios already, where something is wrong anyway, or
    where the model cannot be built at such sizes.
    """
    axes = target.axes
    ratios = [axis.probes[1] / axis.probes[0] for axis in axes]
    if len(axes) < 2 or max(ratios) - min(ratios) > 1e-9 or scaling.discrepancies or scaling.ideal.unknown:
        return []
    sizes = _sizes(axes)
    unlike = [sizes[axis.name] / axis.probes[0] for axis in axes]
    try:
        with attempt():
            found = _derived(target, narrow, recording, seed, sizes, unlike, readout_bound)
    except Exception:  # sizes that do not go together: head counts that do not divide, fixed inner shapes
        return []
    if found.ideal.unknown or found.ideal.unjudged or found.program.irregular:
        return []
    grown = ", ".join(f"{axis.name} {axis.probes[0]} → {sizes[axis.name]}" for axis in axes)
    return [
        replace(d, aspect="equal_growth", detail=grown, values=(), consequence="")
        for d in found.discrepancies
        if d.aspect in ("init", "lr") and d.tensors
    ]


def _sizes(axes: Sequence[WidthAxis]) -> dict[str, int]:
    first, *others = axes
    sizes = {first.name: first.probes[1]}
    for place, axis in enumerate(others):
        unit = 8 if axis.probes[1] % 8 == 0 else 1
        sizes[axis.name] = round(axis.probes[1] * _FACTORS[place % len(_FACTORS)] / unit) * unit
    return sizes


def _derived(
    target: Target,
    narrow: nn.Module,
    recording: Recording,
    seed: int,
    sizes: dict[str, int],
    ratios: list[float],
    readout_bound: float,
) -> Scaling:
    at = target.sizes(0), sizes
    wide = target.build(sizes, seed)
    inputs = target.inputs(sizes)
    seed_torch(seed)
    other = record(wide, inputs.args, inputs.kwargs, lambda output: target.loss(output, inputs), backward=False)
    models = narrow, wide
    made = target.optimizer(narrow, at[0]), target.optimizer(wide, sizes)
    return derive(
        (recording, other),
        ratios,
        models,
        lambda probe, draw: target.build(at[min(probe, 1)], seed + 1000 + draw),
        optimizers.read(made, models, ratios),
        readout_bound,
    )
