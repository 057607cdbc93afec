"""What is trained."""

from __future__ import annotations

from collections.abc import Mapping

from ..expression import Expr
from ..values import Value
from .meaning import NOTHING, Equations, Flow, Meaning, Size


class Loss(Meaning):
    words = "loss: outputs must stay of size 1"
    is_weight = False
    settles = True

    def equation(self, v: Value, to: Equations) -> Expr | None:
        for arg in v.args:
            to.pin(arg, v)
        return Expr()

    def forward(self, v: Value, flow: Flow) -> Size:
        xs = [flow.sizes[a] for a in v.args] or [NOTHING]
        return Size(max(0.0, *(x.init for x in xs)), max(x.update for x in xs), max(x.capped for x in xs))

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        """The loss is a mean over entries."""
        return gradient - v.args[position].size
