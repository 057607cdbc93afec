"""An elementwise product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..expression import Expr
from ..operands import axis_below, has_function, is_zero
from ..use import Reading
from ..values import ZERO, Value
from .meaning import Equations, Flow, Meaning, Size


class Mul(Meaning):
    words = "elementwise product: exponents add"
    repeats = True
    says_of_operands = False

    def equation(self, v: Value, to: Equations) -> Expr | None:
        x, y = v.args
        if x.weight != y.weight:
            weight, other = (x, y) if x.weight else (y, x)
            phi = to.act(other, v)
            used = to.used(weight, Reading(v, 0.0, weight.size, "gain" if weight.size > 0 else "scalar"))
            return None if phi is None else phi + used
        first, second = to.act(x, v), to.act(y, v)
        return None if first is None or second is None else first + second

    # -- as a weight
    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        if all(a.weight and a.size >= x.size > 1 for a in x.args):
            return self._product_by_entries(x, how, to)
        inside = Reading(how.at, how.e_in, how.e_out, how.role, axis_below(x, how.axis))
        inner = [self._factor(a, x, inside, to) for a in x.args if not is_zero(a)]
        return inner[0] + inner[1]

    def _factor(self, a: Value, x: Value, how: Reading, to: Equations) -> Expr:
        """A smaller factor is a gain, which sums nothing."""
        other = next((b for b in x.args if b is not a), a)
        if how.e_in > 0 and has_function(a) and not has_function(other):
            measured = to.size_at_start(a)
            if measured is not None:  # the other factor is judged by the size that this one starts with
                to.not_judged(a, how.at, a.op, f"a parameter inside {a.op.name} of parameters alone")
                return Expr(measured)
        if a.size < x.size:
            return to.used(a, Reading(how.at, 0.0, a.size, "gain" if a.size > 0 else "scalar"))
        return to.used(a, how)

    def _product_by_entries(self, x: Value, how: Reading, to: Equations) -> Expr:
        """x₀ ∘ x₁ used as one weight: each factor's change counts times the size that the other one starts with.

        The change of a factor goes along the other one entry by entry, so it adds up as a change of the product does.
        The init is that of the product: it is judged once, with the first factor.
        """
        sizes = [to.size_at_start(a) for a in x.args]
        if None in sizes or ZERO in sizes:
            reason = "a factor of an elementwise product of weights of no known size"
            return to.not_judged(x, how.at, x.op, reason)
        found: list[Expr] = []
        for a, other in zip(x.args, sizes[::-1], strict=True):
            first = len(to.uses)
            found.append(to.used(a, how) + float(other or 0.0))
            for use in to.uses[first:]:
                use.c += float(other or 0.0)
                use.with_other = len(found) > 1
        to.equal(found[0], found[1], how.at)
        return found[0]

    # -- what training will show
    def forward(self, v: Value, flow: Flow) -> Size:
        x, y = (flow.sizes[a] for a in v.args)
        own = {n: e + y.init for n, e in x.own.items()} | {n: e + x.init for n, e in y.own.items()}
        init = x.init + y.init
        capped = max(x.capped + y.init, x.init + y.capped, x.capped + y.capped)
        if v.normalises:  # a norm layer spelled out
            capped = min(capped, init) if init != ZERO else 0.0
        return Size(init, max(x.update + y.init, x.init + y.update), capped, own)

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        other = sizes[v.args[1 - position]]
        return gradient + (other.init if other.init != ZERO else other.capped)

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        return round(sum(d for d in degrees if d is not None), 6)
