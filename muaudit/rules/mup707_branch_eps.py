"""Adam's eps comes near the gradients inside of the branches of a deep model.

## What it does
Inside of a branch that adds 1/L to the stream, gradients are 1/L of what they are without the factor. Takes
their root mean square at the first probe, extrapolates it to the model's own number of blocks (64 times the
probe's where it has none) and compares it with eps: within a factor of ten where that number is known.

## Why is this bad
Once gradients reach eps, Adam's step shrinks with them: the blocks of a deep model take smaller steps than
those of the shallow one that was tuned, and stop learning first where the gradient is smallest.

## Example
    torch.optim.AdamW(model.parameters(), lr=lr, eps=1e-6)     # gradients of 1e-6 at 4 blocks, 1e-7 at 40

## Fix
    {"params": inside_of_blocks, "lr": lr, "eps": 1e-6 / m}    # m = n_layer / base_layers

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1: eps of hidden weights, biases and norms is multiplied
by m_L^-alpha. Where the factor is kept in the last weights of a branch, their eps stays.

## When it is fine
When eps stays far below the gradients at the depth you train: any exponent will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import eps_and_gradients
from muaudit.rules.words_of_depth import correct, in_branches, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchEps(Rule):
    code = "MUP707"
    name = "branch-eps"
    axis = "depth"
    severity = "warning"
    summary = "Adam's eps must stay far below the gradients inside of branches, or fall with them"
    keys = any_role("depth_eps")

    def message(self, d: Discrepancy) -> str:
        sizes = eps_and_gradients(d, " at the first probe", "the depth that is meant")
        return f"{in_branches(d)}: eps ∝ {of_l(d.found)} while its gradients need {of_l(d.expected)}{sizes}"

    def fix(self, d: Discrepancy) -> str:
        return f"lower eps (1e-15 is safe in float32), or {correct(d, 'its eps')}"

    def consequence(self, d: Discrepancy) -> str:
        return "in deep models gradients reach eps and updates shrink with them"
