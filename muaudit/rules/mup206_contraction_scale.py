"""A sum or product of activations over a growing dim without its 1/fan_in.

## What it does
Looks at every contraction of two activations, and every sum, over a growing dim that leaves a
finite one: similarity scores, pooling over channels, linear-attention states. What is contracted
becomes correlated in training, so the constant on it must have the exponent -1.

## Why is this bad
Correlated terms add up over the growing dim: the result grows like n with 1, and like n^1/2 with
1/sqrt(n).

## Example
    score = (query * document).sum(-1) / math.sqrt(width)

## Fix
    score = (query * document).sum(-1) / width            # or .mean(-1)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B: "a multiplier of order
1/fan_in should accompany any weight that maps an infinite dimension to a finite one", with the
attention logits as the other case it covers; Table 14.

## When it is fine
When the two sides are normalised to unit length first (cosine similarity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import WHERE_M, by_m, drifts, gap, needs, place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ContractionScale(Rule):
    code = "MUP206"
    name = "contraction-scale"
    summary = "sums and products of activations over a growing dim must be scaled by 1/n"
    keys = any_role("contraction")

    def message(self, d: Discrepancy) -> str:
        return f"sum over a growing dim{place(d)}: its constant ∝ {power(d.found)}, needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        return f"{by_m(gap(d), 'the result')}, {WHERE_M}; a mean in place of a sum does it"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("after training, the result", -gap(d), plural=False)
