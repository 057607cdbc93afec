"""A residual stream that is multiplied by a constant in every block.

## What it does
Follows the stream from the last block back to the first and looks for constants on it, between blocks.

## Why is this bad
What comes from the first block is multiplied once a block: a product over depth, which grows or shrinks
exponentially and is no power of it. What early blocks do is lost in a deep model, or drowns the rest. The
factor of depth belongs on the branch.

## Example
    x = (x + self.mlp(self.norm(x))) / math.sqrt(2)

## Fix
    x = x + self.mlp(self.norm(x)) / m                    # m = n_layer / base_layers

## Evidence
Yang et al. 2023, arXiv 2310.02244, and Dey et al. 2025, CompleteP, arXiv 2505.01618:
the stream is a sum with skip connections of weight 1.

## When it is fine
When the factor goes to 1 like 1 - a/L, so that the product over L blocks has a limit. The audit counts that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class SkipScaled(Rule):
    code = "MUP708"
    name = "skip-scaled"
    axis = "depth"
    summary = "the residual stream must not be multiplied between blocks"
    keys = any_role("skip_scaled") | any_role("skip_gain")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.aspect == "skip_gain" else "error"  # a gain may stay at 1

    def message(self, d: Discrepancy) -> str:
        if d.aspect == "skip_gain":
            return "the residual stream is multiplied by a parameter in every block: a product over depth"
        constant = number(d.values[0]) if d.values else "a constant"
        return f"the residual stream is multiplied by {constant} in every block: a product over depth"

    def fix(self, d: Discrepancy) -> str:
        return "leave the stream as it is and put the factor on what is added to it"

    def consequence(self, d: Discrepancy) -> str:
        if d.aspect == "skip_gain" or not d.values:
            return "nothing keeps the product near 1 as depth grows; what follows depth besides was not judged"
        verb = "shrinks" if d.values[0] < 1 else "grows"
        return f"what the first block adds {verb} exponentially with depth; what follows depth besides was not judged"
