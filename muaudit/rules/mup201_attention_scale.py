"""Attention logits scaled by 1/sqrt(d_head) while d_head grows with width.

## What it does
Finds the product of queries and keys and the constants that multiply it before the softmax,
wherever they stand: on q, on k, on the logits, or inside scaled_dot_product_attention (where
scale=None means 1/sqrt(d_head)). Where d_head grows, the exponent must be -1. Where only the number
of heads grows, any constant is right.

## Why is this bad
1/sqrt(d_head) is right for random queries and keys. In training they become correlated, q·k adds up
over d_head, and attention logits grow like sqrt(d_head): softmax saturates in wide models only.

## Example
    att = (q @ k.transpose(-2, -1)) / math.sqrt(q.size(-1))

## Fix
    att = (q @ k.transpose(-2, -1)) * (math.sqrt(base_d_head) / q.size(-1))
    F.scaled_dot_product_attention(q, k, v, scale=math.sqrt(base_d_head) / q.size(-1))

Both equal 1/sqrt(d_head) at the base width. Or keep d_head fixed and let the number of heads grow.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Definition 4.1 and Appendix J.2: 1/d
attention. Lingle 2024 (arXiv 2404.05728): no transfer with 1/sqrt(d); the best learning rate was 2^-8 at width 128 and
2^-6 at larger ones, and the loss slightly worse.

## When it is fine
With a fixed d_head. With queries and keys that are normalised to unit length. Under the profile
lingle 1/sqrt(d_head) is advice, as all that broke transfer in that study.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import drifts, gap, needs, place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class AttentionScale(Rule):
    code = "MUP201"
    name = "attention-scale"
    summary = "attention logits must be scaled by 1/d_head, not 1/sqrt(d_head), when d_head grows"
    keys = any_role("attention")

    def message(self, d: Discrepancy) -> str:
        return f"attention logits{place(d)}: the constant on q·k ∝ {power(d.found)}, needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        if (d.found, d.expected) == (-0.5, -1.0):
            return "replace 1/sqrt(d_head) by sqrt(base_d_head)/d_head (8/d_head for a base of 64)"
        if d.expected == -1.0:
            return "scale q·k by sqrt(base_d_head)/d_head, whatever else multiplies it"
        return (
            f"multiply q·k by d_head**{number(gap(d))}" if abs(gap(d)) < inf else "give q·k a constant that is not zero"
        )

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("after training, attention logits", -gap(d))
