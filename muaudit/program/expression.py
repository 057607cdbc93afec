"""Exponents that depend on unknowns: linear expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EPS = 1e-9


@dataclass(frozen=True)
class Expr:
    """const + Σ terms[v]·v: an exponent that depends on unknowns."""

    const: float = 0.0
    terms: Mapping[int, float] = field(default_factory=dict)

    def __add__(self, other: Expr | float) -> Expr:
        if isinstance(other, (int, float)):
            return Expr(self.const + other, self.terms)
        terms = dict(self.terms)
        for var, coefficient in other.terms.items():
            total = terms.get(var, 0.0) + coefficient
            if abs(total) < EPS:
                terms.pop(var, None)
            else:
                terms[var] = total
        return Expr(self.const + other.const, terms)

    def __mul__(self, factor: float) -> Expr:
        if factor == 0:
            return Expr()
        return Expr(self.const * factor, {v: c * factor for v, c in self.terms.items()})

    def __sub__(self, other: Expr) -> Expr:
        return self + other * -1.0
