"""Weight decay added to the gradient under Adam.

## What it does
Looks for a weight_decay other than zero in optimizers that add it to the gradient and then
normalise: torch.optim.Adam (without decoupled_weight_decay), RMSprop, Adagrad.

## Why is this bad
Adam divides the decay by the gradient's size, which depends on width. There is no power of width
that repairs it for all steps: how strongly a weight is decayed depends on its gradients.

## Example
    torch.optim.Adam(groups, lr=lr, weight_decay=0.1)

## Fix
    torch.optim.AdamW(groups, lr=lr, weight_decay=0.1)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.3: weight decay scales in
SGD and AdamW, "however, note it's not compatible with µP Adam".

## When it is fine
With weight_decay=0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import measured, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class L2InAdam(Rule):
    code = "MUP312"
    name = "l2-in-adam"
    severity = "advice"
    summary = "weight decay must not go through Adam's normalisation: use AdamW"
    keys = any_role("l2_adam")

    def message(self, d: Discrepancy) -> str:
        what = subject(d) or "all parameters"
        name = d.optimizer or "the optimizer"
        value = measured(d, "weight_decay")
        return f"{what}: weight decay is added to the gradient under {name} and scales with no power of width{value}"

    def fix(self, d: Discrepancy) -> str:
        return "use torch.optim.AdamW, which decays the weights themselves, or weight_decay=0"

    def consequence(self, d: Discrepancy) -> str:
        return (
            d.consequence or "the strength of weight decay follows the size of the gradients, which shrink with width"
        )
