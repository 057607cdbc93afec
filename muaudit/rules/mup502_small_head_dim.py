"""Attention heads that are too small in the proxy model.

## What it does
Notes a d_head below 32 at the model's own width, where d_head grows with width.

## Why is this bad
Attention logits average over d_head. When it is small they are noisy, and the hyperparameters found
suit the noise.

## Example
    GPTConfig(n_embd=128, n_head=16)                      # d_head = 8

## Fix
    GPTConfig(n_embd=128, n_head=4)                       # d_head = 32

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.4: enlarge d_k, at least 32
in the proxy.

## When it is fine
For the audit itself: it reads exponents, and small probes are enough for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class SmallHeadDim(Rule):
    code = "MUP502"
    name = "small-head-dim"
    severity = "advice"
    summary = "d_head should be at least 32 in the model that hyperparameters are tuned on"
    keys = any_role("d_head")

    def message(self, d: Discrepancy) -> str:
        size = f"{number(d.values[0])} wide" if d.values else "small"
        return f"attention{place(d)}: heads are {size} in the proxy, at least 32 transfers better"

    def fix(self, d: Discrepancy) -> str:
        return "use fewer heads in the proxy, so that d_head is at least 32"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "attention logits of the proxy are noisy and its best hyperparameters suit the noise"
