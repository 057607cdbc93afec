"""The attention factor stands on the attention output, not on the logits.

## What it does
Where attention logits lack their factor, looks at the constants between the softmax and the next
weight. When one of them shrinks with width and nothing else is wrong there without it, it is the
factor of the logits in the wrong place.

## Why is this bad
softmax(q·k)·v / d is not softmax(q·k / d)·v: the logits still grow once queries and keys are
correlated, and what attention adds to the residual stream vanishes as the model widens.

## Example
    y = F.softmax(q @ k.transpose(-2, -1), dim=-1) @ v * (1 / d_head)

## Fix
    y = F.softmax(q @ k.transpose(-2, -1) * (1 / d_head), dim=-1) @ v

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Definition 4.1: 1/d attention multiplies
the logits.

## When it is fine
Never, where d_head grows. A constant on the attention output that does not depend on width is fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class AttentionFactorOnOutput(Rule):
    code = "MUP209"
    name = "attention-factor-on-output"
    summary = "the attention factor belongs on the logits, before the softmax"
    keys = any_role("attention_output")

    def message(self, d: Discrepancy) -> str:
        return f"attention output{place(d)}: the factor ∝ {power(d.found)} multiplies it, and the logits have none"

    def fix(self, d: Discrepancy) -> str:
        return "multiply q·k by sqrt(base_d_head)/d_head before the softmax, and the attention output by nothing"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "attention logits grow once trained, and attention outputs shrink"
