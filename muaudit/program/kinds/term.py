"""One of the terms that a stack of blocks adds up: what a branch brings to the residual stream."""

from __future__ import annotations

from collections.abc import Sequence

from ..expression import Expr
from ..values import COPY, Value
from .meaning import Equations, Flow, Meaning, Size


class Term(Meaning):
    words = (
        "one of the terms that the stack adds up: init + 1/2 (random terms), update by its own tensors + 1 (aligned "
        "terms), by what it reads + 1/2 (CompleteP, arXiv 2505.01618; Depth-µP, 2310.02244)"
    )
    keeps_signs = True
    is_weight = False
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        """A sum over depth is a contraction: what is aligned in its terms adds up like their number."""
        phi = to.act(v.args[0], v)
        return None if phi is None else phi + (v.e if v.note == COPY else to.share * v.e)

    def forward(self, v: Value, flow: Flow) -> Size:
        x = flow.sizes[v.args[0]]
        own = {name: size + v.e for name, size in x.own.items()}
        if v.note == COPY:
            return Size(x.init + v.e, x.update + v.e, x.capped + v.e, own)
        # weights that differ from block to block make random terms of a change that they all read
        apart = flow.apart.get(v.args[0], x)
        update, capped = (max(a + v.e, b + v.e / 2) for a, b in ((apart.update, x.update), (apart.capped, x.capped)))
        return Size(x.init + v.e / 2, update, capped, own)

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return degrees[0]
