"""Something from outside the stack that every block adds to the stream.

## What it does
Counts how often a value from outside the blocks, such as the embedding, is added to the residual stream, at
both depths.

## Why is this bad
L copies of one value are aligned: they add up like L, not like sqrt(L), and so do the changes of what makes
it.

## Example
    for block in self.blocks:
        x = block(x + x0)                                 # x0: the embedding, once more in every block

## Fix
    x = block(x + x0 / m)                                 # m = n_layer / base_layers

## Evidence
The law of large numbers, as for what blocks learn: Dey et al. 2025, CompleteP, arXiv 2505.01618.

## When it is fine
When it carries 1/L.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import WHERE_L, tensors_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class IntoEveryBlock(Rule):
    code = "MUP709"
    name = "into-every-block"
    axis = "depth"
    summary = "what every block adds to the stream from outside the stack must fall with the number of blocks"
    keys = any_role("into_every_block")

    def message(self, d: Discrepancy) -> str:
        of = f" ({tensors_of(d, 'several tensors')})" if d.tensors else ""
        return f"a value from outside the stack{of} is added to the stream in every block: L aligned copies"

    def fix(self, d: Discrepancy) -> str:
        return f"divide it by m where blocks add it, {WHERE_L}, or add it once"

    def consequence(self, d: Discrepancy) -> str:
        return "its share of the stream grows like L"
