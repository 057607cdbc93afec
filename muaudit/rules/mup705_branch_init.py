"""A tensor inside the residual branches whose initialization follows depth without need.

## What it does
Looks at every tensor inside a branch: how its initial size follows the number of blocks L, given all
constants on its way to the residual stream.

## Why is this bad
With the factor of depth on the branch, a second one in an init makes what the block starts with too small:
what stands before it in the branch learns too slowly until the tensor has grown by its own steps.

## Example
    x = x + self.mlp(self.norm2(x)) / m
    nn.init.normal_(self.mlp.c_proj.weight, std=0.02 / math.sqrt(2 * n_layer))

## Fix
    nn.init.normal_(self.mlp.c_proj.weight, std=0.02)

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1: hidden initializations do not depend on depth.

## When it is fine
At zero, and where it is smaller by as much as the learning rate and Adam's eps of the tensor: the factor of
the branch, kept in its last weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap
from muaudit.rules.words_of_depth import correct, in_branches, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchInit(Rule):
    code = "MUP705"
    name = "branch-init"
    axis = "depth"
    summary = "the initialization inside a branch must not follow depth beside the factor of the branch"
    keys = any_role("branch_init")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if gap(d) > 0 else "error"  # what starts too small grows by its own steps

    def message(self, d: Discrepancy) -> str:
        both = ", and so does a constant on its branch" if d.detail == "both" else ""
        return f"{in_branches(d)}: init std ∝ {of_l(d.found)}{both}, needs {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        return correct(d, "its init std")

    def consequence(self, d: Discrepancy) -> str:
        if gap(d) > 0:
            return f"what stands before it learns slower by {of_l(-gap(d))} until it has grown by its own steps"
        return f"it is larger by {of_l(-gap(d))} than the rest of its branch allows"
