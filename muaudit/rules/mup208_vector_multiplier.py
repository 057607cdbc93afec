"""A bias, gain or scalar with a constant that depends on width.

## What it does
Looks at every vector-like or scalar-like parameter. When its init and its learning rate are both
off by the same power of width, what is wrong is the constant that multiplies it (or the sum it is
part of).

## Why is this bad
Vectors act elementwise: nothing adds up over width, so a power of width in their multiplier shows
in the activations, and in what they learn.

## Example
    x = F.linear(h, self.weight) + self.bias / width_mult

## Fix
    x = F.linear(h, self.weight) + self.bias

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3 and 8, column "input weights &
all biases": multiplier 1; Table 9: sqrt(fan_out), with init and learning rate to match.

## When it is fine
When init and learning rate make up for it (Lemma J.1). A bias that starts at zero still has to be
updated at the right size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.report.power import power
from muaudit.rules.base import Rule
from muaudit.rules.words import WHERE_M, by_m, drifts, gap, needs, subject

if TYPE_CHECKING:
    from muaudit.scaling.result import Discrepancy


class VectorMultiplier(Rule):
    code = "MUP208"
    name = "vector-multiplier"
    summary = "biases, gains and scalars must not carry a multiplier that depends on width"
    keys = frozenset({("multiplier", "bias"), ("multiplier", "gain"), ("multiplier", "scalar"), ("multiplier", None)})

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: multiplier ∝ {power(d.found)}, needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        return f"{by_m(gap(d), 'it')} in the forward pass, {WHERE_M}, or remove the constant"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("what it contributes", -gap(d), plural=False)
