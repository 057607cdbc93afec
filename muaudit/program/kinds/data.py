"""A constant, a buffer or an input: nothing trainable flows in."""

from __future__ import annotations

from ..expression import Expr
from ..use import Reading
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size


class Data(Meaning):
    words = "constant or data: measured at both widths"

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        return Expr(0.0 if x.c == ZERO else x.c)

    def forward(self, v: Value, flow: Flow) -> Size:
        return Size(v.c, ZERO, ZERO)
