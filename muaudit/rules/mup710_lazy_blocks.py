"""Blocks that add 1/sqrt(L), where each of them could learn as much as a shallow model's.

## What it does
Says that a model follows Depth-µP (1/sqrt(L) on branches, learning rates inside them to match) where the
profile asks for CompleteP.

## Why is this bad
It is stable and hyperparameters transfer over depth as far as that goes. But the change of what is inside a
block falls like L^-1/2: blocks of more than one layer become linear in their weights as depth grows.

## Example
    x = x + self.mlp(self.norm(x)) / math.sqrt(m)         # and Adam learning rates / sqrt(m)

## Fix
    x = x + self.mlp(self.norm(x)) / m                    # and learning rates as they were

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618: alpha = 1 alone is stable and learns in all layers.
Yang et al. 2023, arXiv 2310.02244, show it for blocks of more than one layer, too.

## When it is fine
For blocks of one layer, and by choice: `--profile depth-mup` asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class LazyBlocks(Rule):
    code = "MUP710"
    name = "lazy-blocks"
    axis = "depth"
    severity = "advice"
    summary = "blocks of several layers learn fully where each adds 1/L, not 1/sqrt(L)"
    keys = any_role("depth_lazy")

    def message(self, d: Discrepancy) -> str:
        return f"every branch adds {of_l(d.found)} and its learning rates follow (Depth-µP): stable, and lazy inside it"

    def fix(self, d: Discrepancy) -> str:
        return "1/m on the branches and learning rates that do not follow L (CompleteP); --profile depth-mup keeps this"

    def consequence(self, d: Discrepancy) -> str:
        return "the change of activations inside a block falls like L^-1/2"
