"""Choosing the gauge that needs no forward code: where the multipliers that µP asks for can be absorbed.

The equations of the audit leave gauge freedoms open (TP5 Lemma J.1 in graph form): a constant may wander along linear
paths between the tensors on them. A conversion without forward multipliers is a choice of these freedoms under which

- every contraction of two activations (attention logits) carries the constant that it needs already, and
- all uses of a shared tensor need the same thing (a tied embedding as input and as readout).

Both are linear equations in the freedoms. They are solved by elimination, moving the freedom that touches the fewest
tensors: the query projection with its bias, the gain and bias before a tied head, or, with fused projections, the whole
projection by m^-1/4 together with the output projection by m^1/4. What a normalisation reads is left alone, because
its eps would no longer be small beside it. An equation that is left needs a forward multiplier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..analysis.derive import Scaling
from ..judge.blame import Blame
from ..program.expression import Expr
from ..program.use import Use
from ..program.values import Value
from ..solve.uses import Ideal

SMALL = 1e-6


@dataclass(frozen=True)
class Unmet:
    """A use that needs a forward multiplier of this exponent."""

    use: Use
    exponent: float


@dataclass(frozen=True)
class Gauge:
    """The chosen freedoms, and what they cannot carry."""

    shifts: dict[int, float]
    unmet: tuple[Unmet, ...]


def choose(scaling: Scaling, hookable: Callable[[Unmet, Sequence[Unmet]], bool] | None = None) -> Gauge:
    """The gauge with the fewest changes under which contractions and shared tensors are right.

    hookable: tells which multipliers have a place outside the code, and leaves those to hooks; without it all are
    absorbed that can be.
    """
    blame, ideal = scaling.blame, scaling.ideal
    equations = list(_equations(blame, ideal))
    solver = _Elimination(blame, _costs(blame, ideal))
    found = [Unmet(use, _at(expr, blame.shifts)) for use, expr in equations]
    wrong = [unmet for unmet in found if abs(unmet.exponent) > SMALL]
    left: list[tuple[Use, Expr]] = []
    for (use, expr), unmet in zip(equations, found, strict=True):
        if hookable is not None and unmet in wrong and hookable(unmet, wrong):
            solver.add(expr + -unmet.exponent)  # stays as wrong as it is
            left.append((use, expr))
        elif not solver.add(expr):
            left.append((use, expr))
    shifts = solver.shifts()
    return Gauge(shifts, tuple(Unmet(use, value) for use, expr in left if abs(value := _at(expr, shifts)) > SMALL))


def _equations(blame: Blame, ideal: Ideal) -> Iterable[tuple[Use, Expr]]:
    """(use that a multiplier would go to, the exponent that this multiplier would have)."""
    for use, expr in zip(ideal.uses, blame.exprs, strict=True):
        if use.kind != "tensor":
            yield use, expr
    for first, *others in uses_by_tensor(ideal).values():
        for index in others:
            yield ideal.uses[index], blame.exprs[index] - blame.exprs[first]


def uses_by_tensor(ideal: Ideal) -> dict[str, list[int]]:
    """The numbers of each tensor's uses, the one that it is stored for first: no readout where there is another."""
    found: dict[str, list[int]] = {}
    for index, use in enumerate(ideal.uses):
        if use.kind == "tensor":
            found.setdefault(use.tensor, []).append(index)
    return {name: sorted(ids, key=lambda i: (ideal.uses[i].role == "output", i)) for name, ids in found.items()}


def _costs(blame: Blame, ideal: Ideal) -> dict[int, int]:
    """How many uses each freedom touches; those that a normalisation would read are left out."""
    barred = {var for value in _normalised(ideal) for var in ideal.system.reduce(ideal.phi[value]).terms}
    costs: dict[int, int] = {}
    for expr in blame.exprs:
        for var in expr.terms:
            if var < 0 and var not in barred:
                costs[var] = costs.get(var, 0) + 1
    return costs


def _normalised(ideal: Ideal) -> Iterable[Value]:
    for value in list(ideal.phi):
        if value.kind == "norm":
            read = value.args[0]
        elif value.kind == "reduce" and value.args[0].kind == "power":
            read = value.args[0].args[0]
        else:
            continue
        if read in ideal.phi:
            yield read


class _Elimination:
    """Solves equations for the movable freedoms, the cheapest first; the others stay as the audit found them."""

    def __init__(self, blame: Blame, costs: dict[int, int]) -> None:
        self.start = dict(blame.shifts)
        self.costs = costs
        self.solved: dict[int, Expr] = {}

    def add(self, expr: Expr) -> bool:
        """Take on `expr = 0`; False where no movable freedom is left in it and it does not hold."""
        expr = self._reduce(expr)
        movable = [var for var in expr.terms if var in self.costs]
        if not movable:
            return abs(_at(expr, self.start)) <= SMALL
        pivot = min(movable, key=lambda var: (self.costs[var], -var))
        rest = Expr(expr.const, {v: c for v, c in expr.terms.items() if v != pivot}) * (-1.0 / expr.terms[pivot])
        for var, solution in self.solved.items():
            coefficient = solution.terms.get(pivot, 0.0)
            if coefficient:
                kept = Expr(solution.const, {v: c for v, c in solution.terms.items() if v != pivot})
                self.solved[var] = kept + rest * coefficient
        self.solved[pivot] = rest
        return True

    def shifts(self) -> dict[int, float]:
        """All freedoms: solved ones from their equations, the others where they were."""
        return {**self.start, **{var: _at(expr, self.start) for var, expr in self.solved.items()}}

    def _reduce(self, expr: Expr) -> Expr:
        out = Expr(expr.const)
        for var, coefficient in expr.terms.items():
            out = out + (self.solved[var] * coefficient if var in self.solved else Expr(0.0, {var: coefficient}))
        return out


def _at(expr: Expr, shifts: dict[int, float]) -> float:
    return expr.const + sum(c * shifts.get(v, 0.0) for v, c in expr.terms.items())
