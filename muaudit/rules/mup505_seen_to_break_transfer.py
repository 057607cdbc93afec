"""What one large study saw break transfer over width.

## What it does
Under a profile that asks for it (lingle), notes trained gains of norms (a vector, or one number), the optimizer Lion,
and decoupled weight decay of 0.1 or more. What the model has that kept transfer there is a note of the report.

## Why is this bad
With each of these the best learning rate drifted with width in that study, though the theory does not
forbid them; without them it stayed.

## Example
    self.norm = nn.RMSNorm(width)

## Fix
    self.norm = nn.RMSNorm(width, elementwise_affine=False)

## Evidence
Lingle 2024, arXiv 2404.05728, ablations at widths 128, 512 and 2048 and depth 24: gains of RMSNorm, as a vector and as
one number, did not transfer and were worse at width 2048; decoupled weight decay of 0.1 did not, by less than the
others; Lion with a rate of 1/M did not. `muaudit tables --table lingle` has all of them.

## When it is fine
By TP5 (arXiv 2203.03466) always; this is advice of the profile lingle alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_WHAT = {
    "gain": "a gain that is trained",
    "scalar_gain": "a norm's gain of one number that is trained",
    "lion": "trained by Lion",
    "weight_decay": "decoupled weight decay of 0.1 or more",
}
_FIX = {
    "lion": "use AdamW",
    "weight_decay": "lower the weight decay: the study blames its size",
    "gain": "leave the gain out: elementwise_affine=False, or requires_grad_(False)",
    "scalar_gain": "leave the gain out, or requires_grad_(False)",
}
_SEEN = {
    "gain": "the best learning rate did not transfer between widths 128, 512 and 2048, and the loss at 2048 was worse",
    "lion": "the best learning rate did not transfer between widths 128, 512 and 2048 at a rate of 1/width",
    "weight_decay": "at 0.1 the best learning rates of widths 128 and 2048 differed, by less than with other changes",
}


class SeenToBreakTransfer(Rule):
    code = "MUP505"
    name = "seen-to-break-transfer"
    severity = "advice"
    summary = "one study saw transfer break with trained gains, Lion and strong weight decay (profile lingle)"
    keys = any_role("study")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: {_WHAT.get(d.detail, _WHAT['gain'])}"

    def fix(self, d: Discrepancy) -> str:
        return _FIX.get(d.detail, _FIX["gain"])

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or f"in Lingle 2024 {_SEEN.get(d.detail, _SEEN['gain'])}"
