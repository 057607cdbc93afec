"""Weight decay on biases and gains.

## What it does
Looks for vector-like parameters in param groups with a weight_decay other than zero.

## Why is this bad
Decay pulls gains away from 1 and biases towards 0 at a rate that has nothing to do with width,
while their learning rate is scaled differently from that of the matrices: transfer degrades.

## Example
    torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)

## Fix
    [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]

## Evidence
Lingle 2024, arXiv 2404.05728: trainable norm gains and decoupled weight decay of 0.1 broke
transfer. Common practice in GPT training code.

## When it is fine
When the effect was tuned at several widths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import measured, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DecayOnVectors(Rule):
    code = "MUP503"
    name = "decay-on-vectors"
    severity = "advice"
    summary = "biases and gains should not be decayed"
    keys = any_role("decay_vector")

    def message(self, d: Discrepancy) -> str:
        whose = subject(d) if d.role else f"biases and gains {d.pattern or f'(×{len(d.tensors)})'}"
        return f"{whose}: weight decay on vector-like parameters{measured(d, 'weight_decay')}"

    def fix(self, d: Discrepancy) -> str:
        return "put biases and gains in a param group of their own with weight_decay=0.0"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "gains are pulled away from 1, and transfer degrades"
