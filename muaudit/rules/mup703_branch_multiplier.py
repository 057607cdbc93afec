"""A branch of the residual stack whose constant does not follow depth as it has to.

## What it does
Looks at what every block adds to the residual stream, with all constants on the way, and compares how it
follows the number of blocks L with what L contributions may be: L^-1 each (L^-1/2 under the profile
depth-mup). A constant before a norm inside the branch is taken away again and counts nothing.

## Why is this bad
What is learned by the blocks is aligned and adds up like their number. One kind of branch without its
factor (or with its factor before the norm) changes the stream more the deeper the model, and drowns the
others; one whose factor is there twice stops mattering.

## Example
    x = x + self.attn(self.norm1(x)) / m
    x = x + self.mlp(self.norm2(x))                       # forgotten

## Fix
    x = x + self.mlp(self.norm2(x)) / m                   # m = n_layer / base_layers

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1 (1/m_L on every residual branch); Yang et al. 2023,
arXiv 2310.02244 (1/sqrt(L)).

## When it is fine
When the factor is in the last weight of the branch instead: its init, its learning rate and Adam's eps. The
audit counts it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap
from muaudit.rules.words_of_depth import correct, in_branches, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchMultiplier(Rule):
    code = "MUP703"
    name = "branch-multiplier"
    axis = "depth"
    summary = "what every branch adds to the residual stream must fall with the number of blocks"
    keys = any_role("branch_multiplier")

    def message(self, d: Discrepancy) -> str:
        of = f" ({in_branches(d)})" if d.tensors else ""
        if d.detail == "missing":
            return f"this branch{of} is added without a factor of depth, needs {of_l(d.expected)}"
        if d.detail == "erased":
            return f"the factor of depth on this branch{of} stands before a norm, which takes it away again"
        return f"this branch{of} is added with {of_l(d.found)}, needs {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "erased":
            return f"put the factor behind the norm: {correct(d, 'what the branch adds')}"
        return correct(d, "what the branch adds")

    def consequence(self, d: Discrepancy) -> str:
        if gap(d) < 0:
            return f"what these L branches change in the stream per step grows like {of_l(-gap(d))}"
        return f"what these L branches change in the stream per step shrinks like {of_l(-gap(d))}"
