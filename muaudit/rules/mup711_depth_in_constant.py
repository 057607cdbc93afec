"""A constant inside a branch that follows depth where none may.

## What it does
Looks at constants on products of activations, as on attention logits, and at sums inside a branch whose
terms follow the number of blocks differently.

## Why is this bad
Logits that fall or grow with depth make attention another function in the deeper model; a term of a sum
that falls faster than the others is gone there.

## Example
    att = (q @ k.transpose(-2, -1)) / math.sqrt(d_head) / n_layer

## Fix
    att = (q @ k.transpose(-2, -1)) / math.sqrt(d_head)

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618: inside a block, activations and their changes are to
be of a size that does not depend on depth.

## When it is fine
When it depends on the place of the block alone, and not on how many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place
from muaudit.rules.words_of_depth import of_l

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_WHAT = {"attention": "attention logits", "contraction": "a product of activations", "join": "a term of a sum"}


class DepthInConstant(Rule):
    code = "MUP711"
    name = "depth-in-constant"
    axis = "depth"
    summary = "constants inside a branch, as on attention logits, must not follow depth"
    keys = any_role("depth_contraction")

    def message(self, d: Discrepancy) -> str:
        return f"{_WHAT.get(d.detail, 'a value')}{place(d)}: ∝ {of_l(d.found)}, needs {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        return "remove what makes it depend on the number of blocks"

    def consequence(self, d: Discrepancy) -> str:
        return f"it changes like {of_l(d.found - d.expected)} with depth"
