"""An embedding or first layer with a constant that depends on width.

## What it does
Looks at every weight that maps a finite dim to a growing one. When its init and its learning rate
are both off by the same power of width, what is wrong is the constant that multiplies its output.

## Why is this bad
What an input weight produces does not add up over width, so any power of width in its multiplier
shows in the activations: sqrt(d_model) on an embedding of constant std makes the residual stream
grow like n^1/2.

## Example
    nn.init.normal_(self.tok_emb.weight, std=0.02)
    x = self.tok_emb(idx) * math.sqrt(d_model)

## Fix
    x = self.tok_emb(idx) * math.sqrt(base_d_model)       # a constant; or leave it out

or go with Table 9: keep sqrt(d_model), init std ∝ d_model^-1/2 and learning rate ∝ d_model^-1/2.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3 and 8 (multiplier 1), Table 9
(multiplier sqrt(fan_out) with init variance 1/fan_out and Adam 1/sqrt(fan_out)).

## When it is fine
When what it feeds is normalised before anything else uses it. When init and learning rate make up
for it (Table 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule
from muaudit.rules.words import WHERE_M, by_m, drifts, gap, off_by_a_constant, subject, undone, without_constant

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InputMultiplier(Rule):
    code = "MUP204"
    name = "input-multiplier"
    summary = "embeddings and input weights must not carry a multiplier that depends on width"
    keys = frozenset({("multiplier", "input"), ("multiplier", "positional")})

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: {off_by_a_constant(d)}"

    def fix(self, d: Discrepancy) -> str:
        if without_constant(d):
            return undone(d)
        return f"{by_m(gap(d), 'its output')}, {WHERE_M}, or make the constant independent of width"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("activations", -gap(d))
