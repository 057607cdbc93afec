"""Shares that add up to 1, or their logarithms."""

from __future__ import annotations

from ... import ops
from ...ops.reductions import Softmax as Declared
from ..expression import Expr
from ..values import Value
from .meaning import Equations, Flow, Meaning, Size


def is_logarithm(v: Value) -> bool:
    """Whether a softmax gives logarithms of shares, as a loss wants them."""
    declared = ops.of(v.op.name)
    return isinstance(declared, Declared) and declared.log


class Softmax(Meaning):
    words = "softmax: logits must stay of size 1"
    is_weight = False
    settles = True

    def equation(self, v: Value, to: Equations) -> Expr | None:
        if not is_logarithm(v):  # which is that of a loss
            to.read_as_logits(v.args[0])
        to.pin(v.args[0], v)
        return Expr(-v.e)  # shares of n are 1/n each

    def forward(self, v: Value, flow: Flow) -> Size:
        """A share of n is 1/n."""
        x = flow.sizes[v.args[0]]
        if is_logarithm(v):
            return Size(max(0.0, x.init), x.update, x.capped)
        return Size(-v.e, x.update - v.e, min(x.capped, 0.0) - v.e)
