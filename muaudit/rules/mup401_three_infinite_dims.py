"""A parameter with three or more dims that grow with width.

## What it does
Counts the growing dims of every parameter: µP covers 0 (scalar-like), 1 (vector-like) and 2
(matrix-like).

## Why is this bad
µP has no rule for it, so nothing says which initialization and learning rate transfer.

## Example
    experts = nn.Parameter(torch.empty(n_experts, width, 4 * width))    # and n_experts = width // 64

## Fix
Hold all but two dims fixed while width grows: a fixed number of experts, of heads or of taps.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B: parameters are classed by
their number of infinite dims, up to two.

## When it is fine
When the extra dim only counts independent copies (batched matrices) and grows for other reasons
than width: probe with that argument held fixed, --set n_experts=8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ThreeInfiniteDims(Rule):
    code = "MUP401"
    name = "three-infinite-dims"
    severity = "warning"
    summary = "µP covers parameters with at most two dims that grow with width"
    keys = any_role("dims")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d) or 'parameter'}: {d.found:g} of its dims grow with width, µP covers at most 2"

    def fix(self, d: Discrepancy) -> str:
        return "hold all but two of its dims fixed while width grows (--set NAME=VALUE for constructor arguments)"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "no rule says which initialization and learning rate transfer"
