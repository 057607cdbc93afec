"""A homogeneous elementwise function: f(t·x) = tᵖ·f(x) for t > 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..use import Reading
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size, Wish


class Power(Meaning):
    words = "homogeneous of degree p: exponent × p"
    settles = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        x = v.args[0]
        phi = to.act(x, v)
        if v.c == 1.0:
            to.wish(Wish.HOMOGENEOUS, x)
        return None if phi is None else phi * v.c

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        """Entries of one sign, and what is not summed, are of this power; how random others still are is not known."""
        if x.c <= 0 or (x.signed and how.e_in != 0):
            return super().used(x, how, to)
        return to.used(x.args[0], Reading(how.at, 0.0, x.size, how.role)) * x.c

    def forward(self, v: Value, flow: Flow) -> Size:
        x, p = flow.sizes[v.args[0]], v.c
        if x.init == ZERO:
            return Size(ZERO, x.update * p, x.capped * p) if p > 0 else Size(0.0, 0.0, 0.0)
        init = x.init * p
        capped = x.capped - x.init
        capped = capped * max(p, 1.0) if capped > 0 and p > 0 else min(capped, 0.0) if p < 0 else capped
        return Size(init, init + x.update - x.init, init + capped, x.own if p == 1 else {})

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        x = sizes[v.args[position]]
        return gradient + (v.c - 1) * x.init if x.init != ZERO else gradient

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return None if degrees[0] is None else round(degrees[0] * v.c, 6)

    def start(self, v: Value, inner: float) -> float | None:
        return inner * v.c if math.isfinite(v.c) else None
