"""A function of single entries with a scale of its own."""

from __future__ import annotations

from collections.abc import Mapping

from ..expression import Expr
from ..operands import source_role
from ..use import Reading
from ..values import Value
from .meaning import Equations, Flow, Meaning, Size


class Act(Meaning):
    words = "nonlinearity: its argument must stay of size 1"
    settles = True

    def equation(self, v: Value, to: Equations) -> Expr | None:
        to.pin(v.args[0], v)
        return Expr()

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        """A weight that the function made: its argument has the function's scale, where nothing is summed."""
        if how.e_in != 0:
            return super().used(x, how, to)
        inner = to.used(x.args[0], Reading(how.at, 0.0, x.size, source_role(x.args[0], x)))
        to.equal(inner, Expr(), how.at)
        return Expr()

    def forward(self, v: Value, flow: Flow) -> Size:
        """Degree `low` for small arguments, `c` for large ones; a bounded function saturates."""
        x = flow.sizes[v.args[0]]
        if x.init > 0:
            init = x.init * v.c
            return Size(init, x.update if v.c else min(x.update, 0.0), x.capped if v.c else min(x.capped, 0.0))
        init = x.init * v.low if v.low else 0.0
        return Size(init, x.update, x.capped if v.c else min(x.capped, 0.0))

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        """Far out, a bounded function is flat."""
        x = sizes[v.args[position]]
        return gradient - x.init if v.c == 0 and x.init > 0 else gradient
