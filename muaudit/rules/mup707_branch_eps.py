"""Adam's eps inside the residual branches, where gradients fall with depth and it does not.

## What it does
Compares eps with the gradients that were measured at the first probe, at the depth that is trained. Far
below them it may be whatever it is.

## Why is this bad
With 1/L on the branches, gradients inside them fall like 1/L. Once they are near eps, a step is no longer
of the size of the learning rate, and the deeper model learns more slowly.

## Example
    torch.optim.AdamW(groups, eps=1e-6)                   # at 100 blocks

## Fix
    {"params": inside_the_branches, "eps": eps / m}       # m = n_layer / base_layers

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1, row AdamW eps.

## When it is fine
While eps is far below the gradients, at any exponent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import correct, of_l, tensors_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchEps(Rule):
    code = "MUP707"
    name = "branch-eps"
    axis = "depth"
    severity = "warning"
    summary = "Adam's eps must fall with the gradients inside the branches once it is near them"
    keys = any_role("branch_eps")

    def message(self, d: Discrepancy) -> str:
        near = ""
        if len(d.values) == 2:
            near = f" {number(d.values[0])} against gradients of {number(d.values[1])} at the depth that is trained,"
        return f"{tensors_of(d, 'tensors')}: eps{near} ∝ {of_l(d.found)} while they are ∝ {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        return correct(d, "its eps")

    def consequence(self, d: Discrepancy) -> str:
        return "Adam's steps fall short of the learning rate in the deeper model"
