"""The first steps of the optimizer follow another law than the later ones.

## What it does
Holds the learning rates of a rectified optimizer (RAdam) against both of its phases: the steps before the second moment
is trusted, which are plain momentum, and all later ones, which are Adam's.

## Why is this bad
One learning rate cannot be right for both. Where gradients shrink with width the first steps do nothing in a wide
model, which is harmless; where they grow (weights with small multipliers) the first steps are too large, and a wide
model may not recover from them.

## Example
    torch.optim.RAdam(groups, lr=lr)                      # five steps of momentum with betas=(0.9, 0.999)

## Fix
    torch.optim.AdamW(groups, lr=lr)                      # with a warm-up of the learning rate

## Evidence
Liu et al. 2019, On the Variance of the Adaptive Learning Rate and Beyond, arXiv 1908.03265, Algorithm 2: without the
rectification term a step is the momentum itself. Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3:
SGD and Adam each have a column of their own.

## When it is fine
Where gradients shrink with width: five steps are lost, in wide models more than in narrow ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.findings.model import Severity


class FirstSteps(Rule):
    code = "MUP316"
    name = "first-steps"
    severity = "advice"
    summary = "an optimizer whose first steps are plain momentum has two laws, and one learning rate for both"
    keys = any_role("first_steps")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if gap(d) < 0 else "advice"

    def message(self, d: Discrepancy) -> str:
        return (
            f"{subject(d)}: the first steps are momentum without Adam's division, and move by {power(-gap(d))} times "
            "what later ones do"
        )

    def fix(self, d: Discrepancy) -> str:
        return "use Adam or AdamW with a warm-up of the learning rate"

    def consequence(self, d: Discrepancy) -> str:
        return "they grow without bound with width" if gap(d) < 0 else "in a wide model the first steps do nothing"
