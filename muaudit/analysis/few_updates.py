"""Gradients after a few updates, where those of the first step are zero: behind a readout that starts at zero.

µP advises such readouts (TP5, arXiv 2203.03466, App. D.2), and then nothing behind them has a gradient until the
readout has moved. A fresh model of the first probe takes a few updates of the size that its optimizer's learning rates
give: signs of the gradient, or the gradient itself under SGD. No user's optimizer is stepped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from ..entries import entries
from ..findings.discrepancy import Discrepancy
from ..judge.edits import Judged
from ..optimizers.trained import Trained
from ..program.values import ZERO
from ..targets.usercode import attempt, seed_torch
from ..thresholds import UPDATES
from .analyse import Analysis

_RATE = 1e-3  # where a group's is 0


def late_gradients(known: Analysis, seed: int) -> dict[str, float]:
    """Root mean squares after the last update, of the parameters whose gradient is zero at first; by name.

    Nothing where no gradient is zero at first, or where the model does not run again.
    """
    first = known.scaling.aligned.narrow.grad_rms
    trained = known.scaling.trained
    silent = [name for name in trained if first.get(name) == 0.0]
    if not silent:
        return {}
    try:
        with attempt():
            return _trained(known, seed, silent)
    except Exception:  # the user's code, run once more often than it was known to run
        return {}


def _trained(known: Analysis, seed: int, silent: Iterable[str]) -> dict[str, float]:
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
    found = {name: parameters[name].grad for name in silent if name in parameters}
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

    Each is zero because the other is: the product of the two has no gradient in either.
    """
    stuck = {role: list(_stuck(known, late, role)) for role in ("hidden", "output")}
    if not all(stuck.values()):
        return []
    names = tuple(dict.fromkeys(j.use.tensor for role in ("hidden", "output") for j in stuck[role]))
    op = stuck["hidden"][0].use.value.op
    return [Discrepancy("dead_path", "hidden", names, "", 0.0, 0.0, op.file, op.line, module=op.module)]


def _stuck(known: Analysis, late: Mapping[str, float], role: str) -> Iterable[Judged]:
    for j in known.scaling.judged:
        init = known.scaling.inits.get(j.use.tensor)
        zero = init is not None and init.exponent == ZERO
        if j.use.role == role and zero and late.get(j.use.tensor) == 0.0:
            yield j
