"""A group without weight decay that does not get what it is for.

## What it does
Where biases or gains are decayed although others of the same role stand in a group with weight_decay=0, or although
the optimizer has such a group and it is empty, tells so.

## Why is this bad
Groups are mostly filled by patterns of names, first match first. A pattern for all blocks that stands before the
one for norms takes their gains with it, and they are decayed with the weights. The group without decay is still
there and looks right.

## Example
    {"pattern": "blocks", "weight_decay": 0.1}, {"pattern": "norm|bias", "weight_decay": 0.0}     # the first match wins

## Fix
    {"pattern": "norm|bias", "weight_decay": 0.0}, {"pattern": "blocks", "weight_decay": 0.1}

## Evidence
Lingle 2024, arXiv 2404.05728 (ablations), and most published recipes leave gains and biases without decay.

## When it is fine
When it is meant: some gains decayed, others not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import measured, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DecayFreeGroup(Rule):
    code = "MUP321"
    name = "decay-free-group"
    severity = "warning"
    summary = "biases and gains should be in the group without weight decay, where there is one"
    keys = any_role("decay_free")

    def message(self, d: Discrepancy) -> str:
        whose = subject(d) if d.role else f"biases and gains {d.pattern or f'(×{len(d.tensors)})'}"
        where = "is empty" if d.detail == "empty" else "holds others of their kind"
        return f"{whose}: weight decay{measured(d, 'weight_decay')}, and the group without any {where}"

    def fix(self, d: Discrepancy) -> str:
        return "let the pattern of the group with weight_decay=0 match before the others"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "gains are pulled away from 1, and transfer degrades"
