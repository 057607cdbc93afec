"""The words that rules about depth share. In every fix, m is the depth multiplier, L / L_base."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.rules.words import gap, scaled

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

WHERE_L = "with m = L / L_base, L the number of blocks"


def of_l(exponent: float) -> str:
    """`L^-1/2`."""
    return power(exponent, "L")


def tensors_of(d: Discrepancy, fallback: str) -> str:
    """`blocks.*.mlp.up.weight (×12)`; `fallback` where the names have no pattern in common."""
    count = f" (×{len(d.tensors)})" if len(d.tensors) > 1 else ""
    name = d.pattern or (d.tensors[0] if len(d.tensors) == 1 else "")
    return f"{name or fallback}{count}"


def in_branches(d: Discrepancy) -> str:
    """The tensors of a finding inside branches."""
    return tensors_of(d, "tensors inside the branches")


def correct(d: Discrepancy, whose: str) -> str:
    """`multiply its learning rate by m**-0.5`."""
    exponent = gap(d)
    if isinf(exponent):
        return f"make {whose} {'other than zero' if exponent > 0 else 'zero'}"
    if abs(exponent) == 1:
        return f"{'multiply' if exponent > 0 else 'divide'} {whose} by m, {WHERE_L}"
    return f"multiply {whose} by m**{number(exponent)}, {WHERE_L}"


def branch(exponent: float) -> str:
    """`x + branch(x) / m`."""
    return f"x + {scaled('branch(x)', exponent)}"
