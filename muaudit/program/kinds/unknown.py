"""What is not understood."""

from __future__ import annotations

import math

from ..expression import Expr
from ..values import Value
from .meaning import Equations, Flow, Meaning, Size, Wish


class Unknown(Meaning):
    words = "not understood"
    is_weight = False
    settles = True

    def equation(self, v: Value, to: Equations) -> Expr | None:
        to.not_understood(v)
        for arg in v.args:
            if arg.weight:
                to.unjudged(arg, v.op, v.note)
            elif arg.kind != "data" and not v.open:
                to.pin(arg, v)
        if not v.open:
            to.wish(Wish.INPUT, v)
        return to.open()

    def forward(self, v: Value, flow: Flow) -> Size:
        return Size(math.nan, math.nan, math.nan)
