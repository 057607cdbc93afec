"""How exponents and numbers are written: `n^-1/2`, `0.02`."""

from __future__ import annotations

from fractions import Fraction
from math import inf, isinf, isnan


def fraction(exponent: float) -> str:
    """`-1/2`, `1`, `1/4`; two decimals when no fraction with a denominator up to 12 is near."""
    near = Fraction(exponent).limit_denominator(12)
    return str(near) if abs(float(near) - exponent) < 1e-3 else f"{exponent:.2f}"


def power(exponent: float | None, symbol: str = "n") -> str:
    """`n^-1/2`; `zero` for −∞, `?` for what is not known."""
    if exponent is None or isnan(exponent):
        return "?"
    if isinf(exponent):
        return "zero" if exponent == -inf else "infinite"
    return f"{symbol}^{fraction(exponent)}"


def number(value: float) -> str:
    """At most three significant digits: `0.02`, `-0.5`, `1e-05`."""
    return f"{value:.3g}"
