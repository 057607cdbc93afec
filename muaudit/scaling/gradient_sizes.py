"""Sizes of gradients at a given width: the transposed rules of `predict`, with numbers.

Only how much a gradient grows from one width to another is read off, so constant factors are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..program.lower import Program
from ..program.values import ZERO, Value


def gradient_sizes(
    program: Program, inits: Mapping[Value, float], rows: Callable[[Value, Value], float], ratio: float
) -> dict[str, float]:
    """By parameter, up to a constant. inits: root mean squares of all values at this width.

    rows(factor, contraction): how many vectors a factor of a contraction holds there.
    """
    loss = program.aligned.narrow.loss
    start = program.of.get(loss) if loss is not None else None
    first = start[0] if isinstance(start, tuple) else start
    squares: dict[Value, float] = {first: 1.0} if first is not None else {}
    for value in reversed(program.values):
        g = math.sqrt(squares.get(value, 0.0))
        for position, arg in enumerate(value.args if g else ()):
            if arg.kind != "data":
                passed = g * _through(value, position, inits, rows, ratio)
                squares[arg] = squares.get(arg, 0.0) + passed**2
    return {v.name: math.sqrt(squares.get(v, 0.0)) for v in program.values if v.kind == "param"}


def _through(
    v: Value, position: int, inits: Mapping[Value, float], rows: Callable[[Value, Value], float], ratio: float
) -> float:
    """What a gradient of 1 becomes on its way back to one argument."""

    def grown(exponent: float) -> float:
        return 0.0 if exponent == ZERO else float(ratio**exponent)

    arg = v.args[position]
    x = inits[arg]
    spread = grown(max(0.0, v.size - arg.size)) if v.kind in ("mul", "join", "view", "scale") else 1.0
    if v.kind == "scale":
        return spread * v.factor * grown(v.c)
    if v.kind == "view":
        return spread * grown(v.back)
    if v.kind == "contract":
        other = v.args[1 - position]
        return inits[other] * math.sqrt(rows(other, v))
    if v.kind == "mul":
        return spread * inits[v.args[1 - position]]
    if v.kind == "power":
        return float(x ** (v.c - 1)) if x else 1.0
    if v.kind == "reduce":
        return grown(-v.e) if v.mean else 1.0
    if v.kind == "norm":
        return 1 / x if x else 1.0
    if v.kind == "softmax":
        return inits[v] if "log" not in v.op.name else 1.0
    if v.kind == "act":
        return _slope(v, x, inits[v])
    if v.kind == "loss":
        return grown(-arg.size)
    return spread


def _slope(v: Value, x: float, size: float) -> float:
    """Of a nonlinearity: smooth rectifiers are flat where they start, exponentials as steep as they are large."""
    if v.low:
        far = x**2 / (1 + x**2)
        return math.sqrt(0.25 + 0.25 * far) if v.c else 1 / math.hypot(1.0, x)
    if v.c:
        return -math.expm1(-size)
    return min(1.0, size) if "exp" in v.op.name else 0.25 / math.hypot(1.0, x)
