"""The same entries, some of them, repeated or reordered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..operands import axis_below
from ..use import Reading
from ..values import Value
from .meaning import Equations, Flow, Meaning, Size


class View(Meaning):
    words = "same entries"
    keeps_signs = True
    repeats = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        return to.act(v.args[0], v)

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        return to.used(x.args[0], Reading(how.at, how.e_in, how.e_out, how.role, axis_below(x, how.axis)))

    def forward(self, v: Value, flow: Flow) -> Size:
        return flow.sizes[v.args[0]]

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        """A custom function's own backward may scale further than its forward says."""
        return gradient + v.back

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return degrees[0]

    def start(self, v: Value, inner: float) -> float | None:
        return inner if math.isfinite(v.c) else None
