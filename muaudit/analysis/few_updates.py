"""Gradients after a few updates, where those of the first step say nothing: behind something that starts at zero.

µP advises such readouts (TP5, arXiv 2203.03466, App. D.2), and then nothing behind them has a gradient until the
readout has moved, or that of an auxiliary loss alone. A fresh model of the first probe takes a few updates of the size
that its optimizer's learning rates give: signs of the gradient, or the gradient itself under SGD. No user's optimizer
is stepped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from ..entries import entries
from ..findings.discrepancy import Discrepancy
from ..findings.names import pattern_of
from ..judge.edits import Judged
from ..optimizers.trained import Trained
from ..program.values import ZERO
from ..targets.usercode import attempt, seed_torch
from ..thresholds import UPDATES
from ..trace.inits import Init
from .analyse import Analysis

_RATE = 1e-3  # where a group's is 0


def late_gradients(known: Analysis, seed: int, always: bool = False) -> dict[str, float]:
    """Root mean squares after the last update, by name.

    Nothing where no weight and no gradient is zero at first, unless `always`, or where the model does not run again.
    """
    first, scaling = known.scaling.aligned.narrow.grad_rms, known.scaling
    silent = any(first.get(name) == 0.0 for name in scaling.trained)
    if not always and not silent and not any(_starts_at_zero(j, scaling.inits) for j in scaling.judged):
        return {}
    try:
        with attempt():
            return _trained(known, seed)
    except Exception:  # the user's code, run once more often than it was known to run
        return {}


def _starts_at_zero(j: Judged, inits: Mapping[str, Init]) -> bool:
    """Whether it is a hidden weight or a readout that does: what is in front of it waits for it to move."""
    init = inits.get(j.use.tensor)
    return j.use.role in ("hidden", "output") and init is not None and init.exponent == ZERO


def _trained(known: Analysis, seed: int) -> dict[str, float]:
    target, sizes = known.target, known.target.sizes(0)
    model = target.build(sizes, seed)
    parameters = dict(model.named_parameters())
    for step in range(UPDATES + 1):
        if step:
            _update(parameters, known.scaling.trained)
        inputs = target.inputs(sizes)
        seed_torch(seed)
        model.zero_grad(set_to_none=True)
        target.loss(model(*inputs.args, **inputs.kwargs), inputs).backward()  # type: ignore[no-untyped-call]
    found = {name: parameters[name].grad for name in known.scaling.trained if name in parameters}
    return {name: float(entries(g).double().square().mean().sqrt()) for name, g in found.items() if g is not None}


@torch.no_grad()
def _update(parameters: Mapping[str, nn.Parameter], trained: Mapping[str, Trained]) -> None:
    for name, how in trained.items():
        parameter = parameters.get(name)
        if parameter is not None and parameter.grad is not None and not parameter.grad.is_sparse:
            along = parameter.grad if how.law.gradient else parameter.grad.sign()
            parameter.sub_(along, alpha=how.lr or _RATE)


def dead_paths(known: Analysis, late: Mapping[str, float]) -> list[Discrepancy]:
    """At most one discrepancy: hidden weights and readouts that start at zero and never get a gradient.

    Each is zero because the other is: the product of the two has no gradient in either. Zeros that stand in for values
    which nothing gives are no start.
    """
    stuck = {role: list(_stuck(known, late, role)) for role in ("hidden", "output")}
    if not all(stuck.values()):
        return []
    names = tuple(dict.fromkeys(j.use.tensor for role in ("hidden", "output") for j in stuck[role]))
    op = stuck["hidden"][0].use.value.op
    return [Discrepancy("dead_path", "hidden", names, "", 0.0, 0.0, op.file, op.line, module=op.module)]


def _stuck(known: Analysis, late: Mapping[str, float], role: str) -> Iterable[Judged]:
    without = {pattern for pattern, _ in known.target.missing}
    for j in known.scaling.judged:
        if pattern_of(j.use.tensor) in without:
            continue
        if j.use.role == role and _starts_at_zero(j, known.scaling.inits) and late.get(j.use.tensor) == 0.0:
            yield j
