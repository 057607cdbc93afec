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
        if phi is None:
            return None
        total, product = phi if v.mean else phi + v.e, through_views(x)
        of_two = product.kind == "mul" and not any(a.weight for a in product.args)
        degree = self._read_at(v, to) if not v.signed or made_of_squares(product) or of_two else 0.0
        return total + to.constant_of(v, 0.0 if v.mean else v.e * degree) * (1 / degree) if degree else total

    def _read_at(self, v: Value, to: Equations) -> float:
        """Which power of this sum is read: 1/2 of a distance; 0 where something is divided by it, as norms do."""
        waiting, seen, read = [(v, 1.0)], set(), set()
        while waiting:
            value, degree = each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            readers = to.readers(value)
            if not readers:  # it is returned
                read.add(degree)
            for reader in readers:
                if reader.kind in ("power", "reduce", *MOVED):
                    waiting.append((reader, degree * reader.c if reader.kind == "power" else degree))
                elif degree <= 0:
                    return 0.0
                else:
                    read.add(degree)
        return 1.0 if len(read) != 1 else read.pop()

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
