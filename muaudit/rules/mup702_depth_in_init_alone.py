"""Branches that start smaller in a deeper model, and learn as fast as in a shallow one.

## What it does
Looks for models in which initializations inside the branches follow the number of blocks L, and no
constant and no learning rate does.

## Why is this bad
1/sqrt(2 L) on output projections (GPT-2) keeps the stream at its size at initialization. It does not keep
its change: an Adam step moves an entry by the learning rate whatever the entry is, so after a few steps L
aligned changes add up as if there were no such factor.

## Example
    if name.endswith("c_proj.weight"):
        nn.init.normal_(p, std=0.02 / math.sqrt(2 * n_layer))

## Fix
    x = x + self.attn(self.norm1(x)) / m                  # m = n_layer / base_layers, and std=0.02 again

or keep the forward pass: a std of 0.02 / m on the last weight of every branch, and its learning rate (and
Adam's eps) divided by m.

## Evidence
Radford et al. 2019 (GPT-2) for the factor; Dey et al. 2025, CompleteP, arXiv 2505.01618, and
Yang et al. 2023, arXiv 2310.02244, for the change of the stream.

## When it is fine
When the model is trained at the depth its hyperparameters were tuned at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import WHERE_L, branch, in_branches, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DepthInInitAlone(Rule):
    code = "MUP702"
    name = "depth-in-init-alone"
    axis = "depth"
    summary = "an initialization that follows depth does not keep what is learned from adding up"
    keys = any_role("depth_in_init")

    def message(self, d: Discrepancy) -> str:
        return f"{in_branches(d)}: init std ∝ {of_l(d.found)}, and neither a constant nor a learning rate follows L"

    def fix(self, d: Discrepancy) -> str:
        return (
            f"take it out of the init and multiply what every branch adds by {of_l(d.expected)}, as in "
            f"{branch(d.expected)}, {WHERE_L}"
        )

    def consequence(self, d: Discrepancy) -> str:
        return "it keeps the stream at its size at initialization; its change per step still grows with L"
