"""Optimizer settings other than the learning rate over depth: weight decay, and Adam's eps inside of branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..findings.discrepancy import Aspect, Discrepancy
from ..optimizers.trained import Trained
from ..thresholds import TOLERANCE
from .edits import Judged
from .together import merged


def settings_over_depth(
    judged: Sequence[Judged],
    trained: Mapping[str, Trained],
    gradients: Mapping[str, float],
    growth: float,
    margin: float,
) -> list[Discrepancy]:
    """lr·wd is to stay; eps is to fall with the gradients of a branch (L^-α of what they are without its factor).

    gradients: their rms at the first probe. growth: of the number of blocks from there to the model that is meant.
    margin: by how much eps must stay below the gradient there, where it does not fall along.
    """
    first = {j.use.tensor: j for j in reversed(judged) if j.use.tensor}
    right = not any(j.aspects for j in judged)  # else gradients are what the mistake makes of them
    groups: dict[tuple[Aspect, float, float], list[Discrepancy]] = {}
    for name, j in first.items():
        how = trained.get(name)
        for d in _found(name, j, how, gradients.get(name, 0.0) if right else 0.0, growth, margin) if how else ():
            groups.setdefault((d.aspect, round(d.found, 3), round(d.expected, 3)), []).append(d)
    return [_with_values(merged(group), group) for group in groups.values()]


def _with_values(d: Discrepancy, group: Sequence[Discrepancy]) -> Discrepancy:
    """The largest eps, or decay, and the smallest gradient, or decay, of a group."""
    return replace(d, values=(max(each.values[0] for each in group), min(each.values[1] for each in group)))


def _found(name: str, j: Judged, how: Trained, gradient: float, growth: float, margin: float) -> list[Discrepancy]:
    op, out = j.use.value.op, []
    if how.decoupled and any(how.weight_decay) and abs(how.decay_exponent or 0.0) > TOLERANCE:
        out.append(Discrepancy(
            "depth_decay", None, (name,), name, how.decay_exponent or 0.0, 0.0, op.file, op.line,
            optimizer=how.family, module=op.module, values=how.weight_decay,
        ))  # fmt: skip
    slope = how.eps_exponent or 0.0
    if how.entrywise and gradient and how.eps[0] and slope > j.gradient + TOLERANCE:
        at_target = gradient * growth ** min(j.gradient, 0.0)
        if how.eps[0] * growth**slope >= at_target / margin:
            out.append(Discrepancy(
                "depth_eps", None, (name,), name, slope, j.gradient, op.file, op.line, optimizer=how.family,
                module=op.module, values=(how.eps[0], at_target),
            ))  # fmt: skip
    return out
