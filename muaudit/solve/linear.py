"""Linear equations over exponents, solved as they come in."""

from __future__ import annotations

from ..program.expression import Expr


class System:
    """Equations `expr = 0`, kept solved: every pivot variable is an expression of free ones.

    Variables come in two kinds: unknowns, and parameters (negative numbers), which are never solved for.
    """

    def __init__(self) -> None:
        self.solved: dict[int, Expr] = {}
        self.uses: dict[int, set[int]] = {}  # free variable -> pivots whose expression holds it
        self.count = 0
        self.parameters = 0

    def unknown(self) -> int:
        self.count += 1
        return self.count

    def parameter(self) -> int:
        self.parameters += 1
        return -self.parameters

    def reduce(self, expr: Expr) -> Expr:
        """`expr` in free variables only."""
        out = Expr(expr.const)
        rest: dict[int, float] = {}
        for var, coefficient in expr.terms.items():
            if var in self.solved:
                out = out + self.solved[var] * coefficient
            else:
                rest[var] = coefficient
        return out + Expr(0.0, rest) if rest else out

    def equate(self, expr: Expr) -> float | None:
        """Add `expr = 0`. None when it told something new, else by how much it is violated (0: already known)."""
        expr = self.reduce(expr)
        pivots = [v for v in expr.terms if v > 0]
        if not pivots:
            return expr.const if not expr.terms else 0.0
        pivot = max(pivots)  # the latest unknown gives way: earlier ones keep their names in derivations
        rest = Expr(expr.const, {v: c for v, c in expr.terms.items() if v != pivot}) * (-1.0 / expr.terms[pivot])
        self._substitute(pivot, rest)
        return None

    def _substitute(self, pivot: int, rest: Expr) -> None:
        for other in self.uses.pop(pivot, set()):
            old = self.solved[other]
            coefficient = old.terms[pivot]
            terms = {v: c for v, c in old.terms.items() if v != pivot}
            self._store(other, Expr(old.const, terms) + rest * coefficient)
        self._store(pivot, rest)

    def _store(self, var: int, expr: Expr) -> None:
        for free in expr.terms:
            self.uses.setdefault(free, set()).add(var)
        old = self.solved.get(var)
        if old is not None:
            for free in old.terms:
                if free not in expr.terms:
                    self.uses.get(free, set()).discard(var)
        self.solved[var] = expr
