"""A sum, a concatenation or a selection."""

from __future__ import annotations

from collections.abc import Sequence

from ... import ops
from ...findings.discrepancy import Role
from ...ops.sums import Adds
from ..expression import Expr
from ..operands import axis_below, is_fixed_matrix, is_zero, leaf, leaf_rank
from ..use import Reading
from ..values import ZERO, Value
from .meaning import TP5, Equations, Flow, Meaning, Size


class Join(Meaning):
    words = f"sum: the largest exponent wins ({TP5} App. J)"
    keeps_signs = True
    repeats = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        """Its terms are of one size."""
        if to.of_derivatives(v) and any(a.weight and a.op.shape == v.op.shape for a in v.args):
            return self._changed_weights(v, to)
        phis = []
        activations = any(not a.weight and a.kind != "data" for a in v.args)
        for arg in v.args:
            role: Role | None = None
            if arg.weight and activations:
                role = "scalar" if arg.size == 0 else "positional" if self._is_table(arg, v) else "bias"
            phi = to.act(arg, v, role)
            if phi is not None:
                phis.append(phi)
        agree = [to.equal(phis[0], other, v) for other in phis[1:]]
        if not all(agree):  # told once: what follows is judged as if the sum were right
            known = [phi for phi in phis if not to.reduced(phi).terms]
            return min(known, key=lambda phi: abs(to.reduced(phi).const), default=phis[0])
        return phis[0] if phis else None

    def _is_table(self, arg: Value, v: Value) -> bool:
        """Whether a parameter differs from place to place, or is joined to what it stands beside."""
        added = isinstance(ops.of(v.op.name), Adds)
        return len(arg.dims) > 1 and (sum(n > 1 for n in leaf(arg).op.shape) if added else leaf_rank(arg)) > 1

    def _changed_weights(self, v: Value, to: Equations) -> Expr:
        """Weights to which a step along a gradient is added in the forward (MAML)."""
        for weight in (a for a in v.args if a.weight):
            to.not_judged(weight, v, v.op, "a parameter that the forward itself trains before it is used")
        return to.open()

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        inside = Reading(how.at, how.e_in, how.e_out, how.role, axis_below(x, how.axis))
        inner = [to.used(a, inside) for a in x.args if not is_zero(a) and not is_fixed_matrix(a)]
        for other in inner[1:]:
            to.equal(inner[0], other, how.at)
        return inner[0]

    def forward(self, v: Value, flow: Flow) -> Size:
        """Terms add: the largest exponent wins."""
        xs = [flow.sizes[a] for a in v.args]
        own: dict[str, float] = {}
        for x in xs:
            for name, e in x.own.items():
                own[name] = max(e, own.get(name, ZERO))
        return Size(max(x.init for x in xs), max(x.update for x in xs), max(x.capped for x in xs), own)

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        """That of its terms, which have to agree; a bias is as small as they are."""
        known = [d for d in degrees if d is not None]
        others = [a for a, d in zip(v.args, degrees, strict=True) if d is None and not a.weight]
        return known[0] if len(set(known)) == 1 and not (alone and others) else None
