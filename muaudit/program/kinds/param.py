"""A parameter."""

from __future__ import annotations

from ..expression import Expr
from ..use import Reading
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size


class Param(Meaning):
    words = "parameter: measured init, optimizer's step"

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        return to.use(x, how)

    def forward(self, v: Value, flow: Flow) -> Size:
        init = flow.inits.get(v.name)
        s = ZERO if init is None else init.raw if init.exponent is None else init.exponent
        step = flow.steps.get(v.name, ZERO)
        return Size(s, step, step)
