"""A further probe in which every width argument grows at a ratio of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ..analysis import Analysis, Probes, analyse
from ..analysis.probes import Probe
from ..findings.discrepancy import Discrepancy
from ..targets.probe import Target, WidthAxis
from ..targets.usercode import attempt

_FACTORS = (1.5, 1.25, 1.75)  # on top of the common ratio, by secondary width


def unequal_growth(known: Analysis, seed: int, readout_bound: float) -> list[Discrepancy]:
    """What is wrong only when widths grow at ratios of their own, of a model that is right while they grow alike.

    Nothing where there is one width, where they grow at different ratios already, where something is wrong anyway, or
    where the model cannot be built at such sizes. An argument that is no size of any tensor is a multiplier such as
    width / base_width: it keeps its ratio to the first width.
    """
    target, axes, scaling = known.target, known.target.axes, known.scaling
    if len(axes) < 2 or max(known.ratios) - min(known.ratios) > 1e-9 or scaling.discrepancies or scaling.ideal.unknown:
        return []
    try:
        with attempt():
            own = [axis for axis in axes[1:] if _resizes(target, known.models[0], axis, seed)]
            if not own:
                return []
            sizes = _sizes(axes, own)
            grown = tuple(replace(axis, probes=(axis.probes[0], sizes[axis.name])) for axis in axes)
            unlike = replace(target, axes=grown)
            narrow = Probe(target.sizes(0), known.models[0], known.recordings[0])
            probes = Probes(unlike, seed, {0: narrow})
            found = analyse(unlike, readout_bound=readout_bound, seed=seed, probes=probes)
    except Exception:  # sizes that do not go together: head counts that do not divide, fixed inner shapes
        return []
    if found.scaling.ideal.unknown or found.scaling.ideal.unjudged or found.scaling.program.irregular:
        return []
    if found.target is not unlike:  # other code runs at these sizes
        return []
    in_words = ", ".join(f"{axis.name} {axis.probes[0]} → {axis.probes[1]}" for axis in grown)
    return [
        replace(d, aspect="equal_growth", detail=in_words, values=(), consequence="")
        for d in found.scaling.discrepancies
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
