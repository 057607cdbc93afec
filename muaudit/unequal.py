"""A further probe in which every width argument grows at a ratio of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from .capture.recorder import Recording, record
from .scaling import optimizers
from .scaling.derive import Scaling, derive
from .scaling.result import Discrepancy
from .targets.probe import Target, WidthAxis
from .targets.usercode import attempt, seed_torch

_FACTORS = (1.5, 1.25, 1.75)  # on top of the common ratio, by secondary width


def unequal_growth(
    target: Target, narrow: nn.Module, recording: Recording, seed: int, scaling: Scaling, readout_bound: float
) -> list[Discrepancy]:
    """What is wrong only when widths grow at ratios of their own, of a model that is right while they grow alike.

    Nothing where there is one width, where they grow at different ratios already, where something is wrong anyway, or
    where the model cannot be built at such sizes. An argument that is no size of any tensor is a multiplier such as
    width / base_width: it keeps its ratio to the first width.
    """
    axes = target.axes
    ratios = [axis.probes[1] / axis.probes[0] for axis in axes]
    if len(axes) < 2 or max(ratios) - min(ratios) > 1e-9 or scaling.discrepancies or scaling.ideal.unknown:
        return []
    try:
        with attempt():
            own = [axis for axis in axes[1:] if _resizes(target, narrow, axis, seed)]
            if not own:
                return []
            sizes = _sizes(axes, own)
            unlike = [sizes[axis.name] / axis.probes[0] for axis in axes]
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


def _resizes(target: Target, narrow: nn.Module, axis: WidthAxis, seed: int) -> bool:
    """Whether some parameter has another shape when this argument alone grows, as far as it can grow alone."""
    try:
        grown = target.build(target.sizes(0) | {axis.name: axis.probes[1]}, seed)
    except Exception:
        return True
    shapes = [[each.shape for each in model.parameters()] for model in (narrow, grown)]
    return shapes[0] != shapes[1]


def _sizes(axes: Sequence[WidthAxis], own: Sequence[WidthAxis]) -> dict[str, int]:
    sizes = {axis.name: axis.probes[1] for axis in axes}
    for place, axis in enumerate(own):
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
