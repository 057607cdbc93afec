"""What one large study saw break transfer over width.

## What it does
Under a profile that asks for it (lingle), notes trained gains of norms, the optimizer Lion, and
decoupled weight decay of 0.1 or more.

## Why is this bad
With each of these the best learning rate drifted with width in that study, though the theory has no
quarrel with them; without them it stayed.

## Example
    self.norm = nn.RMSNorm(width)

## Fix
    self.norm = nn.RMSNorm(width, elementwise_affine=False)

## Evidence
Lingle 2024, arXiv 2404.05728, ablations: trainable gains, decoupled weight decay 0.1, Lion.

## When it is fine
By TP5 (arXiv 2203.03466) always; this is advice of the profile lingle alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_WHAT = {"lion": "trained by Lion", "weight_decay": "decoupled weight decay of 0.1 or more"}
_FIX = {"lion": "use AdamW", "weight_decay": "lower the weight decay"}


class SeenToBreakTransfer(Rule):
    code = "MUP505"
    name = "seen-to-break-transfer"
    severity = "advice"
    summary = "one study saw transfer break with trained gains, Lion and strong weight decay (profile lingle)"
    keys = any_role("study")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: {_WHAT.get(d.detail, 'a gain that is trained')}"

    def fix(self, d: Discrepancy) -> str:
        return _FIX.get(d.detail, "leave the gain out: elementwise_affine=False, or requires_grad_(False)")

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the best learning rate drifted with width in the study behind this profile"
