"""The symbolic coordinate check: exponents of every value at initialization, of its change, and of its gradient.

Unlike `uses`, nothing is idealised here: an upstream mistake is carried downstream, as it would be in training.
The rules stand with the kinds of value (`program.kinds`): TP5 App. J (arXiv 2203.03466), the central limit theorem for
sums of independent terms, the law of large numbers for correlated ones. `update` is the linear response, what a small
learning rate shows: first order in the change. `capped` is the change at a usual learning rate: products of changes
count, normalisation and bounded functions cap it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..optimizers.trained import Trained
from ..program.kinds import meaning
from ..program.kinds.meaning import Flow, Size
from ..program.lower import Program
from ..program.operands import leaf
from ..program.values import ZERO, Value
from ..trace.inits import Init


@dataclass(frozen=True)
class Prediction:
    """Sizes by value, exponents of the gradients of parameters by name."""

    sizes: Mapping[Value, Size]
    param_gradients: Mapping[str, float]


def predict(program: Program, inits: Mapping[str, Init], trained: Mapping[str, Trained]) -> Prediction:
    """Propagate until learning rates, sizes and gradients agree (SGD steps depend on gradients, these on steps)."""
    dims = {v.name: v.dims for v in program.values if v.kind == "param"}
    steps: dict[str, float] = {n: _step(t, inits.get(n), ZERO, dims.get(n, ())) for n, t in trained.items()}
    sgd = {name for name, t in trained.items() if t.law.gradient}
    gradients: Mapping[Value, float] = {}
    tied = _tied(program)
    for _ in range(4):
        flow = Flow(inits, steps, gradients, sgd, tied, apart=_apart(program, Flow(inits, steps, gradients, sgd, tied)))
        for value in program.values:
            flow.sizes[value] = meaning(value).forward(value, flow)
        sizes = flow.sizes
        old, (gradients, by_param) = gradients, _gradients(program, sizes)
        new = {n: _step(t, inits.get(n), by_param.get(n, ZERO), dims.get(n, ())) for n, t in trained.items()}
        if new == steps and gradients == old:
            break
        steps = new
    return Prediction(sizes, by_param)


def _apart(program: Program, flow: Flow) -> Mapping[Value, Size]:
    """Sizes inside the branches of a stack of blocks, as if what they read did not change."""
    if program.stack is None:
        return {}
    for value in program.values:
        size = meaning(value).forward(value, flow)
        still = not value.weight and value not in program.inside
        flow.sizes[value] = Size(size.init, ZERO, ZERO) if still else size
    return flow.sizes


def _step(trained: Trained, init: Init | None, gradient: float, dims: Sequence[float]) -> float:
    """Exponent of the change of an entry in one step."""
    measured = trained.raw_lr_exponent if trained.lr else ZERO
    lr = measured if trained.lr_exponent is None else trained.lr_exponent
    size = init.exponent if init is not None and init.exponent not in (None, ZERO) else 0.0
    return trained.law.step(lr, gradient, float(size or 0.0), dims, trained.factor(dims))


def _gradients(program: Program, sizes: Mapping[Value, Size]) -> tuple[dict[Value, float], dict[str, float]]:
    """One pass in reverse: exponents of dLoss/dentry, by the transposed rules; of every value, and of parameters."""
    gradients: dict[Value, float] = {}
    loss = program.value_of(program.aligned.narrow.loss) if program.aligned.narrow.loss is not None else None
    if loss is not None:
        gradients[loss] = 0.0
    for value in reversed(program.values):
        g, kind = gradients.get(value, ZERO), meaning(value)
        if g == ZERO:
            continue
        for position, arg in enumerate(value.args):
            if arg.kind != "data":
                spread = max(0.0, value.size - arg.size) if kind.repeats else 0.0
                passed = kind.backward(value, position, g, sizes) + spread
                gradients[arg] = max(gradients.get(arg, ZERO), passed)
    return gradients, {v.name: g for v, g in gradients.items() if v.kind == "param"}


def _tied(program: Program) -> set[str]:
    """Parameters that are both looked up and contracted."""
    looked_up = {v.args[0].name for v in program.values if v.kind == "lookup" and v.args[0].kind == "param"}
    contracted = {leaf(a).name for v in program.values if v.kind == "contract" for a in v.args if a.weight}
    return looked_up & contracted
