"""A readout that is scaled down twice.

## What it does
Looks at every weight that maps a growing dim to a finite one. Its multiplier and its learning rate
must bring n^-1 together, not each.

## Why is this bad
The readout stops learning as the model widens: its updates contribute n^-1 of what they should, and
with it vanish the gradients of everything below.

## Example
    logits = self.head(x) / width_mult                          # and
    {"params": model.head.parameters(), "lr": lr / width_mult}  # as well

## Fix
Remove one of the two: the multiplier (Table 3) or the factor in the learning rate (Table 8,
microsoft/mup). Look for MuReadout together with a division by hand, and for a hidden rule that
takes in the head.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9: in each of them
learning rate × multiplier of output weights is n^-1 under Adam; Lemma J.1.

## When it is fine
Table 9 splits it: multiplier n^-1/2 and learning rate n^-1/2; that passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.mup202_readout_multiplier_missing import readout_doubled
from muaudit.rules.rule import Rule
from muaudit.rules.words import WHERE_M, by_m, gap, like, needs, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ReadoutMultiplierDoubled(Rule):
    code = "MUP203"
    name = "readout-multiplier-doubled"
    summary = "the readout must be scaled by 1/fan_in once: as multiplier or in the learning rate, not both"
    keys = frozenset({("multiplier", "output"), ("lr", "output")})

    def matches(self, d: Discrepancy) -> bool:
        return super().matches(d) and readout_doubled(d)

    def message(self, d: Discrepancy) -> str:
        if d.aspect == "lr":
            rate = f"{subject(d)}: {d.optimizer} learning rate" if d.optimizer else f"{subject(d)}: learning rate"
            return f"{rate} ∝ {power(d.found)} besides what divides it forwards, needs {needs(d)}: scaled down twice"
        return f"{subject(d)}: multiplier ∝ {power(d.found)}, needs {needs(d)}: it is scaled down twice"

    def fix(self, d: Discrepancy) -> str:
        if d.aspect == "lr":
            rest = by_m(gap(d), "its learning rate")
            return f"{rest}, {WHERE_M} (or remove what divides it forwards): scale the readout once"
        return f"remove one of the readout's scalings: {by_m(gap(d), 'the logits')}, {WHERE_M}"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or f"the readout stops learning: what its updates contribute shrinks {like(-gap(d))}"
