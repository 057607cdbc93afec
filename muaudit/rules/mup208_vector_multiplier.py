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

`head(x) / m` divides the bias of the readout along with its logits. That bias contributes n^-1 of
what it should, and stops learning. It is a warning only: nothing blows up or vanishes with it, the
weights of the readout can shift the logits as well, and the infinite network is the one without
that bias. Every other vector or scalar that stops learning takes something away that nothing else
provides, and stays an error. microsoft/mup divides the input of the readout, which spares its bias:
`head(x / m)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.findings.power import power
from muaudit.rules.rule import Rule
from muaudit.rules.words import (
    READOUT_BIAS,
    WHERE_M,
    by_m,
    drifts,
    gap,
    needs,
    off_by_a_constant,
    scaled,
    subject,
    undone,
    without_constant,
)

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class VectorMultiplier(Rule):
    code = "MUP208"
    name = "vector-multiplier"
    summary = "biases, gains and scalars must not carry a multiplier that depends on width"
    keys = frozenset({("multiplier", "bias"), ("multiplier", "gain"), ("multiplier", "scalar"), ("multiplier", None)})

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.detail == READOUT_BIAS else self.severity

    def message(self, d: Discrepancy) -> str:
        if d.detail == READOUT_BIAS:
            multiplier = f"multiplier ∝ {power(d.found)}, needs {needs(d)}"
            return f"readout bias {d.pattern}: {multiplier}: it is scaled along with the logits"
        return f"{subject(d)}: {off_by_a_constant(d)}"

    def fix(self, d: Discrepancy) -> str:
        if without_constant(d):
            return undone(d)
        if d.detail == READOUT_BIAS:
            whole = "scale what the readout reads, not its logits, so that its bias is left alone"
            return f"{whole}: head({scaled('x', d.found)}), {WHERE_M}"
        return f"{by_m(gap(d), 'it')} in the forward pass, {WHERE_M}, or remove the constant"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("what it contributes", -gap(d), plural=False)
