"""Branches of a sum that differ by a power of width.

## What it does
Looks at every place where branches join (residual connections, sums of embeddings) and compares the
exponents that the constants in the forward pass give them. A value that no parameter makes, between
two functions or in front of the loss, is told here as well where a constant follows width.

## Why is this bad
The largest branch decides. A branch that is smaller by a power of width is there at small width and
gone at large width: the proxy model is a different model.

## Example
    x = x + self.block(x) / math.sqrt(width)

## Fix
    x = x + self.block(x)                                 # or a factor that depends on depth only

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix J.2, the desiderata: every
activation vector has entries of constant size, and every parameter is updated as much as possible
without divergence.

## When it is fine
Factors that depend on depth (DeepNet, Depth-µP, CompleteP): they have the exponent 0 in width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import WHERE_M, by_m, drifts, gap, like, needs, place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BranchScale(Rule):
    code = "MUP207"
    name = "branch-scale"
    summary = "branches that are added must scale alike with width"
    keys = any_role("join")

    def message(self, d: Discrepancy) -> str:
        if d.detail == "alone":
            return f"what a function or the loss reads{place(d)}: ∝ {power(d.found)}, needs {needs(d)}"
        return f"branch of a sum{place(d)}: ∝ {power(d.found)}, while the sum needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        what = "it" if d.detail == "alone" else "this branch"
        return f"{by_m(gap(d), what)}, {WHERE_M}, or remove what makes it depend on width"

    def consequence(self, d: Discrepancy) -> str:
        if d.consequence or d.detail == "alone":
            return d.consequence or drifts("what is read", -gap(d), plural=False)
        return (
            f"this branch vanishes {like(-gap(d))}"
            if gap(d) > 0
            else f"this branch drowns the rest by {power(-gap(d))}"
        )
