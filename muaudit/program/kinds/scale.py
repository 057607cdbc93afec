"""A value times a constant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..operands import axis_below
from ..use import Reading
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size


class Scale(Meaning):
    words = "× constant: its exponent adds"
    keeps_signs = True
    repeats = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        phi = to.act(v.args[0], v)
        return None if phi is None or v.c == ZERO else phi + (0.0 if v in to.without else v.c)

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        """The constant is the weight's own: every use in it knows of it."""
        first, constant = len(to.uses), x.c if x.c != ZERO else 0.0
        inner = to.used(x.args[0], Reading(how.at, how.e_in, how.e_out, how.role, axis_below(x, how.axis)))
        for use in to.uses[first:]:
            use.c += constant
            use.natural += x.e
            use.free |= x.note == "standardised"
        return inner + constant

    def forward(self, v: Value, flow: Flow) -> Size:
        x = flow.sizes[v.args[0]]
        return Size(x.init + v.c, x.update + v.c, x.capped + v.c, {n: e + v.c for n, e in x.own.items()})

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        return gradient + v.c

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return degrees[0]

    def start(self, v: Value, inner: float) -> float | None:
        return inner + v.c if math.isfinite(v.c) else None
