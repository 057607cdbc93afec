"""A residual stack in which nothing follows its depth.

## What it does
Builds the model with L and 2 L blocks, finds the residual stream and what every block adds to it, and
looks for anything that follows L: constants on the branches, initializations, learning rates.

## Why is this bad
What the blocks learn in a step is aligned, so L of them change the stream L times as much as one. At
initialization their contributions are independent and add up like sqrt(L). With norms the effect on the
best learning rate is milder, in some studies small over moderate depth and in others large.

## Example
    x = x + self.attn(self.norm1(x))
    x = x + self.mlp(self.norm2(x))

## Fix
    x = x + self.attn(self.norm1(x)) / m                  # m = n_layer / base_layers
    x = x + self.mlp(self.norm2(x)) / m

Adam's learning rates stay as they are, its eps inside the branches is divided by m; under SGD, learning
rates inside the branches are multiplied by m.

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1; Yang et al. 2023, Tensor Programs VI,
arXiv 2310.02244, with 1/sqrt(m) and Adam learning rates divided by sqrt(m).

## When it is fine
When the model is trained at the depth its hyperparameters were tuned at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.optimizers import law_of
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import WHERE_L, branch, of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DepthIgnored(Rule):
    code = "MUP701"
    name = "depth-ignored"
    axis = "depth"
    summary = "what a block adds to the residual stream, or how it learns, must follow the number of blocks"
    keys = any_role("depth_ignored")

    def message(self, d: Discrepancy) -> str:
        return (
            f"no constant, initialization or learning rate follows L, the number of blocks (needs {of_l(d.expected)})"
        )

    def fix(self, d: Discrepancy) -> str:
        rate = d.expected + 1  # of the change that the constant alone leaves too large, with g = 0
        law = law_of(d.optimizer)
        exponent = -rate - law.gradient * d.expected
        rates = "learning rates stay" if not exponent else f"learning rates inside the branches ∝ {of_l(exponent)}"
        return f"multiply what every branch adds by {of_l(d.expected)}, as in {branch(d.expected)}, {WHERE_L}; {rates}"

    def consequence(self, d: Discrepancy) -> str:
        start = "starts larger by L^1/2, and " if d.values and d.values[0] else ""
        return f"without norms the stream {start}changes L times as much per step"
