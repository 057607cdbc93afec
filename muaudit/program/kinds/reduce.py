"""A sum or a mean over dims that grow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..operands import made_of_squares, through_views
from ..values import MOVED, Value
from .meaning import Equations, Flow, Meaning, Size, Wish


class Reduce(Meaning):
    words = "sum or mean over a dim (law of large numbers)"
    sums = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        x = v.args[0]
        phi = to.act(x, v)
        base = x.args[0] if x.kind == "power" else x
        to.wish(Wish.NORM if x.kind == "power" else Wish.HOMOGENEOUS, base)
        if phi is None or v.mean:
            return phi
        product = through_views(x)
        squares = made_of_squares(product) and not self._makes_norm(v, to)
        if squares or (product.kind == "mul" and not any(a.weight for a in product.args)):
            return phi + v.e + to.constant_of(v)
        return phi + v.e

    def _makes_norm(self, v: Value, to: Equations) -> bool:
        """Whether a root, or an inverse, is taken of this sum, and no square of that again."""
        waiting, seen = [(v, 1.0)], set()
        while waiting:
            value, degree = each = waiting.pop()
            readers = to.readers(value) if each not in seen else []
            seen.add(each)
            for reader in readers:
                if reader.kind in ("power", "reduce", *MOVED):
                    waiting.append((reader, degree * reader.c if reader.kind == "power" else degree))
                elif degree < 1:
                    return True
        return False

    def forward(self, v: Value, flow: Flow) -> Size:
        x = flow.sizes[v.args[0]]
        independent = v.e / 2 if v.signed else v.e
        shift = v.e if v.mean else 0.0
        return Size(x.init + independent - shift, x.update + v.e - shift, x.capped + v.e - shift)

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        return gradient - (v.e if v.mean else 0.0)

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return degrees[0]

    def start(self, v: Value, inner: float) -> float | None:
        """Entries of both signs may cancel."""
        if v.signed or not math.isfinite(v.c):
            return None
        return inner if v.mean else inner + v.e
