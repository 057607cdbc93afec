"""A value over its own size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size, Wish


class Norm(Meaning):
    words = "divided by its own size: exponent 0, update relative to init"
    sums = True
    is_weight = False
    settles = True

    def equation(self, v: Value, to: Equations) -> Expr | None:
        to.act(v.args[0], v)
        to.wish(Wish.NORM, v.args[0])
        return Expr()

    def forward(self, v: Value, flow: Flow) -> Size:
        """Only the relative change survives."""
        x = flow.sizes[v.args[0]]
        if x.init == ZERO:
            return Size(0.0, 0.0, 0.0)
        own = {n: e - x.init for n, e in x.own.items()}
        return Size(0.0, x.update - x.init, min(x.capped - x.init, 0.0), own)

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        """It divides the gradient by the scale that it removes."""
        x = sizes[v.args[position]]
        return gradient - (x.init if x.init != ZERO else 0.0)

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return 0.0
