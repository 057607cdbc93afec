"""A tensor inside the residual branches whose learning rate does not follow depth as it has to.

## What it does
Looks at every tensor inside a branch, matrices, biases and the gains of its norms alike: by how much one
step of it changes the residual stream, given all constants and weights behind it. L of these changes are
aligned, so each has to be L^-1. Under Adam that is a learning rate that does not follow L where branches
carry 1/L, and one ∝ L^-1/2 where they carry 1/sqrt(L).

## Why is this bad
A learning rate that is too large by a power of L moves the stream more the deeper the model; one that is
too small stops the tensor from learning. A layer scale is the usual case: its start falls with L, its
learning rate does not, so that after a few steps it is as large as ever.

## Example
    self.gamma = nn.Parameter(torch.full((dim,), 1 / n_layer))   # and one learning rate for everything

## Fix
    {"params": gammas, "lr": lr / m}                      # m = n_layer / base_layers

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1: hidden learning rates, biases and norms included, are
multiplied by m_L^(alpha - 1); Yang et al. 2023, arXiv 2310.02244 (Depth-µP: 1/sqrt(L) under Adam).

## When it is fine
When a multiplier behind the tensor makes up for it: only what reaches the stream counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap
from muaudit.rules.words_of_depth import correct, in_branches, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchLr(Rule):
    code = "MUP704"
    name = "branch-lr"
    axis = "depth"
    summary = "the learning rate of every tensor in a branch must leave the change of the stream as it is"
    keys = any_role("branch_lr")

    def message(self, d: Discrepancy) -> str:
        rate = f"{d.optimizer} learning rate".strip()
        scale = "its init falls with depth, and its " if d.detail == "layerscale" else ""
        return f"{in_branches(d)}: {scale}{rate} ∝ {of_l(d.found)}, needs {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        return correct(d, "its learning rate")

    def consequence(self, d: Discrepancy) -> str:
        if gap(d) < 0:
            return f"what its steps change in the stream grows like {of_l(-gap(d))}"
        return f"what its steps change in the stream shrinks like {of_l(-gap(d))}: it stops learning"
